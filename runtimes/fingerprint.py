"""The tag of an image that is built here: it names the content that it is built from.

Whoever builds and whoever deploys compute the same tag from the same checkout, and no tag ever means two things.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

TAG_CHARACTERS = 12
_IGNORED = frozenset({"__pycache__", ".venv", ".pytest_cache", ".ruff_cache"})


def image_tag(folder: Path) -> str:
    """Twelve hexadecimal characters that change whenever a file of the folder or its executable bit does."""
    digest = hashlib.sha256()
    for file in _files(folder):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:TAG_CHARACTERS]


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix != ".pyc" and not _IGNORED.intersection(file.relative_to(folder).parts):
            yield file
