"""One real control plane for the tests that need it, with two pools of simulated nodes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rehearsal.control.cloud_controller import Options, reconcile
from rehearsal.control.kube import Kube
from rehearsal.control.plane import ControlPlane
from rehearsal.control.pools import Pool
from rehearsal.paths import cache_dir
from rehearsal.toolchain import CONTROL, Toolchain

SYSTEM = Pool(
    "system",
    {
        "mode": "System",
        "count": 1,
        "vmSize": "Standard_D2s_v5",
        "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"],
    },
)


def pool(name: str, nodes: int, **properties: Any) -> Pool:
    """A pool of CPU machines that pods choose by its name."""
    common = {"mode": "User", "vmSize": "Standard_D4s_v5", "nodeLabels": {"slm/pool": name}}
    return Pool(name, {**common, "count": nodes, **properties})


@dataclass
class Cloud:
    """A cluster and the Azure around it, moved on round by round by whoever waits for something."""

    kube: Kube
    namespace: str
    pools: list[Pool] | None = field(default_factory=lambda: [SYSTEM, pool("cpu", 1)])
    options: Options = field(default_factory=lambda: Options(None, "10.77.0.10"))

    def round(self) -> list[str]:
        return reconcile(self.kube, self.pools, self.options)

    def when(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """The object as soon as the condition holds; None stands for one that is not there."""
        while not condition(found := self.kube.get(path)):
            self.round()
            time.sleep(0.2)
        return found

    def path(self, kind: str, name: str = "") -> str:
        """The API path of a kind in this test's own namespace, or of one object."""
        group = {"deployments": "apis/apps/v1", "jobs": "apis/batch/v1", "poddisruptionbudgets": "apis/policy/v1"}
        return f"/{group.get(kind, 'api/v1')}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def create(self, kind: str, manifest: Any) -> None:
        self.kube.create(self.path(kind), manifest)

    def pods(self, **labels: str) -> list[Any]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.kube.list(self.path("pods"), labelSelector=selector)


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    return Toolchain(cache_dir(), print).ensure(CONTROL)


@pytest.fixture(scope="session")
def plane(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    found = ControlPlane(tmp_path_factory.mktemp("plane"), tools)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def kube(plane: ControlPlane) -> Iterator[Kube]:
    client = Kube(plane.kubeconfig, "control-test")
    yield client
    client.close()


@pytest.fixture
def cloud(kube: Kube, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    namespace = request.node.name.replace("_", "-")[:60].strip("-")
    kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    found = Cloud(kube, namespace)
    found.when(found.path("serviceaccounts", "default"), bool)
    found.round()
    yield found
    kube.delete(found.path("services"))  # their addresses are the next test's
    kube.delete(f"/api/v1/namespaces/{namespace}")  # takes seconds, and nobody has to wait for that
    found.pools = None
    found.round()
