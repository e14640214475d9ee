"""One real node for the tests that need it, with an application built from a Dockerfile of their own."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal import paths
from rehearsal.control.kube import Kube
from rehearsal.control.plane import free_ports
from rehearsal.node.certificates import ensure_root
from rehearsal.node.images import ImageStore, node_images
from rehearsal.node.layout import Binaries, NodeSettings, Ports
from rehearsal.node.node import Node
from rehearsal.node.recipes import ImageRequest, caddy, from_folder
from rehearsal.toolchain import NODE, Toolchain
from tests.node.fake_azure import FakeAzure, serving
from tests.node.manifests import NAMESPACE, namespace, path

IMAGE = Path(__file__).parent / "image"
APP = "anyregistry.azurecr.io/node-test-app:1"
CADDY = "anyregistry.azurecr.io/caddy:2.11.1"


@dataclass(frozen=True)
class Rehearsed:
    """A running node, its API, its ports, and the Azure behind its secrets driver."""

    node: Node
    settings: NodeSettings
    kube: Kube
    http: httpx.Client
    azure: FakeAzure

    def apply(self, manifest: Any) -> None:
        self.kube.apply(path(manifest), manifest)

    def when(self, manifest_path: str, condition: Callable[[Any], bool]) -> Any:
        """The object as soon as it is there and the condition holds."""
        while not ((found := self.kube.get(manifest_path)) and condition(found)):
            time.sleep(0.1)
        return found

    def when_ready(self, pod: str) -> Any:
        return self.when(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", is_ready)

    def ask(self, pod: str, method: str, what: str, content: bytes = b"") -> httpx.Response:
        """A request to a pod's port 8080, by way of the API server."""
        proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/{what}"
        return self.http.request(method, proxy, content=content)


def is_ready(pod: Any) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> NodeSettings:
    tools = Toolchain(paths.cache_dir(), print).ensure(NODE)
    folder = tmp_path_factory.mktemp("node")
    return NodeSettings(
        folder=folder / "node",
        cache=paths.cache_dir(),
        binaries=Binaries.built(tools),
        ports=Ports(*free_ports(4)),
        emulator_socket=folder / "arm.sock",
    )


@pytest.fixture(scope="session")
def rehearsed(settings: NodeSettings) -> Iterator[Rehearsed]:
    assert settings.emulator_socket
    node = Node(settings)
    subject = f"system:serviceaccount:{NAMESPACE}:default"
    with serving(settings.emulator_socket, subject, {"api-keys-default": "sk-first"}) as azure:
        node.start()
        try:
            node.wait_ready()
            _push(node, settings)
            kube = Kube(node.kubeconfig, "node-test")
            with _api(settings) as http:
                found = Rehearsed(node, settings, kube, http, azure)
                found.apply(namespace())
                # No pod is admitted to a namespace before its service account is there.
                found.when(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default", bool)
                yield found
            kube.close()
        finally:
            node.wipe()


def _api(settings: NodeSettings) -> httpx.Client:
    pki = settings.folder / "pki"
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    server = f"https://127.0.0.1:{settings.ports.api}"
    return httpx.Client(base_url=server, verify=context, timeout=30, trust_env=False)


def _push(node: Node, settings: NodeSettings) -> None:
    store = ImageStore(settings.cache / "images", ensure_root(settings.cache / "ca"), print)
    app = from_folder(IMAGE, arguments={"PYTHON_IMAGE": store.base()})
    wanted = [
        *node_images(store, settings.binaries.pause),
        ImageRequest("node-test-app", "1", app),
        ImageRequest("caddy", "2.11.1", caddy(settings.binaries.caddy, store.roots())),
    ]
    store.ensure(wanted, node.registry)
