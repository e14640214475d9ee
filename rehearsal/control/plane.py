"""The control plane as a session sees it, on this machine and without root: start it, wait for it, stop it.

Owns its folder: certificates, kubeconfigs, etcd's data, the ports it chose. Does not own nodes (`cloud_controller`).
"""

import json
import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path

import httpx

from rehearsal.control import addons, commands, pki
from rehearsal.control.claims import SIMULATED
from rehearsal.control.kube import Kube
from rehearsal.errors import RehearsalError
from rehearsal.processes import Processes

FIELD_MANAGER = "slm-rehearsal"
READY_SECONDS = 180
"""How long the parts may take before something must be wrong; 3 to 5 s is usual on an idle machine."""
_POLL_SECONDS = 0.1
_PORTS = {
    "etcd": ("etcd_port", "etcd_peer_port"),
    "apiserver": ("api_port",),
    "controller-manager": ("controller_manager_port",),
    "scheduler": ("scheduler_port",),
    "kwok": (),
}
"""The parts in the order in which they start, each with the ports it listens on."""


class ControlPlane:
    """etcd, API server, controllers, scheduler and simulated nodes, in one folder."""

    def __init__(self, folder: Path, tools: Mapping[str, Path]) -> None:
        self._folder = folder
        self._tools = tools
        self._processes = Processes(folder)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._folders.kubeconfigs / "admin.kubeconfig"

    @property
    def service_account_key(self) -> Path:
        """The public key of the cluster's service account tokens, PEM."""
        return self._folders.pki / "sa.pub"

    def parts(self) -> dict[str, bool]:
        """Which parts run."""
        return {name: self._processes.alive(name) for name in self._processes.names()}

    def start(self) -> None:
        """Start what does not run, wait until all of it works, and have the add-ons' objects in it.

        Raises:
            RehearsalError: if a part ends or never becomes ready.
        """
        if pki.ensure(self._folders.pki, ("127.0.0.1", "10.96.0.1")):
            self.stop()  # What runs would go on with the old certificates.
        addresses = self._addresses()
        for user in pki.USERS:
            file = self._folders.kubeconfigs / f"{user}.kubeconfig"
            pki.write_kubeconfig(file, self._folders.pki, user, addresses.local_server)
        argv = self._commands(addresses)
        for part in ("etcd", "apiserver"):
            self._processes.start(part, argv[part])
        self._wait("the API server", lambda: _answers(addresses.local_server, self._admin()), "etcd", "apiserver")
        for part in _PORTS:
            self._processes.start(part, argv[part])
        with self._kube() as kube:
            addons.install(kube, SIMULATED)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every part works and pods can be made.

        Raises:
            RehearsalError: if a part has ended, or is not ready after `READY_SECONDS`.
        """
        addresses = self._addresses()
        for part, port in (
            ("controller-manager", addresses.controller_manager_port),
            ("scheduler", addresses.scheduler_port),
        ):
            url = f"https://127.0.0.1:{port}"
            # Its certificate is its own making, and nothing but "ok" is read.
            self._wait(part, lambda url=url: _answers(url, False), part)
        with self._kube() as kube:
            # The controllers make it; no pod is admitted to a namespace that has none.
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("the controllers", lambda: kube.get(account) is not None, *_PORTS)

    def stop(self) -> None:
        """End every part, etcd last. What the cluster holds is kept for the next start."""
        self._processes.stop_all()

    @property
    def _folders(self) -> commands.Folders:
        return commands.Folders(
            pki=self._folder / "pki", kubeconfigs=self._folder / "kubeconfigs", etcd=self._folder / "etcd"
        )

    def _commands(self, addresses: commands.Addresses) -> dict[str, commands.Argv]:
        kube, folders = self._tools["kube"], self._folders
        return {
            "etcd": commands.etcd(self._tools["etcd"], addresses, folders),
            "apiserver": commands.apiserver(kube, addresses, folders),
            "controller-manager": commands.controller_manager(kube, addresses, folders),
            "scheduler": commands.scheduler(kube, addresses, folders),
            "kwok": commands.kwok(self._tools["kwok"], folders),
        }

    def _addresses(self) -> commands.Addresses:
        """The last start's ports, so that a kubeconfig stays true; others if one was taken meanwhile."""
        file = self._folder / "ports.json"
        if file.exists():
            addresses = commands.Addresses(**json.loads(file.read_text()))
            if self._may_listen(addresses):
                return addresses
            self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        api, etcd, peer, manager, scheduler = free_ports(5)
        # Advertised to pods, of which none is real: an address of no machine is better than a loopback one, which
        # the API server refuses.
        addresses = commands.Addresses("127.0.0.1", "10.77.0.1", api, etcd, peer, manager, scheduler)
        file.write_text(json.dumps(asdict(addresses)))
        return addresses

    def _may_listen(self, addresses: commands.Addresses) -> bool:
        """Whether the ports of every part that does not run are free."""
        given = asdict(addresses)
        idle = [ports for part, ports in _PORTS.items() if not self._processes.alive(part)]
        return _all_free([given[name] for ports in idle for name in ports])

    def _admin(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._folders.pki / "ca.crt")
        context.load_cert_chain(self._folders.pki / "admin.crt", self._folders.pki / "admin.key")
        return context

    @contextmanager
    def _kube(self) -> Generator[Kube]:
        kube = Kube(self.kubeconfig, FIELD_MANAGER)
        try:
            yield kube
        finally:
            kube.close()

    def _wait(self, what: str, condition: Callable[[], bool], *parts: str) -> None:
        """Wait for a condition for as long as these parts run."""
        deadline = time.monotonic() + READY_SECONDS
        while not _holds(condition):
            for part in parts:
                if not self._processes.alive(part):
                    raise self._trouble(f"{part} ended", part)
            if time.monotonic() > deadline:
                raise self._trouble(f"{what} did not become ready in {READY_SECONDS} s", parts[-1])
            time.sleep(_POLL_SECONDS)

    def _trouble(self, what: str, part: str) -> RehearsalError:
        return RehearsalError(
            f"The control plane did not start: {what}", f"See {self._processes.log(part)} and run the command again"
        )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def _all_free(ports: list[int]) -> bool:
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
    return True


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except httpx.HTTPError:
        return False


def _answers(url: str, verify: ssl.SSLContext | bool) -> bool:
    """Whether a part says of itself that it is ready."""
    path = "/readyz" if verify else "/healthz"
    return httpx.get(f"{url}{path}", verify=verify, timeout=5, trust_env=False).status_code == HTTPStatus.OK
