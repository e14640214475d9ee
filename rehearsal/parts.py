"""The session's smaller parts: the emulator and its controller, the images, the front, the post-deploy suite."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rehearsal.cluster import Cluster
from rehearsal.control.plane import free_ports
from rehearsal.errors import RehearsalError
from rehearsal.front import Front
from rehearsal.node import recipes
from rehearsal.node.certificates import ensure_root
from rehearsal.node.images import ImageStore, node_images
from rehearsal.processes import Processes
from rehearsal.toolchain import Toolchain
from rehearsal.toolchain.catalogue import GO_TOOLS
from runtimes.fingerprint import image_tag

START_SECONDS = 60
"""How long a process of ours may take to listen before something must be wrong; 1 to 3 s is usual."""
FRONT_PORT = 8443


class Azure:
    """The emulator of Azure, and what Azure does to the cluster from outside."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self._folder = folder
        self._processes = processes

    @property
    def socket(self) -> Path:
        """Where the emulator answers from inside another network namespace."""
        return self._folder / "arm.sock"

    @property
    def variables(self) -> dict[str, str]:
        """What the azure-native provider needs to find the emulator."""
        return {"SLM_ARM_ENDPOINT": f"http://127.0.0.1:{self._port()}", "SLM_ARM_TOKEN_FILE": str(self._token_file())}

    def start(self, cluster: Cluster) -> None:
        """Start the emulator, unless it runs, and wait until it listens."""
        registry = [] if cluster.registry is None else ["--registry", f"http://{cluster.registry}"]
        argv = [
            *_module("rehearsal.azure.emulator", "--state", str(self._folder), "--port", str(self._port())),
            *("--uds", str(self.socket), "--token-file", str(self._token_file()), *registry),
            *("--kubeconfig", str(cluster.kubeconfig), "--service-account-key", str(cluster.service_account_key)),
        ]
        self._processes.start("azure", argv, env=_environment())
        _wait_for_port("azure", self._port(), self._processes)

    def start_controller(self, cluster: Cluster) -> None:
        """Start the cloud controller, unless it runs."""
        argv = [
            *_module("rehearsal.control.cloud_controller", "--kubeconfig", str(cluster.kubeconfig)),
            *("--arm-endpoint", self.variables["SLM_ARM_ENDPOINT"], "--arm-token-file", str(self._token_file())),
            *cluster.controller_flags,
        ]
        self._processes.start("cloud-controller", argv, env=_environment())

    def _port(self) -> int:
        return _kept_port(self._folder / "port")

    def _token_file(self) -> Path:
        file = self._folder / "token"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32))
        return file


def have_images(checkout: Path, cache: Path, toolchain: Toolchain, registry: str, say: Callable[[str], None]) -> None:
    """Have every image that the stack pulls in the node's registry, built from its own Dockerfile."""
    store = ImageStore(cache / "images", ensure_root(cache / "ca"), say)
    onnx = checkout / "runtimes" / "onnx"
    wanted = [
        *node_images(store, toolchain.tool("pause")),
        recipes.ImageRequest("caddy", GO_TOOLS["caddy"].version, recipes.caddy(toolchain.tool("caddy"), store.roots())),
        recipes.ImageRequest(
            "slm-onnx", image_tag(onnx), recipes.from_folder(onnx, arguments={"PYTHON_IMAGE": store.base()})
        ),
    ]
    store.ensure(wanted, registry)


def front_port(file: Path, *, running: bool) -> int:
    """The port that users see: 8443, or another one if that is taken; the same again while it is free or ours."""
    port = int(file.read_text()) if file.exists() else FRONT_PORT
    if not running and not _is_free(port):
        port = FRONT_PORT if _is_free(FRONT_PORT) else free_ports(1)[0]
    file.write_text(str(port))
    return port


def start_front(front: Front, folder: Path, caddy: Path, processes: Processes) -> None:
    """Start the front, or start it again if what it is for has changed; wait until it listens."""
    configuration = folder / "front.Caddyfile"
    if not configuration.exists() or configuration.read_text() != front.caddyfile():
        processes.stop("front")
        configuration.write_text(front.caddyfile())
    argv = [str(caddy), "run", "--config", str(configuration), "--adapter", "caddyfile"]
    processes.start("front", argv, env={**_environment(), "HOME": str(folder)})
    _wait_for_port("front", front.port, processes)


def run_endpoint_tests(checkout: Path, asking: Mapping[str, str], log: Path) -> str:
    """Run the post-deploy suite against an endpoint; its closing line.

    Raises:
        RehearsalError: if a test fails; names the first.
    """
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/endpoints"]
    environment = {**os.environ, **asking, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        argv, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout + done.stderr)
    lines = done.stdout.strip().splitlines() or ["pytest printed nothing"]
    if done.returncode:
        failed = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])
        raise RehearsalError(
            f"The endpoint tests failed: {failed}", f"The whole output is in {log}; the stack goes on running"
        )
    return lines[-1].strip("= ")


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _environment() -> dict[str, str]:
    """Little is inherited: the user's proxies and credentials are no business of the rehearsal's processes."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONUNBUFFERED": "1"}


def _kept_port(file: Path) -> int:
    """A port of this machine that was chosen once and is written down."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(free_ports(1)[0]))
    return int(file.read_text())


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _wait_for_port(name: str, port: int, processes: Processes) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not processes.alive(name) or time.monotonic() > deadline:
            raise RehearsalError(f"{name} did not start to listen", f"See {processes.log(name)} and try again")
        time.sleep(0.05)
