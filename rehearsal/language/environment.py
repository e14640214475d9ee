"""The Python environment of a program: its interpreter, and the Pulumi packages in it.

Reads what is installed; installs only when the engine asks for it (`pulumi install`).

Not checked:
- the toolchains poetry and uv, and type checkers (`runtime.options`), are not known: pip and `virtualenv` are.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pulumi.runtime.proto import language_pb2

Distribution = importlib.metadata.Distribution


@dataclass(frozen=True)
class Plugin:
    """A provider that a package in the environment needs."""

    name: str
    version: str
    """With a leading `v`."""
    server: str


@dataclass(frozen=True)
class Environment:
    """An interpreter and where its packages are."""

    folder: Path | None
    """The virtual environment that the project names; None if it names none."""

    @classmethod
    def of(cls, info: language_pb2.ProgramInfo) -> "Environment":
        """The environment that a project's `runtime.options.virtualenv` names, relative to the project's root."""
        name = str(info.options["virtualenv"]) if "virtualenv" in info.options else ""
        return cls(Path(info.root_directory) / name if name else None)

    @property
    def python(self) -> Path:
        """The interpreter; it may not be there yet."""
        return Path(sys.executable) if self.folder is None else self.folder / "bin" / "python"

    @property
    def is_ours(self) -> bool:
        """Whether this process runs in that environment already."""
        return self.folder is None or self.folder.resolve() == Path(sys.prefix).resolve()

    def distributions(self) -> Sequence[Distribution]:
        """What is installed, by name."""
        if self.folder is None:
            found = importlib.metadata.distributions()
        else:
            folders = [str(path) for path in self.folder.glob("lib/python*/site-packages")]
            found = importlib.metadata.distributions(path=folders)
        return sorted(found, key=lambda distribution: distribution.name.lower())

    def plugins(self) -> Sequence[Plugin]:
        """The providers that the installed packages ask for."""
        return [plugin for distribution in self.distributions() if (plugin := _plugin(distribution)) is not None]

    def pip_version(self) -> str:
        """The version of pip in the environment, "" if it has none."""
        found = {distribution.name: distribution.version for distribution in self.distributions()}
        return found.get("pip", "")

    def dependencies(self, *, transitive: bool) -> Sequence[Distribution]:
        """What is installed, or only what nothing else that is installed asks for."""
        found = self.distributions()
        if transitive:
            return found
        required = {_bare(text) for distribution in found for text in distribution.requires or []}
        return [distribution for distribution in found if _normal(distribution.name) not in required]

    def install(self, requirements: Path) -> Iterator[str]:
        """Make the environment if it is missing, install the requirements; yields the output line by line.

        Raises:
            subprocess.CalledProcessError: if a command fails.
        """
        if self.folder is not None and not self.python.exists():
            yield from _lines([sys.executable, "-m", "venv", str(self.folder)])
        if requirements.exists():
            yield from _lines([str(self.python), "-m", "pip", "install", "-r", str(requirements)])


def _plugin(distribution: Distribution) -> Plugin | None:
    name = _normal(distribution.name)
    if not name.startswith("pulumi-"):
        return None
    file = Path(str(distribution.locate_file(name.replace("-", "_")))) / "pulumi-plugin.json"
    try:
        wish = cast(dict[str, Any], json.loads(file.read_text()))
    except (OSError, ValueError):
        return None
    if not wish.get("resource"):
        return None
    version = str(wish.get("version") or distribution.version).removeprefix("v")
    return Plugin(str(wish.get("name") or name.removeprefix("pulumi-")), f"v{version}", str(wish.get("server") or ""))


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _bare(requirement: str) -> str:
    """The name in a requirement such as `grpcio>=1.70; extra == "x"`."""
    end = next((index for index, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return _normal(requirement[:end])


def _lines(command: Sequence[str]) -> Iterator[str]:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        yield from process.stdout or []
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
