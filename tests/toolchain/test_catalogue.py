"""The catalogue says what the Go modules pin."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rehearsal.toolchain.catalogue import CONTROL, ENGINE, FOLDER, GO_TOOLS, NODE, GoTool

OURS = {"pause"}
"""Programs of our own, which no module pins."""
WRAPPED = {
    "kube": "k8s.io/kubernetes",
    "coredns": "github.com/coredns/coredns",
    "registry": "github.com/distribution/distribution/v3",
}


@cache
def _versions(folder: Path) -> dict[str, str]:
    printed = subprocess.run(["go", "mod", "edit", "-json"], cwd=folder, capture_output=True, text=True, check=True)
    data: dict[str, Any] = json.loads(printed.stdout)
    versions = {entry["Path"]: entry["Version"] for entry in data["Require"]}
    replaced: list[Any] = data.get("Replace") or []
    return versions | {entry["Old"]["Path"]: entry["New"]["Version"] for entry in replaced}


@pytest.mark.parametrize(
    "tool", [tool for name, tool in GO_TOOLS.items() if name not in OURS], ids=lambda tool: tool.name
)
def test_a_tool_has_the_version_that_its_module_pins(tool: GoTool) -> None:
    path = WRAPPED.get(tool.name, tool.package)
    pinned = [
        version for module, version in _versions(tool.module.folder).items() if f"{path}/".startswith(f"{module}/")
    ]

    assert f"v{tool.version}" in pinned


@pytest.mark.parametrize(
    ("module", "own"),
    [("local-path-provisioner", ()), ("kwok", ("k8s.io/", "sigs.k8s.io/", "github.com/google/gnostic-models"))],
)
def test_what_the_clusters_modules_share_is_compiled_once(module: str, own: tuple[str, ...]) -> None:
    cluster = _versions(FOLDER / "cluster")

    others = {name: version for name, version in _versions(FOLDER / module).items() if not name.startswith(own)}

    assert {name: version for name, version in others.items() if cluster.get(name, version) != version} == {}


def test_every_module_is_pinned_and_used() -> None:
    assert {tool.module.folder for tool in GO_TOOLS.values()} == set(FOLDER.iterdir())
    for folder in FOLDER.iterdir():
        assert (folder / "go.sum").read_text().strip()


def test_every_tool_is_in_a_set() -> None:
    assert {*ENGINE, *CONTROL, *NODE} == set(GO_TOOLS)


def test_a_program_is_called_by_its_packages_last_part() -> None:
    assert GO_TOOLS["etcd"].output == "server"
    assert GO_TOOLS["kube"].output == "kube"
