"""A reader of a mounted secret never sees half of a change."""

from pathlib import Path

from rehearsal.node.atomic import write_atomically


def test_visible_names_lead_through_one_link_to_the_content(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"default": b"key-1", "other": b"key-2"})

    assert (tmp_path / "default").read_bytes() == b"key-1"
    assert (tmp_path / "default").readlink() == Path("..data/default")
    assert (tmp_path / "..data").is_symlink()


def test_a_change_replaces_every_file_at_once_and_leaves_one_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"default": b"old", "gone": b"x"})
    before = (tmp_path / "..data").readlink()

    assert write_atomically(tmp_path, {"default": b"new", "added": b"y"})

    assert (tmp_path / "..data").readlink() != before
    assert {file.name: file.read_bytes() for file in tmp_path.glob("[!.]*")} == {"default": b"new", "added": b"y"}
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir() and not entry.is_symlink()] == [
        str((tmp_path / "..data").readlink())
    ]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"default": b"key"})
    before = (tmp_path / "..data").readlink()

    assert not write_atomically(tmp_path, {"default": b"key"})
    assert (tmp_path / "..data").readlink() == before
