"""The executables that the engine looks for on PATH, for those plugins that this machine does not have.

A launcher names the interpreter and the checkout by their absolute paths, since the engine starts plugins in any
folder. Where the real plugin is installed, on PATH or among Pulumi's own plugins, none is written, and the engine
uses the real one.
"""

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

MODULES: Mapping[str, str] = {
    "pulumi-language-python": "rehearsal.language.host",
    "pulumi-analyzer-policy-python": "rehearsal.language.analyzer",
    "pulumi-resource-azure-native": "rehearsal.azure.provider",
    "pulumi-resource-kubernetes": "rehearsal.kubernetes.provider",
}
"""Each plugin's executable, and the module that stands in for it."""


def write_launchers(folder: Path, python: Path, checkout: Path, only_missing: bool = True) -> list[str]:
    """Write the launchers into a folder, which is to go on PATH, and return their names.

    With `only_missing` a plugin that this machine has gets none, and one from an earlier time is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for name, module in MODULES.items():
        file = folder / name
        if only_missing and find_real(name, besides=folder) is not None:
            file.unlink(missing_ok=True)
            continue
        _replace(file, _script(python, checkout, module))
        written.append(name)
    return written


def find_real(name: str, *, besides: Path) -> Path | None:
    """The real plugin's executable: on PATH (in any folder but ours), or among the plugins in Pulumi's home."""
    ours = besides.resolve()
    folders = [
        entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry and Path(entry).resolve() != ours
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is not None:
        return Path(found)
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    kind_and_name = name.removeprefix("pulumi-")
    installed = sorted(home.glob(f"plugins/{kind_and_name}-v*/{name}"))
    return installed[-1] if installed else None


def _script(python: Path, checkout: Path, module: str) -> str:
    return (
        "#!/bin/sh\n"
        f"# Written by the rehearsal: stands in for a plugin that this machine does not have.\n"
        f'PYTHONPATH={shlex.quote(str(checkout))} exec {shlex.quote(str(python))} -m {module} "$@"\n'
    )


def _replace(file: Path, text: str) -> None:
    """Write a file whole or not at all: the engine may be looking for it at this moment."""
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.chmod(0o755)
    draft.replace(file)
