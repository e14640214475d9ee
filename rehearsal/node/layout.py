"""Where things are in the node: addresses of its network and folders of its mount namespace.

The node's state folder is mounted at a fixed place inside, so that configurations and volumes do not depend on where
the checkout is, and sockets stay within the length that the kernel allows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NODE_ADDRESS = "10.77.0.1"
GATEWAY_ADDRESS = "10.77.0.10"
"""What the cloud's load balancer would give the gateway: kube-proxy serves it once it is the Service's ingress IP."""
VALIDATION_ADDRESS = "10.77.0.11"
"""What the node's own processes take for the gateway, as does the authority: passed on to it, and patient while it is
not there yet."""
POD_RANGE = "10.88.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
"""The API server's own Service always gets the first address of the range."""
DNS_SERVICE_ADDRESS = "10.96.0.10"
API_PORT = 6443
REGISTRY_PORT = 5000
HUB_PORT = 8089

HOME = Path("/run/slm")
"""The node's state folder as its processes see it."""
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")


@dataclass(frozen=True)
class Binaries:
    """The pinned programs that a node runs. `kubernetes` is one binary with its components as subcommands."""

    kubernetes: Path
    etcd: Path
    registry: Path
    coredns: Path
    caddy: Path
    local_path_provisioner: Path
    pause: Path
    kwok: Path
    containerd: Path = Path("/usr/bin/containerd")
    cni: Path = Path("/usr/lib/cni")

    @staticmethod
    def built(tools: Mapping[str, Path]) -> "Binaries":
        """From the toolchain's names (`rehearsal.toolchain.NODE`)."""
        return Binaries(
            kubernetes=tools["kube"],
            etcd=tools["etcd"],
            registry=tools["registry"],
            coredns=tools["coredns"],
            caddy=tools["caddy"],
            local_path_provisioner=tools["local-path-provisioner"],
            pause=tools["pause"],
            kwok=tools["kwok"],
        )


@dataclass(frozen=True)
class Ports:
    """Where the node is published on 127.0.0.1 of this machine."""

    api: int
    registry: int
    https: int
    http: int

    def targets(self) -> dict[int, tuple[str, int]]:
        """The node's own address behind each port."""
        return {
            self.api: ("127.0.0.1", API_PORT),
            self.registry: ("127.0.0.1", REGISTRY_PORT),
            self.https: (GATEWAY_ADDRESS, 443),
            self.http: (GATEWAY_ADDRESS, 80),
        }


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What a node needs to know. `folder` holds its state, `cache` what every checkout of this machine shares.

    `emulator_socket` is where the Azure emulator answers the secrets driver; without it there is no driver.
    """

    folder: Path
    cache: Path
    binaries: Binaries
    ports: Ports
    name: str = "aks-cpu-vmss000000"
    emulator_socket: Path | None = None
    hub: bool = True

    @property
    def cgroup(self) -> str:
        """The name of the node's part of the cgroup tree; another folder has another one."""
        return f"slm-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"
