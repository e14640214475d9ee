"""The node as a session sees it: start it, wait for it, look at it, stop it and leave nothing behind.

Owns the state folder's `node` part and the namespaces' first process. Everything that runs in them, runs under
`supervisor`; what runs is `plan`'s business.

Not checked:
- AKS' node image, kernel and container runtime: this machine's kernel and Debian's containerd run the pods.
- The Azure CNI and Cilium: pods are on one bridge, and NetworkPolicies are accepted but not enforced.
- More than one real node: every pod that is not simulated runs here, whatever its spread or affinity.
- Reaching kubelet is allowed to every client with a certificate of the cluster.
"""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import rehearsal
from rehearsal.control.kube import Kube
from rehearsal.errors import RehearsalError
from rehearsal.node import cgroups, memory, plan
from rehearsal.node.layout import Binaries, NodeSettings
from rehearsal.processes import Processes

TOOLS = ("unshare", "ip", "mount", "nft", "runc", "containerd")
_PROCESS = "node"
_POLL_SECONDS = 0.1
_VOLATILE = ("status.json", "varlog", "podlogs", "kubelet/plugins_registry")
"""What a new start makes again: leftovers of these would be taken for running things."""


@dataclass(frozen=True)
class ServiceStatus:
    """One of the node's processes: `state` is waiting, starting, ready or done; times count from its start."""

    name: str
    state: str
    restarts: int
    ready_after_seconds: float | None


class Node:
    """One real node; at most one for each state folder."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._processes = Processes(settings.folder)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig for use on this machine, through the published port."""
        return self._folder / "kubeconfig"

    @property
    def service_account_key(self) -> Path:
        """The public key (PEM) of the cluster's service account tokens, for whoever checks them."""
        return self._folder / "pki" / "sa.pub"

    @property
    def registry(self) -> str:
        """The registry's address on this machine, "host:port"."""
        return f"127.0.0.1:{self._settings.ports.registry}"

    @property
    def pid(self) -> int | None:
        """The process whose end ends the node; None if it does not run."""
        return self._processes.start(_PROCESS, []) if self.running else None

    @property
    def running(self) -> bool:
        """Whether the node's first process runs."""
        return self._processes.alive(_PROCESS)

    def start(self) -> None:
        """Start the node, unless it runs; clear away first what a start that was cut off left.

        Raises:
            RehearsalError: without root or a tool, or if a port is in use.
        """
        if self.running:
            return
        _require(self._settings.binaries)
        self._clear()
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as listeners:
            sockets = {port: listeners.enter_context(_listen(port)) for port in self._settings.ports.targets()}
            descriptors = {port: listener.fileno() for port, listener in sockets.items()}
            plan.prepare(self._settings)
            file = self._folder / "plan.json"
            file.write_text(plan.make(self._settings, descriptors).to_json())
            self._processes.start(
                _PROCESS, _command(file), env=_environment(), cwd=self._folder, pass_fds=sorted(descriptors.values())
            )

    def wait_ready(self, patience_seconds: float = 180) -> None:
        """Wait until every service is ready and Kubernetes calls the node Ready.

        Raises:
            RehearsalError: if the node ends or is not ready in time; names the first service that is not.
        """
        deadline = time.monotonic() + patience_seconds
        while not self._ready():
            if not self.running:
                raise RehearsalError("The node ended while it started", f"See {self._processes.log(_PROCESS)}")
            if time.monotonic() > deadline:
                raise self._late(patience_seconds)
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End everything that the node is; its state stays for the next start. Also repairs a start that was cut off.

        Raises:
            RehearsalError: if something of it does not end.
        """
        self._processes.stop(_PROCESS)
        self._clear()

    def wipe(self) -> None:
        """Stop, and remove the node's state: cluster, volumes and pulled images. The cache is kept."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def status(self) -> list[ServiceStatus]:
        """The node's processes in the order in which they were asked for; empty if it does not run."""
        if not self.running:
            return []
        rows = self._read_status()
        return [
            ServiceStatus(name, row["state"], row["restarts"], row["ready_after_seconds"]) for name, row in rows.items()
        ]

    def memory_table(self) -> list[memory.Row]:
        """Resident and proportional memory of each service and pod, the largest first."""
        if not self.running:
            return []
        names = {row["pid"]: name for name, row in self._read_status().items() if row["pid"]}
        return memory.table(self._settings.cgroup, names)

    def kill(self, service: str) -> None:
        """End one service's process the hard way, as a fault would; the supervisor starts it again.

        Raises:
            RehearsalError: if the service does not run.
        """
        wanted = self._read_status().get(service, {}).get("pid") if self.running else None
        for pid in cgroups.processes(self._settings.cgroup):
            with suppress(OSError):
                if wanted is not None and memory.pid_inside(pid) == wanted:
                    os.kill(pid, signal.SIGKILL)
                    return
        raise RehearsalError(f"The node's {service} does not run", "See `rehearse status`")

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the node's namespaces (as root), for looking at it from there."""
        return ["nsenter", "--target", str(self._init()), "--net", "--mount", "--pid", "--uts", *argv]

    def _init(self) -> int:
        first = self.pid
        if first is None:
            raise RehearsalError("The node does not run", "Start a rehearsal")
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return int(children[0])

    def _ready(self) -> bool:
        rows = self._read_status()
        if not rows or any(row["state"] not in ("ready", "done") for row in rows.values()):
            return False
        with suppress(httpx.HTTPError):
            kube = Kube(self.kubeconfig, "slm-rehearsal-node")
            node = kube.get(f"/api/v1/nodes/{self._settings.name}")
            kube.close()
            conditions: list[dict[str, str]] = node["status"].get("conditions", []) if node else []
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return False

    def _late(self, patience_seconds: float) -> RehearsalError:
        waiting = [name for name, row in self._read_status().items() if row["state"] not in ("ready", "done")]
        culprit = waiting[0] if waiting else "kubelet"
        log = self._folder / "logs" / f"{culprit}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        last = lines[-1][:300] if lines else "it says nothing"
        return RehearsalError(f"The node's {culprit} is not ready after {patience_seconds:.0f} s: {last}", f"See {log}")

    def _read_status(self) -> dict[str, Any]:
        try:
            return json.loads((self._folder / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def _clear(self) -> None:
        """Take away what the namespaces do not take with them, and state that must not outlive a run."""
        cgroups.remove(self._settings.cgroup)
        made = self._folder / "made.json"
        if made.exists():
            for name in json.loads(made.read_text()):
                path = Path(name)
                with suppress(OSError):
                    path.rmdir() if path.is_dir() else path.unlink()
            made.unlink()
        for name in _VOLATILE:
            path = self._folder / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _command(file: Path) -> list[str]:
    namespaces = ["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *namespaces, "--", sys.executable, "-m", "rehearsal.node.supervisor", str(file)]


def _environment() -> dict[str, str]:
    """Little is inherited: proxies and credentials of the user's shell are no business of the node's services."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(rehearsal.__file__).parent.parent), "PYTHONUNBUFFERED": "1", "HOME": "/run"}


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=256)
    except OSError as error:
        raise RehearsalError(
            f"Port {port} of 127.0.0.1 is in use", "Stop what listens there, or choose another port"
        ) from error


def _require(binaries: Binaries) -> None:
    if os.geteuid() != 0:
        raise RehearsalError(
            "A full rehearsal needs root, for the node's namespaces", "Run as root, or use --depth control"
        )
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    missing += [str(path) for path in vars(binaries).values() if not path.exists()]
    if missing:
        raise RehearsalError(f"Missing on this machine: {', '.join(missing)}", "Run the rehearsal, which installs them")
