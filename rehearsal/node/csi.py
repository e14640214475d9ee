"""The secrets store driver of the node: mounts a vault's secrets into pods, and brings changed ones up to date.

Stands for `secrets-store.csi.k8s.io` with its Azure provider, as AKS' add-on installs it. kubelet gives it the pod's
own token with each call and calls again every few seconds, so a rotated secret arrives without a restart.

Not checked:
- SecretProviderClassPodStatus objects are not written.
- The add-on's rotation interval (2 minutes by default) is kubelet's here (about 10 seconds).
- The driver's own identity, taints and metrics.

    python -m rehearsal.node.csi KUBECONFIG NODE EMULATOR-SOCKET PLUGIN-FOLDER REGISTRATION-FOLDER
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import grpc
import httpx

from rehearsal.control.kube import Kube
from rehearsal.node.atomic import write_atomically
from rehearsal.node.csi_messages import message
from rehearsal.node.vault import AUDIENCE, DRIVER, VaultError, parse, read

_CLASSES = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{namespace}/secretproviderclasses/{name}"


class Reader(Protocol):
    """Who reads objects of the cluster; `Kube` does."""

    def get(self, path: str) -> Any:
        """The object at an API path, or None."""
        ...


class SecretsDriver:
    """The calls of the interface that kubelet makes to a node driver."""

    def __init__(self, kube: Reader, node: str, socket: Path) -> None:
        self._kube = kube
        self._node = node
        self._socket = socket

    def plugin_info(self, _request: Any) -> Any:
        """Identity.GetPluginInfo."""
        return message("GetPluginInfoResponse")(name=DRIVER, vendor_version="rehearsal")

    def node_info(self, _request: Any) -> Any:
        """Node.NodeGetInfo."""
        return message("NodeGetInfoResponse")(node_id=self._node)

    def nothing(self, _request: Any) -> Any:
        """The calls whose answer is empty: no capabilities, ready."""
        return message("Empty")()

    def publish(self, request: Any) -> Any:
        """Node.NodePublishVolume: mount the secrets, or bring mounted ones up to date.

        Raises:
            VaultError: if they cannot be had; the pod then waits and its events say why.
        """
        context = {entry.key: entry.value for entry in request.volume_context}
        if not request.readonly:
            raise VaultError("Readonly is not true in request")
        target = Path(request.target_path)
        content = self._content(context)
        if not target.is_mount():
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(target)], check=True)
        if write_atomically(target, content):
            print(f"{context['csi.storage.k8s.io/pod.name']}: {sorted(content)} written", flush=True)
        return message("Empty")()

    def unpublish(self, request: Any) -> Any:
        """Node.NodeUnpublishVolume: take the mount away; it may be gone already."""
        target = Path(request.target_path)
        if target.is_mount():
            subprocess.run(["umount", str(target)], check=True)
        if target.exists():
            target.rmdir()
        return message("Empty")()

    def _content(self, context: Mapping[str, str]) -> dict[str, bytes]:
        namespace, name = context["csi.storage.k8s.io/pod.namespace"], context.get("secretProviderClass", "")
        try:
            found = self._kube.get(_CLASSES.format(namespace=namespace, name=name))
        except httpx.HTTPError as error:
            raise VaultError(f"cannot read SecretProviderClass {namespace}/{name}: {error}") from error
        if found is None:
            raise VaultError(f"SecretProviderClass {namespace}/{name} not found")
        tokens = json.loads(context.get("csi.storage.k8s.io/serviceAccount.tokens", "{}"))
        if AUDIENCE not in tokens:
            raise VaultError(f"kubelet gave no token for {AUDIENCE}: the CSIDriver object lacks tokenRequests")
        return read(parse(found["spec"]), tokens[AUDIENCE]["token"], self._socket)


class Registration:
    """kubelet's plugin registration: says where the driver listens."""

    def __init__(self, endpoint: Path) -> None:
        self._endpoint = endpoint

    def info(self, _request: Any) -> Any:
        """Registration.GetInfo."""
        return message("PluginInfo")(
            type="CSIPlugin", name=DRIVER, endpoint=str(self._endpoint), supported_versions=["1.0.0"]
        )

    def notify(self, request: Any) -> Any:
        """Registration.NotifyRegistrationStatus."""
        print(f"registered: {request.plugin_registered} {request.error}", flush=True)
        return message("Empty")()


def driver_handlers(driver: SecretsDriver) -> list[Any]:
    """The gRPC services of the driver's socket."""
    identity = {
        "GetPluginInfo": _handler("Empty", driver.plugin_info),
        "GetPluginCapabilities": _handler("Empty", driver.nothing),
        "Probe": _handler("Empty", driver.nothing),
    }
    node = {
        "NodeGetInfo": _handler("Empty", driver.node_info),
        "NodeGetCapabilities": _handler("Empty", driver.nothing),
        "NodePublishVolume": _handler("NodePublishVolumeRequest", driver.publish),
        "NodeUnpublishVolume": _handler("NodeUnpublishVolumeRequest", driver.unpublish),
    }
    return [_service("csi.v1.Identity", identity), _service("csi.v1.Node", node)]


def registration_handlers(registration: Registration) -> list[Any]:
    """The gRPC service of the registration's socket."""
    calls = {
        "GetInfo": _handler("Empty", registration.info),
        "NotifyRegistrationStatus": _handler("RegistrationStatus", registration.notify),
    }
    return [_service("pluginregistration.Registration", calls)]


def serve(socket: Path, handlers: Sequence[Any]) -> Any:
    """A started gRPC server on a Unix socket; a socket that an earlier run left there is replaced."""
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers(tuple(handlers))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server


def _service(name: str, calls: Mapping[str, Any]) -> Any:
    return grpc.method_handlers_generic_handler(name, dict(calls))


def _handler(request: str, call: Callable[[Any], Any]) -> Any:
    def answer(asked: Any, context: Any) -> Any:
        try:
            return call(asked)
        except VaultError as error:
            print(f"refused: {error}", flush=True)
            return context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=message(request).FromString, response_serializer=_serialize
    )


def _serialize(answer: Any) -> bytes:
    return answer.SerializeToString()


def main(argv: Sequence[str]) -> int:
    """Serve until the node ends."""
    kubeconfig, node, socket, plugin, registrations = argv
    endpoint = Path(plugin) / "csi.sock"
    driver = SecretsDriver(Kube(Path(kubeconfig), DRIVER), node, Path(socket))
    serving = serve(endpoint, driver_handlers(driver))
    registering = serve(Path(registrations) / f"{DRIVER}-reg.sock", registration_handlers(Registration(endpoint)))
    serving.wait_for_termination()
    registering.stop(None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
