"""Builds the pinned tools once and keeps them in the cache.

Owns the cache's `bin` folder: `NAME` is a program, `NAME.json` says which inputs it was built from and its checksum. A
build that is cut off leaves nothing behind but Go's own caches, so that the next one goes on from there.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.toolchain.catalogue import GO_TOOLS, PACKAGES, GoTool

BUILD = ("go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
"""Reproducible and without debugging symbols; `readonly` refuses anything that `go.mod` and `go.sum` do not pin."""
FREE_GIB = 5
"""Disk for a first build of everything: Go's caches take most of it (4.1 GiB, measured)."""
Progress = Callable[[str], None]


class Toolchain:
    """The tools in `cache`. `progress` is told, a line at a time, what takes long and why."""

    def __init__(self, cache: Path, progress: Progress, tools: Mapping[str, GoTool] = GO_TOOLS) -> None:
        self._bin = cache / "bin"
        self._progress = progress
        self._tools = tools

    def tool(self, name: str) -> Path:
        """Where a built tool is."""
        return self._bin / name

    def is_built(self, name: str) -> bool:
        """Whether the tool is there, built from today's inputs, and as it was when it was built."""
        stamp = self._stamp(name)
        return stamp.get("inputs") == _inputs(self._tools[name]) and stamp.get("sha256") == _sha256(self.tool(name))

    def ensure(self, names: Sequence[str]) -> dict[str, Path]:
        """Have every named tool, building those that are missing, changed or damaged.

        Raises:
            RehearsalError: without Go, disk space or the module proxy.
        """
        self._bin.mkdir(parents=True, exist_ok=True)
        missing = [name for name in names if not self.is_built(name)]
        if missing:
            with self._locked():
                missing = [name for name in missing if not self.is_built(name)]
                self._build_all(missing)
        return {name: self.tool(name) for name in names}

    def ensure_packages(self) -> None:
        """Have Debian's packages that a real node needs; installs those that are missing, which takes root.

        Raises:
            RehearsalError: if that fails.
        """
        missing = [package for package in PACKAGES.values() if not Path(package.file).exists()]
        if not missing:
            return
        names = [package.name for package in missing]
        for package in missing:
            self._progress(f"installing {package.name}: {package.purpose}")
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise RehearsalError(
                f"These Debian packages are missing: {' '.join(names)}",
                "Install them, or run as root, or add `--depth control` for a rehearsal without a real node",
            )
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for argv in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names],
        ):
            done = subprocess.run(
                argv, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RehearsalError(
                    f"`{' '.join(argv[:2])}` failed: {_last_line(done.stderr)}",
                    f"Install {' '.join(names)} by hand and run the same command again",
                )

    def _build_all(self, names: Sequence[str]) -> None:
        if not names:
            return
        if shutil.which("go") is None:
            raise RehearsalError(
                "Go is missing, and the pinned tools are built with it", "Install Go 1.25 or newer and put it on PATH"
            )
        _require_space(self._bin)
        for number, name in enumerate(names, start=1):
            tool = self._tools[name]
            self._progress(
                f"building {name} {tool.version}, {tool.purpose} ({number} of {len(names)}, about {tool.seconds} s)"
            )
            started = time.monotonic()
            self._build(tool)
            self._progress(f"built {name} in {time.monotonic() - started:.0f} s")

    def _build(self, tool: GoTool) -> None:
        unfinished = self._bin / f".{tool.name}.new"
        done = subprocess.run(
            [*BUILD, "-o", str(unfinished), tool.package],
            cwd=tool.module,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            unfinished.unlink(missing_ok=True)
            raise RehearsalError(
                f"{tool.name} {tool.version} could not be built: {_last_line(done.stderr)}",
                "Check the disk and that Go's module proxy can be reached; what was built is kept",
            )
        stamp = self._bin / f".{tool.name}.json.new"
        stamp.write_text(json.dumps({"inputs": _inputs(tool), "sha256": _sha256(unfinished)}))
        self._stamp_file(tool.name).unlink(missing_ok=True)
        unfinished.replace(self.tool(tool.name))
        stamp.replace(self._stamp_file(tool.name))

    def _stamp_file(self, name: str) -> Path:
        return self._bin / f"{name}.json"

    def _stamp(self, name: str) -> dict[str, str]:
        try:
            return json.loads(self._stamp_file(name).read_text())
        except (OSError, ValueError):
            return {}

    @contextmanager
    def _locked(self) -> Generator[None]:
        """One build at a time on this machine; whoever waits is told so."""
        with (self._bin / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress("waiting for another rehearsal that builds the tools")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _inputs(tool: GoTool) -> str:
    """Changes whenever the build would: its files, package, flags and this machine's kind of processor."""
    digest = hashlib.sha256(repr((tool.package, BUILD, platform.machine())).encode())
    for file in sorted(tool.module.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _require_space(folder: Path) -> None:
    free_gib = shutil.disk_usage(folder).free / 2**30
    if free_gib < FREE_GIB:
        raise RehearsalError(
            f"Only {free_gib:.1f} GiB of disk are free at {folder}, and building the tools takes {FREE_GIB} GiB",
            "Free some, or let SLM_CACHE name a folder on a larger disk",
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
