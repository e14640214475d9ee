"""Debian's packages that a real node needs: installed where they are missing, which takes root."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.toolchain.catalogue import DebianPackage

_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


def ensure(packages: Sequence[DebianPackage], progress: Callable[[str], None]) -> None:
    """Have every package; `progress` is told which is installed and why.

    Raises:
        RehearsalError: without root or apt, or if an installation fails.
    """
    missing = [package for package in packages if not Path(package.file).exists()]
    if not missing:
        return
    names = [package.name for package in missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RehearsalError(
            f"These Debian packages are missing: {' '.join(names)}",
            "Install them, or run as root, or add `--depth control` for a rehearsal without a real node",
        )
    for package in missing:
        progress(f"installing {package.name}: {package.purpose}")
    install = (*_APT, "install", "-y", "--no-install-recommends", *names)
    failure = _run(install)
    if failure:
        # The lists are old or were never fetched. Whether one source of several fails does not matter here.
        _run((*_APT, "update"))
        failure = _run(install)
    if failure:
        raise RehearsalError(
            f"apt-get failed: {failure}", f"Install {' '.join(names)} by hand and run the same command again"
        )


def _run(argv: Sequence[str]) -> str:
    """Run it; empty if that went well, else the last thing it said."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines or [f"status {done.returncode}"])[-1]
