"""Writes a set of files so that a reader sees either all the old ones or all the new ones, as kubelet's own volumes do.

The files lie in a folder with a time for its name, `..data` links to it, and each visible name links through `..data`.
Renaming the link changes all at once. Does not own mounting.
"""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

FILE_MODE = 0o644
"""What the real driver gives unless told otherwise: pods run as any user, and the volume is theirs alone."""
_DATA = "..data"


def write_atomically(folder: Path, content: Mapping[str, bytes]) -> bool:
    """Make `folder` hold exactly `content`; answers whether anything changed."""
    if _current(folder) == dict(content):
        return False
    old = os.readlink(folder / _DATA) if (folder / _DATA).is_symlink() else None
    fresh = folder / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.time_ns() % 10**9}"
    fresh.mkdir(mode=0o755)
    for name, data in content.items():
        (fresh / name).write_bytes(data)
        (fresh / name).chmod(FILE_MODE)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(folder / _DATA)
    _show(folder, set(content))
    if old:
        shutil.rmtree(folder / old, ignore_errors=True)
    return True


def _current(folder: Path) -> dict[str, bytes] | None:
    data = folder / _DATA
    return {file.name: file.read_bytes() for file in data.iterdir()} if data.is_dir() else None


def _show(folder: Path, names: set[str]) -> None:
    shown = {entry.name for entry in folder.iterdir() if not entry.name.startswith("..")}
    for name in names - shown:
        (folder / name).symlink_to(f"{_DATA}/{name}")
    for name in shown - names:
        (folder / name).unlink()
