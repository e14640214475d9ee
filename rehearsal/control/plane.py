"""The control plane as a session sees it, on this machine and without root: start it, wait for it, stop it.

Owns its folder: certificates, kubeconfigs, etcd's data, the ports it chose. Does not own nodes (`cloud_controller`).
"""

import json
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path

import httpx

from rehearsal.control import addons, commands, pki
from rehearsal.control.kube import Kube
from rehearsal.errors import RehearsalError
from rehearsal.processes import Processes

FIELD_MANAGER = "slm-rehearsal"
SIMULATED = "simulated.csi.azure.com"
"""The provisioner of every storage class where no node is real: the cloud controller binds its claims."""
READY_SECONDS = 120
"""How long the API server may take before something must be wrong; 3 s is usual on an idle machine."""
_POLL_SECONDS = 0.1


class ControlPlane:
    """etcd, API server, controllers, scheduler and simulated nodes, in one folder."""

    def __init__(self, folder: Path, tools: Mapping[str, Path]) -> None:
        self._folder = folder
        self._tools = tools
        self._processes = Processes(folder)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._folder / "kubeconfigs" / "admin.kubeconfig"

    @property
    def service_account_key(self) -> Path:
        """The public key of the cluster's service account tokens, PEM."""
        return self._folder / "pki" / "sa.pub"

    def parts(self) -> dict[str, bool]:
        """Which parts run."""
        return {name: self._processes.alive(name) for name in self._processes.names()}

    def start(self) -> None:
        """Start what does not run, and wait until the API server is ready and has the add-ons' objects.

        Raises:
            RehearsalError: if a part ends or never becomes ready.
        """
        addresses = self._addresses()
        pki.ensure(self._folders.pki, ("127.0.0.1", "10.96.0.1"))
        for user in (*pki.USERS,):
            file = self._folders.kubeconfigs / f"{user}.kubeconfig"
            pki.write_kubeconfig(file, self._folders.pki, user, addresses.local_server)
        kube = self._tools["kube"]
        start = self._processes.start
        start("etcd", commands.etcd(self._tools["etcd"], addresses, self._folders))
        start("apiserver", commands.apiserver(kube, addresses, self._folders))
        self._wait_ready(addresses)
        start("controller-manager", commands.controller_manager(kube, addresses, self._folders))
        start("scheduler", commands.scheduler(kube, addresses, self._folders))
        start("kwok", commands.kwok(self._tools["kwok"], self._folders))
        client = Kube(self.kubeconfig, FIELD_MANAGER)
        addons.install(client, SIMULATED)
        client.close()

    def stop(self) -> None:
        """End every part, etcd last. What the cluster holds is kept for the next start."""
        self._processes.stop_all()

    @property
    def _folders(self) -> commands.Folders:
        return commands.Folders(
            pki=self._folder / "pki", kubeconfigs=self._folder / "kubeconfigs", etcd=self._folder / "etcd"
        )

    def _addresses(self) -> commands.Addresses:
        """The last start's ports, so that a kubeconfig stays true; others if one was taken meanwhile."""
        file = self._folder / "ports.json"
        if file.exists():
            addresses = commands.Addresses(**json.loads(file.read_text()))
            if any(self.parts().values()) or _all_free(addresses):
                return addresses
        self._folder.mkdir(parents=True, exist_ok=True)
        api, etcd, peer, manager, scheduler = free_ports(5)
        # Advertised to pods, of which none is real: an address of no machine is better than a loopback one, which
        # the API server refuses.
        addresses = commands.Addresses("127.0.0.1", "10.77.0.1", api, etcd, peer, manager, scheduler)
        file.write_text(json.dumps(asdict(addresses)))
        return addresses

    def _wait_ready(self, addresses: commands.Addresses) -> None:
        context = ssl.create_default_context(cafile=self._folders.pki / "ca.crt")
        context.load_cert_chain(self._folders.pki / "admin.crt", self._folders.pki / "admin.key")
        deadline = time.monotonic() + READY_SECONDS
        with httpx.Client(base_url=addresses.local_server, verify=context, timeout=5, trust_env=False) as client:
            while not _ready(client):
                for part in ("etcd", "apiserver"):
                    if not self._processes.alive(part):
                        raise self._trouble(f"{part} ended")
                if time.monotonic() > deadline:
                    raise self._trouble(f"the API server was not ready after {READY_SECONDS} s")
                time.sleep(_POLL_SECONDS)

    def _trouble(self, what: str) -> RehearsalError:
        logs = self._folder / "logs"
        return RehearsalError(f"The control plane did not start: {what}", f"See the logs in {logs} and try again")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def _all_free(addresses: commands.Addresses) -> bool:
    ports = [value for name, value in asdict(addresses).items() if name.endswith("_port")]
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
    return True


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == HTTPStatus.OK
    except httpx.HTTPError:
        return False
