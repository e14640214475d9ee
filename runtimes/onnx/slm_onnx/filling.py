"""Fill a folder once: whole or not at all, and not again.

Owns the working folder beside the destination, the manifest, the lock between two jobs that fill the same folder, and
the errors both commands share. Does not own what goes into the folder (`slm_onnx.weights`, `slm_onnx.convert`).
"""

import errno
import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST_NAME = "slm-manifest.json"
FIXTURE_MARKER_NAME = "slm-fixture.json"
"""A folder that holds this file is a rehearsal's stand-in for a model, and its copies say so too."""

EXIT_UNAUTHORISED = 3
EXIT_NOT_FOUND = 4
EXIT_UNREACHABLE = 5
EXIT_NO_SPACE = 6
EXIT_CORRUPT = 7
EXIT_OTHER = 1

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class FillError(Exception):
    """The folder could not be filled. The message is a sentence with its cause and the fix, and holds no secret."""

    def __init__(self, cause: str, fix: str, exit_code: int = EXIT_OTHER) -> None:
        super().__init__(f"{cause}. {fix}.")
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder was filled with; `files` maps each path to its SHA-256.

    `fingerprint` identifies what was asked for, so that it can be compared before anything is downloaded.
    """

    repository: str
    revision: str
    format: str
    files: Mapping[str, str]
    fingerprint: str
    fixture: bool


def fingerprint(**asked: str) -> str:
    """The SHA-256 of what was asked for."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def is_filled(destination: Path, wanted: str) -> bool:
    """Whether the folder holds what this fingerprint asks for, with every file of its manifest."""
    manifest = read_manifest(destination)
    if manifest is None or manifest.get("fingerprint") != wanted:
        return False
    return all((destination / name).is_file() for name in manifest["files"])


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """A folder's manifest; None if it has none that can be read."""
    try:
        return json.loads((folder / MANIFEST_NAME).read_text())
    except (OSError, ValueError):
        return None


def fill(destination: Path, wanted: str, make: Callable[[Path], Manifest]) -> bool:
    """Have `make` fill a working folder, and give it the destination's name once it is whole.

    The working folder stays if `make` fails or is killed, and is given to it again the next time. Answers False if
    there was nothing to do.

    Raises:
        FillError: also for a full or a closed volume.
    """
    if is_filled(destination, wanted):
        return False
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked(destination):
            # Another job may have filled it while this one waited.
            if is_filled(destination, wanted):
                return False
            _fill(destination, wanted, make)
    except OSError as error:
        raise _explained(error, destination) from error
    return True


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def report(command: Callable[[], None]) -> int:
    """Run a command's work; its exit code. An error that was foreseen is told in a sentence."""
    try:
        command()
    except FillError as error:
        say(f"Error: {error}")
        return error.exit_code
    return 0


def _fill(destination: Path, wanted: str, make: Callable[[Path], Manifest]) -> None:
    working = destination.with_name(f".{destination.name}.{wanted[:12]}.partial")
    for left in destination.parent.glob(f".{destination.name}.*.partial"):
        if left != working:
            shutil.rmtree(left)
    working.mkdir(exist_ok=True)
    manifest = make(working)
    (working / MANIFEST_NAME).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    if destination.exists():
        # It holds something else, or was damaged. A server that has it open keeps what it has loaded.
        shutil.rmtree(destination)
    working.rename(destination)


@contextmanager
def _locked(destination: Path) -> Generator[None]:
    with destination.with_name(f".{destination.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _explained(error: OSError, destination: Path) -> FillError:
    if error.errno in _FULL:
        return no_space(destination)
    if error.errno in _CLOSED:
        return FillError(
            f"{error.filename or destination} cannot be written ({error.strerror})",
            "Mount the volume for writing, for the user that this job runs as",
        )
    return FillError(f"{destination} could not be filled ({error})", "Run the job again")


def no_space(destination: Path, missing_bytes: int | None = None) -> FillError:
    """The error for a volume that is too small; `missing_bytes` where it is known."""
    gibibytes = "" if missing_bytes is None else f" ({missing_bytes / 2**30:.2f} GiB more are needed)"
    return FillError(
        f"The volume of {destination} is full{gibibytes}",
        "Enlarge the volume or remove model folders that no server uses, then run the job again",
        EXIT_NO_SPACE,
    )
