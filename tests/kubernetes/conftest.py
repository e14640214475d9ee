"""A real control plane with one simulated node, and the real engine with the stand-ins on PATH."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.control.plane import ControlPlane
from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.kubeconfig import access, read
from rehearsal.language.launchers import write_launchers
from rehearsal.paths import CHECKOUT, cache_dir
from rehearsal.toolchain.build import Toolchain

PROGRAM = Path(__file__).parent / "program"
STACK = "dev"
KEY = "not-a-real-key-5521"
_READY_NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "simulated", "annotations": {"kwok.x-k8s.io/node": "fake"}},
    "status": {
        "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
    },
}


def _tools(*names: str) -> dict[str, Path]:
    return Toolchain(cache_dir(), print).ensure(names)


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    plane = ControlPlane(tmp_path_factory.mktemp("cluster"), _tools("kube", "etcd", "kwok"))
    try:
        plane.start()
        yield plane.kubeconfig
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Iterator[Api]:
    api = Api(access(read(str(kubeconfig))))
    api.create(_READY_NODE, dry_run=False)
    yield api
    api.close()


@dataclass
class Engine:
    """One stack of the test's program."""

    pulumi: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.pulumi, *arguments, "--non-interactive"],
            cwd=self.folder / "program",
            env=self.environment,
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
        )

    def operate(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(name, "-s", STACK, *options)

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.operate("up", "--yes", "--skip-preview", *options)

    def set(self, key: str, value: str, *, secret: bool = False) -> None:
        options = ["--secret"] if secret else []
        done = self.run("config", "set", key, "-s", STACK, *options, stdin=value)
        assert done.returncode == 0, done.stderr

    def state(self) -> str:
        done = self.run("stack", "export", "-s", STACK)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def resources(self) -> dict[str, Any]:
        """The resources in state, by the type's last part and the name."""
        found = json.loads(self.state())["deployment"].get("resources", [])
        return {f"{r['type'].split(':')[-1]}/{r['urn'].split('::')[-1]}": r for r in found}


@pytest.fixture(scope="module")
def engine(kubeconfig: Path, cluster: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    write_launchers(folder / "bin", Path(sys.executable), CHECKOUT, only_missing=False)
    (folder / "home").mkdir()
    (folder / "backend").mkdir()
    environment = {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "HOME": str(folder / "home"),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "not-a-real-passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    engine = Engine(_tools("pulumi")["pulumi"], folder, environment)
    # A copy: the engine writes the stack's file beside the program.
    shutil.copytree(PROGRAM, folder / "program")
    done = engine.run("stack", "init", STACK, "--no-select")
    assert done.returncode == 0, done.stderr
    engine.set("key", KEY, secret=True)
    engine.set("kubeconfig", kubeconfig.read_text(), secret=True)
    engine.set("step", "1")
    yield engine
    engine.set("stuck", "false")
    engine.operate("destroy", "--yes", "--skip-preview")
