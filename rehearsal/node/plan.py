"""Which processes a node has, with their commands and what each waits for.

Pure but for `prepare`, which writes the files that they read. The control plane's own commands and certificates come
from `rehearsal.control`, the same for a simulated cluster.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from rehearsal.control import commands, pki
from rehearsal.node import addons, configuration
from rehearsal.node.certificates import ensure_root
from rehearsal.node.layout import (
    API_PORT,
    CONTAINERD_SOCKET,
    FIRST_SERVICE_ADDRESS,
    GATEWAY_ADDRESS,
    HOME,
    HUB_PORT,
    NODE_ADDRESS,
    REGISTRY_PORT,
    SERVICE_RANGE,
    VALIDATION_ADDRESS,
    NodeSettings,
)
from rehearsal.node.services import Plan, Service

ETC = HOME / "etc"
FOLDERS = commands.Folders(pki=HOME / "pki", kubeconfigs=ETC, etcd=HOME / "etcd")
ADDRESSES = commands.Addresses(
    # Every address: pods reach the API server at the node's, its own components at 127.0.0.1.
    bind="0.0.0.0",  # noqa: S104 - within the node's own network
    advertise=NODE_ADDRESS,
    api_port=API_PORT,
    etcd_port=2379,
    etcd_peer_port=2380,
    controller_manager_port=10257,
    scheduler_port=10259,
    service_range=SERVICE_RANGE,
)
USERS = ("admin", "controller-manager", "scheduler", "proxy", "dns", "kwok", "kubelet")


def prepare(settings: NodeSettings) -> None:
    """Write what the processes read: certificates, kubeconfigs and configuration files."""
    certificates = settings.folder / "pki"
    pki.ensure(certificates, ["127.0.0.1", NODE_ADDRESS, FIRST_SERVICE_ADDRESS], settings.name)
    for user in USERS:
        pki.write_kubeconfig(settings.folder / "etc" / f"{user}.kubeconfig", certificates, user, ADDRESSES.local_server)
    published = f"https://127.0.0.1:{settings.ports.api}"
    pki.write_kubeconfig(settings.folder / "kubeconfig", certificates, "admin", published)
    for name, text in configuration.render(settings.name, settings.binaries).items():
        file = settings.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ensure_root(settings.cache / "ca")
    for folder in _binds(settings).values():
        Path(folder).mkdir(parents=True, exist_ok=True)


def make(settings: NodeSettings, descriptors: Mapping[int, int]) -> Plan:
    """The node's plan. `descriptors` are the open listeners by port of this machine."""
    services = (
        *_images(settings),
        *_control_plane(settings),
        *_kubernetes(settings),
        *_around(settings),
        _publish(settings, descriptors),
    )
    return Plan(settings.name, settings.folder, settings.cgroup, _binds(settings), services)


def _binds(settings: NodeSettings) -> dict[str, str]:
    return {"/run/registry": str(settings.cache / "images/registry"), "/run/ca": str(settings.cache / "ca")}


def _images(settings: NodeSettings) -> list[Service]:
    binaries = settings.binaries
    return [
        Service(
            "containerd",
            (str(binaries.containerd), "--config", str(ETC / "containerd.toml")),
            ready=f"unix:{CONTAINERD_SOCKET}",
        ),
        Service(
            "registry",
            (str(binaries.registry), "serve", str(ETC / "registry.yaml")),
            ready=f"tcp:127.0.0.1:{REGISTRY_PORT}",
        ),
    ]


def _control_plane(settings: NodeSettings) -> list[Service]:
    kubernetes, local = settings.binaries.kubernetes, "tcp:127.0.0.1"
    controllers = (
        *commands.controller_manager(kubernetes, ADDRESSES, FOLDERS),
        # It makes this folder where it is missing, by default in /usr.
        f"--flex-volume-plugin-dir={HOME / 'kubelet/plugins-exec'}",
    )
    return [
        Service(
            "etcd",
            commands.etcd(settings.binaries.etcd, ADDRESSES, FOLDERS),
            ready=f"{local}:{ADDRESSES.etcd_port}",
        ),
        Service(
            "apiserver",
            commands.apiserver(kubernetes, ADDRESSES, FOLDERS),
            needs=("etcd",),
            ready=f"{ADDRESSES.local_server}/readyz",
        ),
        Service("controllers", controllers, needs=("apiserver",), ready=f"{local}:{ADDRESSES.controller_manager_port}"),
        Service(
            "scheduler",
            commands.scheduler(kubernetes, ADDRESSES, FOLDERS),
            needs=("apiserver",),
            ready=f"{local}:{ADDRESSES.scheduler_port}",
        ),
        Service("kwok", commands.kwok(settings.binaries.kwok, FOLDERS), needs=("apiserver",)),
    ]


def _kubernetes(settings: NodeSettings) -> list[Service]:
    kubernetes = str(settings.binaries.kubernetes)
    kubelet = (
        kubernetes,
        "kubelet",
        f"--config={ETC / 'kubelet.yaml'}",
        f"--kubeconfig={ETC / 'kubelet.kubeconfig'}",
        f"--hostname-override={settings.name}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={HOME / 'kubelet'}",
        f"--cert-dir={HOME / 'kubelet/pki'}",
        f"--cgroup-root=/{settings.cgroup}",
    )
    proxy = (kubernetes, "kube-proxy", f"--config={ETC / 'proxy.yaml'}")
    return [
        Service("kubelet", kubelet, needs=("apiserver", "containerd"), ready="tcp:127.0.0.1:10248"),
        Service("kube-proxy", proxy, needs=("apiserver",), ready="tcp:127.0.0.1:10256"),
    ]


def _around(settings: NodeSettings) -> list[Service]:
    binaries, admin = settings.binaries, str(ETC / "admin.kubeconfig")
    storage = (
        str(binaries.local_path_provisioner),
        "start",
        f"--kubeconfig={admin}",
        f"--config={ETC / 'storage.json'}",
        f"--namespace={addons.STORAGE_NAMESPACE}",
        f"--service-account-name={addons.STORAGE_ACCOUNT}",
        f"--helper-image={configuration.HELPER_IMAGE}",
        f"--helper-pod-file={ETC / 'helper-pod.yaml'}",
        f"--configmap-name={addons.STORAGE_CONFIGURATION}",
    )
    dns = (str(binaries.coredns), "-conf", str(ETC / "Corefile"))
    authority = (str(binaries.caddy), "run", "--config", str(ETC / "authority.Caddyfile"), "--adapter", "caddyfile")
    services = [
        Service("coredns", dns, needs=("apiserver",), ready="tcp:127.0.0.1:8181"),
        Service("authority", authority, ready=f"tcp:{NODE_ADDRESS}:443"),
        Service("addons", _module("rehearsal.node.addons", admin), needs=("apiserver",), ready="done"),
        Service("storage", storage, needs=("addons",)),
    ]
    if settings.hub:
        hub = _module("rehearsal.fixture.hub", "--host", "127.0.0.1", "--port", str(HUB_PORT))
        services.append(Service("hub", hub, ready=f"tcp:127.0.0.1:{HUB_PORT}"))
    if settings.emulator_socket:
        services.append(_secrets(settings.name, settings.emulator_socket, admin))
    return services


def _secrets(node: str, socket: Path, kubeconfig: str) -> Service:
    plugin, registrations = HOME / "kubelet/plugins/secrets-store", HOME / "kubelet/plugins_registry"
    argv = _module("rehearsal.node.csi", kubeconfig, node, str(socket), str(plugin), str(registrations))
    return Service("secrets-store", argv, needs=("apiserver",), ready=f"unix:{plugin}/csi.sock")


def _publish(settings: NodeSettings, descriptors: Mapping[int, int]) -> Service:
    targets = settings.ports.targets()
    pairs = [f"{descriptor}={targets[port][0]}:{targets[port][1]}" for port, descriptor in descriptors.items()]
    patient = [f"{VALIDATION_ADDRESS}:{port}={GATEWAY_ADDRESS}:{port}" for port in (443, 80)]
    argv = _module("rehearsal.node.publish", *pairs, *patient)
    return Service("publish", argv, descriptors=tuple(descriptors.values()))


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
