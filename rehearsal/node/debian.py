"""The base image's file system: a small Debian with Python, made by debootstrap from this machine's own mirror.

Owns the archive in the cache. Does not own what is built on top of it.

Not checked:
- The base stands for `python:3.11-slim`: Debian's own Python 3.11 and pip, not the interpreter built by that image.
- Its packages are today's of the suite, not those of a pinned digest.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.node.isolation import run_isolated

SUITE = "bookworm"
"""The Debian release whose Python is the one that the runtimes' lock is for (3.11)."""
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv", "libgomp1", "tzdata")
_SCRIPT = """\
set -eu
debootstrap --variant=minbase --cache-dir="$DEBS" --include="$PACKAGES" "$SUITE" "$ROOT" "$MIRROR"
cd "$ROOT"
rm -rf var/lib/apt/lists/* var/cache/apt/* usr/share/doc/* usr/share/man/* usr/share/locale/* usr/share/info/* \
  var/log/*.log var/log/apt/* dev/* proc/* sys/* etc/apt/sources.list etc/resolv.conf etc/hostname \
  usr/lib/python3*/EXTERNALLY-MANAGED
ln -s ../../bin/python3 usr/local/bin/python
ln -s ../../bin/python3 usr/local/bin/python3
: > etc/hosts
cp "$CERTIFICATE" usr/local/share/ca-certificates/slm-rehearsal.crt
cat "$CERTIFICATE" >> etc/ssl/certs/ca-certificates.crt
tar --sort=name --mtime=@0 --numeric-owner -cf "$ARCHIVE" .
"""


def ensure_base(folder: Path, certificate: Path, say: Callable[[str], None]) -> Path:
    """The archive of the base with `certificate` among its roots, made if the cache has none of this recipe.

    Raises:
        RehearsalError: if the mirror is unknown or debootstrap fails.
    """
    archive = folder / f"base-{_fingerprint(certificate)}.tar"
    if archive.exists():
        return archive
    say(f"Debian {SUITE} with Python, from this machine's package mirror (about a minute)")
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    # A whole archive or none: what an interrupted run leaves is a temporary folder that the next one removes.
    for left in folder.glob("making-*"):
        shutil.rmtree(left)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
    variables = {
        "DEBS": str(debs.resolve()),
        "PACKAGES": ",".join(PACKAGES),
        "SUITE": SUITE,
        "ROOT": str(work / "root"),
        "MIRROR": mirror(Path("/etc/apt")),
        "CERTIFICATE": str(certificate),
        "ARCHIVE": str(work / "base.tar"),
    }
    run_isolated(["sh", "-c", _SCRIPT], "make the base image", log=folder / "base.log", env=variables)
    (work / "base.tar").replace(archive)
    shutil.rmtree(work)
    return archive


def mirror(apt: Path) -> str:
    """The Debian mirror that this machine's apt uses, from either form of its sources.

    Raises:
        RehearsalError: if there is none.
    """
    for file in sorted([*apt.glob("sources.list.d/*.sources"), *apt.glob("sources.list*"), *apt.glob("*/*.list")]):
        if not file.is_file():
            continue
        for line in file.read_text().splitlines():
            found = re.match(r"(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", line)
            if found:
                return found[1]
    raise RehearsalError(
        f"No Debian mirror is named in {apt}", "Add Debian's main archive to the machine's apt sources"
    )


def _fingerprint(certificate: Path) -> str:
    text = "\0".join([_SCRIPT, SUITE, *PACKAGES]).encode()
    return hashlib.sha256(text + certificate.read_bytes()).hexdigest()[:16]
