"""A model folder is filled whole or not at all, once, and every failure says its cause."""

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from slm_onnx import filling
from slm_onnx.filling import FillError, Manifest, fill

from tests.runtimes import hubs
from tests.runtimes.hubs import LARGE_BYTES, REPOSITORY, REVISION, TOKEN, Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hubs.running(hubs.repository(tmp_path / "hub", fixture=False)) as running:
        yield running


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny" / "0123456789ab-int4"


def explained(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    """The job ended with this code and one sentence that has these words."""
    assert done.returncode == code, done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def visible(folder: Path) -> list[str]:
    """What a server sees of a folder of models: what a job works in is hidden."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def test_the_subfolder_is_downloaded_with_a_manifest(hub: Hub, destination: Path, tmp_path: Path) -> None:
    done = hubs.run(hub.url, destination)
    assert done.returncode == 0, done.stderr
    names = {file.relative_to(destination).as_posix() for file in destination.rglob("*") if file.is_file()}
    assert names == {"genai_config.json", "model.onnx.data", "parts/empty.txt", "slm-manifest.json"}
    manifest = json.loads((destination / "slm-manifest.json").read_text())
    assert set(manifest) == {"repository", "revision", "format", "files", "fingerprint", "fixture"}
    assert (manifest["repository"], manifest["revision"], manifest["format"]) == (REPOSITORY, REVISION, "int4-cpu")
    assert manifest["fixture"] is False
    assert manifest["files"] == {name: filling.digest(destination / name) for name in names - {"slm-manifest.json"}}
    assert visible(destination.parent) == [destination.name]


def test_a_fixtures_copy_says_that_it_is_one(tmp_path: Path, destination: Path) -> None:
    with hubs.running(hubs.repository(tmp_path / "hub", fixture=True)) as hub:
        assert hubs.run(hub.url, destination).returncode == 0
    assert json.loads((destination / "slm-manifest.json").read_text())["fixture"] is True


def test_a_folder_that_is_filled_is_not_asked_for_again(hub: Hub, destination: Path) -> None:
    hubs.run(hub.url, destination)
    asked = hub.requests
    again = hubs.run(hub.url, destination)
    assert (again.returncode, hub.requests) == (0, asked)
    assert "already" in again.stderr


def test_a_folder_that_lost_a_file_is_filled_again(hub: Hub, destination: Path) -> None:
    hubs.run(hub.url, destination)
    (destination / "genai_config.json").unlink()
    assert hubs.run(hub.url, destination).returncode == 0
    assert (destination / "genai_config.json").exists()


def test_another_format_of_the_same_name_takes_its_place(hub: Hub, destination: Path) -> None:
    hubs.run(hub.url, destination)
    assert hubs.run(hub.url, destination, format="other").returncode == 0
    assert json.loads((destination / "slm-manifest.json").read_text())["format"] == "other"


def test_a_job_that_is_killed_half_way_goes_on_where_it_was(hub: Hub, destination: Path) -> None:
    hub.stop_half_way_at = "model.onnx.data"
    killed = subprocess.Popen(hubs.arguments(destination), env=hubs.job_environment(hub.url), stderr=subprocess.DEVNULL)
    hub.half_sent.wait()
    partial = destination.parent / f".{destination.name}"
    while not any(file.stat().st_size > 0 for file in partial.parent.glob(f"{partial.name}*/*.incomplete")):
        pass
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert visible(destination.parent) == []

    hub.stop_half_way_at = None
    done = hubs.run(hub.url, destination)
    assert done.returncode == 0, done.stderr
    first, second = hub.ranges["model.onnx.data"]
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) < LARGE_BYTES
    assert hub.ranges["genai_config.json"] == [None]
    assert (destination / "model.onnx.data").stat().st_size == LARGE_BYTES


@pytest.mark.parametrize("spoilt", ["model.onnx.data", "genai_config.json"])
def test_what_is_not_what_the_hub_said_is_not_kept(hub: Hub, destination: Path, spoilt: str) -> None:
    hub.spoil = spoilt
    explained(hubs.run(hub.url, destination), filling.EXIT_CORRUPT, "checksum")
    assert visible(destination.parent) == []
    hub.spoil = None
    assert hubs.run(hub.url, destination).returncode == 0


def test_the_token_opens_a_gated_repository_and_is_told_to_nobody(tmp_path: Path, destination: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    with hubs.running(hubs.repository(tmp_path / "hub", fixture=False), TOKEN) as hub:
        explained(hubs.run(hub.url, destination), filling.EXIT_UNAUTHORISED, "gated")
        done = hubs.run(hub.url, destination, token_file=str(token_file))
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stderr
    assert not any(TOKEN.encode() in file.read_bytes() for file in destination.rglob("*") if file.is_file())


@pytest.mark.parametrize("content", ["hf_the-wrong-one", "", "two words", "\u00e9"])
def test_a_wrong_token_is_refused_and_not_repeated(tmp_path: Path, destination: Path, content: str) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(content)
    with hubs.running(hubs.repository(tmp_path / "hub", fixture=False), TOKEN) as hub:
        done = hubs.run(hub.url, destination, token_file=str(token_file))
    explained(done, filling.EXIT_UNAUTHORISED, "token")
    assert not content or content not in done.stderr


def test_a_missing_token_file_is_named(hub: Hub, destination: Path, tmp_path: Path) -> None:
    done = hubs.run(hub.url, destination, token_file=str(tmp_path / "none"))
    explained(done, filling.EXIT_UNAUTHORISED, str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"repository": "microsoft/unknown"}, filling.EXIT_UNAUTHORISED, "microsoft/unknown"),
        ({"revision": "f" * 40}, filling.EXIT_NOT_FOUND, "no revision"),
        ({"subfolder": "cpu/int8"}, filling.EXIT_NOT_FOUND, "no files in cpu/int8"),
        ({"repository": "not/a/name"}, filling.EXIT_NOT_FOUND, "not/a/name"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    hub: Hub, destination: Path, changes: dict[str, str], code: int, words: str
) -> None:
    explained(hubs.run(hub.url, destination, **changes), code, words)


def test_a_branch_is_no_revision(hub: Hub, destination: Path) -> None:
    done = hubs.run(hub.url, destination, revision="main")
    assert done.returncode == 2
    assert "branches and tags move" in done.stderr


def test_a_hub_that_is_not_there_is_named(destination: Path) -> None:
    explained(hubs.run("http://127.0.0.1:9", destination), filling.EXIT_UNREACHABLE, "http://127.0.0.1:9")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small volume, which takes root")
def test_a_volume_that_is_too_small_is_refused_before_the_download(hub: Hub, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(volume)]
    job = hubs.arguments(volume / "model")
    script = f'{" ".join(command)} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *job],
        env=hubs.job_environment(hub.url),
        capture_output=True,
        text=True,
        check=False,
    )
    explained(done, filling.EXIT_NO_SPACE, "full (0.03 GiB more are needed)")
    assert hub.ranges == {}


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, filling.EXIT_NO_SPACE, "full"),
        (errno.EDQUOT, filling.EXIT_NO_SPACE, "full"),
        (errno.EROFS, filling.EXIT_OTHER, "cannot be written"),
        (errno.EIO, filling.EXIT_OTHER, "could not be filled"),
    ],
)
def test_a_volume_that_fails_on_the_way_is_explained(tmp_path: Path, number: int, code: int, words: str) -> None:
    def make(_working: Path) -> Manifest:
        raise OSError(number, os.strerror(number))

    with pytest.raises(FillError, match=words) as raised:
        fill(tmp_path / "model", "f" * 64, make)
    assert raised.value.exit_code == code
    assert not (tmp_path / "model").exists()


def test_what_another_revision_left_half_done_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".model.000000000000.partial"
    left.mkdir()

    def make(working: Path) -> Manifest:
        (working / "a").write_text("a")
        return Manifest(repository="r", revision="v", format="f", files={"a": "x"}, fingerprint="f" * 64, fixture=False)

    assert fill(tmp_path / "model", "f" * 64, make)
    assert not left.exists()
    assert not fill(tmp_path / "model", "f" * 64, lambda _: pytest.fail("it was filled"))
    shutil.rmtree(tmp_path / "model")
    assert fill(tmp_path / "model", "f" * 64, make)
