"""The cloud controller as the session runs it, with a stand-in for the emulator's two listings.

The emulator's own behaviour is tested in tests/azure.
"""

import json
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rehearsal.control.kube import Kube
from rehearsal.control.plane import ControlPlane, free_ports
from rehearsal.paths import CHECKOUT
from rehearsal.processes import Processes

pytestmark = pytest.mark.cluster
CLUSTER = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/x/managedClusters/c"
NODE = "/api/v1/nodes/aks-cpu-vmss000000"


class Listings:
    """One cluster with some pools, for whoever brings the token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.pools: dict[str, dict[str, Any]] = {}
        self.is_there = True

    def answer(self, path: str) -> list[Any]:
        if path.endswith("/agentPools"):
            return [{"name": name, "properties": properties} for name, properties in self.pools.items()]
        state = {"provisioningState": "Succeeded" if self.is_there else "Deleting"}
        return [{"id": CLUSTER, "properties": state}]


@contextmanager
def _serving(listings: Listings, port: int) -> Generator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["Authorization"] == f"Bearer {listings.token}"
            body = json.dumps({"value": listings.answer(self.path.partition("?")[0])} if allowed else {}).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path / "controller")
    yield found
    found.stop_all()


def _when(kube: Kube, is_there: bool) -> None:
    while (kube.get(NODE) is not None) != is_there:
        time.sleep(0.1)


def test_it_waits_for_the_emulator_and_follows_it(
    plane: ControlPlane, kube: Kube, processes: Processes, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    token = tmp_path / "token"
    argv = [sys.executable, "-m", "rehearsal.control.cloud_controller", "--kubeconfig", str(plane.kubeconfig)]
    processes.start(
        "controller",
        [*argv, "--arm-endpoint", f"http://127.0.0.1:{port}", "--arm-token-file", str(token)],
        cwd=CHECKOUT,
    )
    log = processes.log("controller")
    listings = Listings("first")
    listings.pools["cpu"] = {"count": 1, "vmSize": "Standard_D4s_v5", "provisioningState": "Succeeded"}
    while "will try again" not in log.read_text():
        time.sleep(0.1)

    token.write_text("first")
    with _serving(listings, port):
        _when(kube, is_there=True)

    # Back with another token, and the pool on its way out.
    listings.token = "second"
    token.write_text("second\n")
    listings.pools["cpu"]["provisioningState"] = "Deleting"
    with _serving(listings, port):
        _when(kube, is_there=False)
        listings.pools["cpu"]["provisioningState"] = "Succeeded"
        _when(kube, is_there=True)
        listings.is_there = False
        _when(kube, is_there=False)

    assert processes.alive("controller")
    assert "node aks-cpu-vmss000000 joined" in log.read_text()
    assert "first" not in log.read_text()
