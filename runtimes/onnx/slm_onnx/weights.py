"""`python -m slm_onnx.weights`: download a model at a pinned revision from a Hugging Face-compatible hub, once.

The hub is `HF_ENDPOINT`'s, or Hugging Face's own. The token is read from a file and never written anywhere. A download
that was killed goes on where it was: `huggingface_hub`'s own commands begin each file again.
"""

import argparse
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

# Read when the library is loaded. A job's log is no terminal.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import huggingface_hub
from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, file_download, utils
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from slm_onnx.filling import (
    EXIT_CORRUPT,
    EXIT_NOT_FOUND,
    EXIT_UNAUTHORISED,
    EXIT_UNREACHABLE,
    FIXTURE_MARKER_NAME,
    FillError,
    Manifest,
    digest,
    fill,
    fingerprint,
    no_space,
    report,
    say,
)

_HUB: Any = huggingface_hub
_DOWNLOAD: Any = file_download
_UTILS: Any = utils
"""Partly typed: their functions are called through these names."""

INCOMPLETE_SUFFIX = ".incomplete"
METADATA_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model on a hub: a repository at one commit, of which `subfolder` alone is wanted if it is not empty."""

    repository: str
    revision: str
    subfolder: str
    format: str
    token: str | None = None

    @property
    def fingerprint(self) -> str:
        """What is asked for; the token is no part of it."""
        return fingerprint(
            repository=self.repository, revision=self.revision, subfolder=self.subfolder, format=self.format
        )


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of the repository: its path there, its path in the destination, and what the hub says of its content."""

    path: str
    target: PurePosixPath
    size: int | None
    sha256: str | None
    git_sha1: str | None

    def is_content_of(self, file: Path) -> bool:
        """Whether a file is this one, as far as the hub gives a size or a hash to tell."""
        if self.size is not None and file.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return digest(file) == self.sha256
        return self.git_sha1 is None or _git_digest(file) == self.git_sha1


def download(source: Source, destination: Path) -> bool:
    """Fill the destination; False if it was filled already.

    Raises:
        FillError: with an exit code for its cause.
    """
    return fill(destination, source.fingerprint, lambda working: _download(source, working, destination))


def main(argv: Sequence[str]) -> int:
    """Run the command: 0, or the exit code of the error that it explained."""
    options = _options(argv)

    def run() -> None:
        source = Source(
            repository=options.repository,
            revision=options.revision,
            subfolder=options.subfolder.strip("/"),
            format=options.format,
            token=_read_token(options.token_file),
        )
        done = download(source, options.destination)
        say(f"{options.destination} is filled" if done else f"{options.destination} was filled already")

    return report(run)


def _download(source: Source, working: Path, destination: Path) -> Manifest:
    files = _files(source)
    _refuse_if_too_big(files, working, destination)
    for file in files:
        _fetch(source, file, working)
    wanted = {str(file.target) for file in files}
    return Manifest(
        repository=source.repository,
        revision=source.revision,
        format=source.format,
        files={name: digest(working / name) for name in sorted(wanted)},
        fingerprint=source.fingerprint,
        fixture=FIXTURE_MARKER_NAME in wanted,
    )


def _files(source: Source) -> list[HubFile]:
    """The wanted files of the repository, the smallest first so that mistakes show early."""
    try:
        api = HfApi(token=source.token or False)
        information = api.model_info(
            source.repository, revision=source.revision, files_metadata=True, timeout=METADATA_TIMEOUT_SECONDS
        )
    except (HTTPError, OSError, HFValidationError) as error:
        raise _explained(error, source) from None
    prefix = f"{source.subfolder}/" if source.subfolder else ""
    files = [
        HubFile(
            path=entry.rfilename,
            target=_safe_path(entry.rfilename.removeprefix(prefix)),
            size=entry.size,
            sha256=entry.lfs.sha256 if entry.lfs else None,
            git_sha1=None if entry.lfs else entry.blob_id,
        )
        for entry in information.siblings or []
        if entry.rfilename.startswith(prefix)
    ]
    if not files:
        raise FillError(
            f"{source.repository} has no files in {source.subfolder or 'its root'} at {source.revision}",
            "Correct the subfolder or the revision",
            EXIT_NOT_FOUND,
        )
    return sorted(files, key=lambda file: file.size or 0)


def _fetch(source: Source, file: HubFile, working: Path) -> None:
    """Have one file in the working folder, checked. What is there of it already is kept."""
    target = working / file.target
    if target.exists() and file.is_content_of(target):
        return
    partial = target.with_name(target.name + INCOMPLETE_SUFFIX)
    partial.parent.mkdir(parents=True, exist_ok=True)
    had = partial.stat().st_size if partial.exists() else 0
    if file.size is not None and had > file.size:
        partial.unlink()
        had = 0
    size = "" if file.size is None else f", {file.size / 2**20:.1f} MiB"
    say(f"downloading {file.path}{size}" + (f", going on at {had / 2**20:.1f} MiB" if had else ""))
    _get(source, file, partial, had)
    if not file.is_content_of(partial):
        partial.unlink()
        raise _corrupt(source, file)
    partial.rename(target)


def _get(source: Source, file: HubFile, partial: Path, had: int) -> None:
    url = _HUB.hf_hub_url(source.repository, file.path, revision=source.revision)
    headers = _UTILS.build_hf_headers(token=source.token or False)
    try:
        with partial.open("ab") as content:
            _DOWNLOAD.http_get(url, content, resume_size=had, headers=headers, expected_size=file.size)
    except HTTPError as error:
        raise _explained(error, source) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # The library's own: the hub sent more or less than it said.
        partial.unlink()
        raise _corrupt(source, file) from None


def _refuse_if_too_big(files: Sequence[HubFile], working: Path, destination: Path) -> None:
    """Before the first byte: a job that fails after an hour of download fails late."""
    there = sum(file.stat().st_size for file in working.rglob("*") if file.is_file())
    missing = sum(file.size or 0 for file in files) - there
    free = shutil.disk_usage(working).free
    if missing > free:
        raise no_space(destination, missing - free)


def _explained(error: Exception, source: Source) -> FillError:
    """A hub's error as a sentence. The library's own words are left out: they may repeat what was sent."""
    hub = constants.ENDPOINT
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    name = f"{source.repository} at {source.revision}"
    if isinstance(error, RevisionNotFoundError):
        return FillError(f"{source.repository} has no revision {source.revision}", "Correct it", EXIT_NOT_FOUND)
    if isinstance(error, GatedRepoError) or status == 403:
        return FillError(
            f"{hub} does not let this token read {source.repository}, which is gated",
            "Accept the model's licence with the token's account, or give another token",
            EXIT_UNAUTHORISED,
        )
    if status == 401:
        cause = f"{hub} does not accept the token" if source.token else f"{hub} wants a token for {name}"
        return FillError(cause, "Correct the repository's name or give a valid token", EXIT_UNAUTHORISED)
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)) or status == 404:
        return FillError(f"{hub} has no {name}", "Correct the repository, the revision or HF_ENDPOINT", EXIT_NOT_FOUND)
    if status is not None:
        return FillError(f"{hub} answered {status} for {name}", "Run the job again later", EXIT_UNREACHABLE)
    return FillError(
        f"{hub} cannot be reached ({type(error).__name__})",
        "Check HF_ENDPOINT, the network policy of the job and the hub, then run the job again",
        EXIT_UNREACHABLE,
    )


def _corrupt(source: Source, file: HubFile) -> FillError:
    return FillError(
        f"{file.path} of {source.repository} is not what the hub says it is: its checksum or its size is wrong",
        "Run the job again; if it happens again, the hub or a proxy before it is at fault",
        EXIT_CORRUPT,
    )


def _safe_path(name: str) -> PurePosixPath:
    """A hub's file name as a path below the destination. Raises FillError for one that leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise FillError(f"The hub lists a file that leads out of its folder: {name}", "Use another hub", EXIT_CORRUPT)
    return path


def _git_digest(file: Path) -> str:
    """The SHA-1 under which git knows a file's content."""
    found = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as content:
        while block := content.read(2**20):
            found.update(block)
    return found.hexdigest()


def _read_token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FillError(
            f"The token file {file} cannot be read ({type(error).__name__})",
            "Mount the token there, or leave --token-file out",
            EXIT_UNAUTHORISED,
        ) from None
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise FillError(f"The token file {file} holds no token", "Write the hub's token into it", EXIT_UNAUTHORISED)
    return token


def _commit(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise argparse.ArgumentTypeError("give a full commit (40 hexadecimal digits): branches and tags move")
    return text


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m slm_onnx.weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repository", required=True)
    parser.add_argument("--revision", required=True, type=_commit)
    parser.add_argument("--subfolder", default="", help="the only folder of the repository that is wanted")
    parser.add_argument("--format", required=True, help="what the files are, such as int4-cpu; for the manifest")
    parser.add_argument("--destination", required=True, type=Path)
    parser.add_argument("--token-file", type=Path, help="a file that holds the hub's token")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
