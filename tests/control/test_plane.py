"""The control plane's parts: found running, repaired, ended."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.control.kube import Kube
from rehearsal.control.plane import ControlPlane, free_ports
from rehearsal.errors import RehearsalError
from tests.control.manifests import claim

pytestmark = pytest.mark.cluster
KEPT = "/api/v1/namespaces/default/configmaps/kept"


@pytest.fixture
def own(tools: dict[str, Path], tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that a test may break; not started."""
    found = ControlPlane(tmp_path / "own", tools)
    yield found
    found.stop()


def _pids(folder: Path) -> dict[str, int]:
    return {file.stem: json.loads(file.read_text())["pid"] for file in folder.glob("*.pid")}


def _keep(plane: ControlPlane) -> None:
    kube = Kube(plane.kubeconfig, "test")
    kube.create(KEPT.rpartition("/")[0], {"metadata": {"name": "kept"}})
    kube.close()


def _kept(plane: ControlPlane) -> Any:
    kube = Kube(plane.kubeconfig, "test")
    found = kube.get(KEPT)
    kube.close()
    return found


def test_what_was_killed_is_started_again_and_what_runs_is_left_alone(own: ControlPlane, tmp_path: Path) -> None:
    own.start()
    _keep(own)
    before = _pids(tmp_path / "own")
    for part in ("etcd", "apiserver"):
        os.kill(before[part], signal.SIGKILL)
    while any(own.parts()[part] for part in ("etcd", "apiserver")):
        pass  # a killed process is gone a moment later

    own.start()

    after = _pids(tmp_path / "own")
    assert {part for part in before if before[part] != after[part]} >= {"etcd", "apiserver"}
    assert before["kwok"] == after["kwok"] or own.parts()["kwok"]
    assert all(own.parts().values())
    assert _kept(own)


def test_nothing_runs_after_a_stop_and_the_next_start_finds_what_was_there(own: ControlPlane, tmp_path: Path) -> None:
    own.start()
    _keep(own)
    config = own.kubeconfig.read_text()

    own.stop()

    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listed
    assert own.parts() == {}
    own.start()
    assert _kept(own)
    assert own.kubeconfig.read_text() == config


def test_a_port_that_was_taken_meanwhile_is_given_up(own: ControlPlane, tmp_path: Path) -> None:
    own.start()
    _keep(own)
    own.stop()
    port = json.loads((tmp_path / "own" / "ports.json").read_text())["api_port"]

    with socket.create_server(("127.0.0.1", port)):
        own.start()

    assert str(port) not in own.kubeconfig.read_text()
    assert _kept(own)


def test_a_part_that_ends_is_named_with_its_log(tools: dict[str, Path], tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path, {**tools, "etcd": Path("/bin/false")})

    with pytest.raises(RehearsalError, match=r"etcd ended.*logs/etcd\.log"):
        plane.start()

    plane.stop()


def test_ports_are_free_and_differ() -> None:
    assert len(set(free_ports(5))) == 5


def test_the_add_ons_objects_are_there(kube: Kube) -> None:
    classes = {entry["metadata"]["name"]: entry for entry in kube.list("/apis/storage.k8s.io/v1/storageclasses")}
    assert classes["managed-csi"]["volumeBindingMode"] == "WaitForFirstConsumer"
    assert classes["azurefile-csi-premium"]["volumeBindingMode"] == "Immediate"
    for kind in ("secrets-store.csi.x-k8s.io/v1/secretproviderclasses", "keda.sh/v1alpha1/scaledobjects"):
        assert kube.list(f"/apis/{kind}") == []


def test_a_claim_without_a_class_gets_the_default_one(kube: Kube) -> None:
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    unclassed = claim("unclassed", "")
    del unclassed["spec"]["storageClassName"]
    kube.create(path, unclassed)

    found = kube.get(f"{path}/unclassed")

    assert found
    assert found["spec"]["storageClassName"] == "default"
    kube.delete(f"{path}/unclassed")


def test_the_server_says_the_version_that_was_built(kube: Kube) -> None:
    version = kube.get("/version")
    assert version
    assert version["gitVersion"] == "v1.34.2"
