"""An image is built again exactly when something in it has changed."""

from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.node import recipes
from rehearsal.node.debian import mirror


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY app /app\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print(1)")
    return tmp_path


def test_a_change_of_a_copied_file_changes_the_fingerprint(folder: Path) -> None:
    before = recipes.from_folder(folder).fingerprint
    (folder / "app" / "main.py").write_text("print(2)")
    assert recipes.from_folder(folder).fingerprint != before


def test_a_renamed_file_changes_the_fingerprint(folder: Path) -> None:
    before = recipes.from_folder(folder).fingerprint
    (folder / "app" / "main.py").rename(folder / "app" / "other.py")
    assert recipes.from_folder(folder).fingerprint != before


def test_the_base_image_and_the_target_are_part_of_the_fingerprint(folder: Path) -> None:
    found = {
        recipes.from_folder(folder, arguments={"PYTHON_IMAGE": "a"}).fingerprint,
        recipes.from_folder(folder, arguments={"PYTHON_IMAGE": "b"}).fingerprint,
        recipes.from_folder(folder, target="builder").fingerprint,
        recipes.from_folder(folder).fingerprint,
    }
    assert len(found) == 4


def test_compiled_python_does_not_change_the_fingerprint(folder: Path) -> None:
    before = recipes.from_folder(folder).fingerprint
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"x")
    assert recipes.from_folder(folder).fingerprint == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("debian.sources", "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n"),
        ("local.list", "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main\n"),
    ],
)
def test_the_mirror_is_the_machines_own_in_either_form_of_its_sources(tmp_path: Path, name: str, text: str) -> None:
    sources = tmp_path / "sources.list.d"
    sources.mkdir()
    (sources / "a-security.list").write_text("deb http://mirror.example/debian-security bookworm-security main\n")
    (sources / name).write_text(text)
    assert mirror(tmp_path) == "http://mirror.example/debian"


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="No Debian mirror"):
        mirror(tmp_path)
