"""The two kinds of cluster that a rehearsal can have, behind one face: a real node, or simulated nodes only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rehearsal.control.plane import ControlPlane, free_ports
from rehearsal.node.layout import Binaries, NodeSettings, Ports
from rehearsal.node.node import Node


class Cluster(Protocol):
    """What a session needs of a cluster, whichever kind it is."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig on this machine."""
        ...

    @property
    def service_account_key(self) -> Path:
        """The public key of the cluster's service account tokens, PEM."""
        ...

    @property
    def registry(self) -> str | None:
        """Where images are pushed to, "host:port"; None where nothing is pulled."""
        ...

    @property
    def gateway_port(self) -> int | None:
        """The port of 127.0.0.1 behind which the gateway answers; None where none does."""
        ...

    @property
    def controller_flags(self) -> tuple[str, ...]:
        """What the cloud controller has to know of it."""
        ...

    def start(self) -> None:
        """Start it, or find it running, and wait until it is ready."""
        ...

    def stop(self) -> None:
        """End it; what it holds is kept."""
        ...

    def parts(self) -> dict[str, bool]:
        """Its parts and whether each runs."""
        ...


class SimulatedCluster:
    """A real control plane; every node and pod is simulated. Needs no root."""

    registry = None
    gateway_port = None
    controller_flags = ()

    def __init__(self, folder: Path, tools: Mapping[str, Path]) -> None:
        self._plane = ControlPlane(folder, tools)
        self.kubeconfig = self._plane.kubeconfig
        self.service_account_key = self._plane.service_account_key

    def start(self) -> None:
        """Start the control plane and wait until it is ready."""
        self._plane.start()

    def stop(self) -> None:
        """End the control plane."""
        self._plane.stop()

    def parts(self) -> dict[str, bool]:
        """The control plane's processes."""
        return self._plane.parts()


class RealCluster:
    """One real node with everything that it runs. Needs root."""

    def __init__(self, folder: Path, cache: Path, tools: Mapping[str, Path], emulator_socket: Path) -> None:
        self._settings = NodeSettings(
            folder=folder,
            cache=cache,
            binaries=Binaries.built(tools),
            ports=_ports(folder.parent / "node-ports.json"),
            emulator_socket=emulator_socket,
        )
        self._node = Node(self._settings)
        self.kubeconfig = self._node.kubeconfig
        self.service_account_key = self._node.service_account_key
        self.registry: str | None = self._node.registry
        self.gateway_port: int | None = self._settings.ports.https
        self.controller_flags = ("--real-node", self._settings.name, "--real-pool", "cpu")

    def start(self) -> None:
        """Start the node and wait until Kubernetes calls it Ready."""
        self._node.start()
        self._node.wait_ready()

    def stop(self) -> None:
        """End the node and everything in it."""
        self._node.stop()

    def parts(self) -> dict[str, bool]:
        """The node's processes; one entry for the whole where it does not run."""
        found = {service.name: service.state in ("ready", "done") for service in self._node.status()}
        return found or {"node": False}


def _ports(file: Path) -> Ports:
    """The node's ports on this machine: chosen once, so that kubeconfig and state stay true over a restart."""
    if file.exists():
        return Ports(**json.loads(file.read_text()))
    api, registry, https, http = free_ports(4)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"api": api, "registry": registry, "https": https, "http": http}))
    return Ports(api=api, registry=registry, https=https, http=http)
