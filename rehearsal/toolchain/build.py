"""Builds the pinned tools once and keeps them in the cache.

Owns the cache's `bin` folder: `NAME` is a program, `NAME.json` says which inputs it was built from and its checksum. A
build that is cut off leaves nothing behind but Go's own caches, so that the next one goes on from there.
"""

import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.toolchain import packages
from rehearsal.toolchain.catalogue import GO_TOOLS, PACKAGES, GoTool

_VERSIONS = {
    "kube": "k8s.io/component-base/version.gitVersion",
    "pulumi": "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    "caddy": "github.com/caddyserver/caddy/v2.CustomVersion",
}
"""The variables by which programs have to be told their version; the linker passes over those that are not there."""
FLAGS = (
    "-mod=readonly",  # refuses anything that `go.mod` and `go.sum` do not pin
    "-trimpath",
    "-buildvcs=false",
    # Without debugging symbols.
    " ".join(["-ldflags=-s -w", *(f"-X {name}=v{GO_TOOLS[tool].version}" for tool, name in _VERSIONS.items())]),
)
STILL_SECONDS = 30
"""How often a build that goes on says so."""
Progress = Callable[[str], None]


class Toolchain:
    """The tools in `cache`. `progress` is told, a line at a time, what takes long and why."""

    def __init__(self, cache: Path, progress: Progress, tools: Mapping[str, GoTool] = GO_TOOLS) -> None:
        self._bin = cache / "bin"
        self._progress = progress
        self._tools = tools
        self._on_path = functools.cache(self._search_path)

    def tool(self, name: str) -> Path:
        """Where a tool is: on PATH if the catalogue takes it from there, else in the cache, built or not."""
        return self._on_path(name) or self._bin / name

    def is_built(self, name: str) -> bool:
        """Whether the tool is in the cache, built from today's inputs, and as it was when it was built."""
        try:
            stamp = json.loads(self._stamp_file(name).read_text())
        except (OSError, ValueError):
            return False
        return stamp == _stamp(self._tools[name], self._bin / name)

    def ensure(self, names: Sequence[str]) -> dict[str, Path]:
        """Have every named tool, building those that are missing, changed or damaged.

        Raises:
            RehearsalError: without Go, disk space or the module proxy.
        """
        self._bin.mkdir(parents=True, exist_ok=True)
        missing = [name for name in names if not self.has(name)]
        if missing:
            with self._locked():
                # Whoever held the lock may have built them.
                self._build_all([self._tools[name] for name in missing if not self.has(name)])
        return {name: self.tool(name) for name in names}

    def ensure_packages(self, names: Sequence[str] = tuple(PACKAGES)) -> None:
        """Have the named Debian packages, all by default; see `packages.ensure`."""
        packages.ensure([PACKAGES[name] for name in names], self._progress)

    def has(self, name: str) -> bool:
        """Whether a tool can be used as it is, from PATH or from the cache."""
        return self._on_path(name) is not None or self.is_built(name)

    def _search_path(self, name: str) -> Path | None:
        tool = self._tools[name]
        if not tool.accept_newer:
            return None
        elsewhere = [one for one in os.get_exec_path() if Path(one).resolve() != self._bin.resolve()]
        found = shutil.which(name, path=os.pathsep.join(elsewhere))
        if found is None:
            return None
        asked = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
        version = _version(asked.stdout) if asked.returncode == 0 else ()
        pinned = _version(tool.version)
        return Path(found) if version[:1] == pinned[:1] and version[:2] >= pinned[:2] else None

    def _build_all(self, tools: Sequence[GoTool]) -> None:
        if not tools:
            return
        by_module = [list(group) for _, group in groupby(sorted(tools, key=_order), key=lambda tool: tool.module)]
        _require_go(tools)
        _require_space(self._bin, sum(group[0].module.disk_gib for group in by_module))
        for number, group in enumerate(by_module, start=1):
            titles = ", ".join(f"{tool.name} {tool.version} ({tool.purpose})" for tool in group)
            seconds = group[0].module.seconds
            self._progress(f"building {number} of {len(by_module)}: {titles}; up to {seconds} s on 2 idle cores")
            started = time.monotonic()
            self._build(group)
            self._progress(f"built {_names(group)} in {time.monotonic() - started:.0f} s")

    def _build(self, tools: Sequence[GoTool]) -> None:
        """Build tools of one module together, so that no core waits while another program is linked."""
        with self._scratch() as scratch:
            output = scratch / "out"
            output.mkdir()
            argv = ["go", "build", *FLAGS, "-o", f"{output}/", *(tool.package for tool in tools)]
            self._run(argv, tools, {"GOTMPDIR": str(scratch)})
            for tool in tools:
                self._keep(tool, output / tool.output)

    def _run(self, argv: Sequence[str], tools: Sequence[GoTool], environment: Mapping[str, str]) -> None:
        settings = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
        started = time.monotonic()
        with subprocess.Popen(
            argv,
            cwd=tools[0].module.folder,
            env={**os.environ, **settings, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as building:
            try:
                while True:
                    try:
                        _, printed = building.communicate(timeout=STILL_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        self._progress(f"still building {_names(tools)}, {time.monotonic() - started:.0f} s")
            except BaseException:
                building.terminate()
                raise
        if building.returncode:
            cause, fix = _explain(printed)
            raise RehearsalError(f"{_names(tools)} could not be built: {cause}", fix)

    def _keep(self, tool: GoTool, program: Path) -> None:
        """Move a finished program into place. A stamp never stands beside a program that it does not describe."""
        stamp = program.with_suffix(".json")
        stamp.write_text(json.dumps(_stamp(tool, program)))
        self._stamp_file(tool.name).unlink(missing_ok=True)
        program.replace(self._bin / tool.name)
        stamp.replace(self._stamp_file(tool.name))

    def _stamp_file(self, name: str) -> Path:
        return self._bin / f"{name}.json"

    @contextmanager
    def _scratch(self) -> Generator[Path]:
        """The folder of the one build that goes on; what a killed one left there is removed."""
        folder = self._bin / ".building"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

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


def _order(tool: GoTool) -> str:
    return str(tool.module.folder)


def _names(tools: Sequence[GoTool]) -> str:
    return ", ".join(tool.name for tool in tools)


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _stamp(tool: GoTool, program: Path) -> dict[str, str]:
    return {"inputs": _inputs(tool), "sha256": _sha256(program)}


def _inputs(tool: GoTool) -> str:
    """Changes whenever the build would: its files, package, flags and this machine's kind of processor."""
    digest = hashlib.sha256(repr((tool.package, FLAGS, platform.machine())).encode())
    for file in tool.sources:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _require_go(tools: Sequence[GoTool]) -> None:
    needed = max((tool.module.go_version for tool in tools), key=_version)
    fix = f"Install Go {needed} or newer and put it on PATH"
    if shutil.which("go") is None:
        raise RehearsalError("Go is missing, and the pinned tools are built with it", fix)
    asked = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    if _version(asked.stdout) < _version(needed):
        raise RehearsalError(f"{asked.stdout.strip() or 'This Go'} is too old for the pinned tools", fix)


def _require_space(folder: Path, needed_gib: float) -> None:
    free_gib = shutil.disk_usage(folder).free / 2**30
    if free_gib < needed_gib:
        raise RehearsalError(
            f"Only {free_gib:.1f} GiB of disk are free at {folder}, and building takes up to {needed_gib:.1f} GiB",
            "Free some, or let SLM_CACHE and GOCACHE name folders on a larger disk",
        )


def _explain(printed: str) -> tuple[str, str]:
    """Cause and fix, from what a failed `go build` printed."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    cause = lines[-1] if lines else "it was ended"
    if "no space left on device" in printed:
        return "the disk is full", "Free some, or let SLM_CACHE and GOCACHE name folders on a larger disk"
    if "checksum mismatch" in printed or "SECURITY ERROR" in printed:
        return "a downloaded module is not what go.sum says", "Do not use it; check what GOPROXY points to"
    if re.search(r"dial tcp|no such host|i/o timeout|connection refused|proxyconnect", printed):
        return (
            "Go's module proxy cannot be reached",
            "Check the network and GOPROXY and try again; what was built is kept",
        )
    return cause, "See what `go build` says in the tool's folder under rehearsal/toolchain/go; what was built is kept"
