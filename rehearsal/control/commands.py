"""A control plane's command lines, rendered by pure functions: the same on this machine and inside a node.

Settings that look arbitrary were tried; the reason stands beside each. Does not own the processes nor the
files they read.
"""

from dataclasses import dataclass
from pathlib import Path

Argv = tuple[str, ...]


@dataclass(frozen=True)
class Addresses:
    """Where the parts listen. The API server binds to `bind`; everything else to 127.0.0.1."""

    bind: str
    advertise: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    controller_manager_port: int
    scheduler_port: int
    service_range: str = "10.96.0.0/16"

    @property
    def local_server(self) -> str:
        """The API server's URL for a part that runs beside it."""
        return f"https://127.0.0.1:{self.api_port}"


@dataclass(frozen=True)
class Folders:
    """Where the parts find their files: certificates (`pki.ensure`), kubeconfigs by user's name, etcd's data."""

    pki: Path
    kubeconfigs: Path
    etcd: Path


def etcd(binary: Path, addresses: Addresses, folders: Folders) -> Argv:
    """etcd for one machine. It syncs to disk: a rehearsal must survive a power cut as a cluster would."""
    client = f"http://127.0.0.1:{addresses.etcd_port}"
    peer = f"http://127.0.0.1:{addresses.etcd_peer_port}"
    return (
        str(binary),
        f"--data-dir={folders.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    )


def apiserver(binary: Path, addresses: Addresses, folders: Folders) -> Argv:
    """The API server, with the admission that AKS has for what is rehearsed here (Pod Security is on by default)."""
    pki = folders.pki
    return (
        str(binary),
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{addresses.etcd_port}",
        f"--bind-address={addresses.bind}",
        f"--advertise-address={addresses.advertise}",
        f"--secure-port={addresses.api_port}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        # Azure's issuer is a public URL; the emulator's answer for `oidcIssuerProfile` names this one.
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={addresses.service_range}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki / 'front-ca.crt'}",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    )


def controller_manager(binary: Path, addresses: Addresses, folders: Folders) -> Argv:
    """The controllers. One instance, so no election."""
    pki = folders.pki
    return (
        str(binary),
        "kube-controller-manager",
        *_as_user(folders, "controller-manager"),
        f"--secure-port={addresses.controller_manager_port}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
    )


def scheduler(binary: Path, addresses: Addresses, folders: Folders) -> Argv:
    """The scheduler."""
    return (
        str(binary),
        "kube-scheduler",
        *_as_user(folders, "scheduler"),
        f"--secure-port={addresses.scheduler_port}",
    )


def kwok(binary: Path, folders: Folders) -> Argv:
    """Simulated nodes: those annotated `kwok.x-k8s.io/node: fake`, and the pods that are scheduled to them.

    Its built-in stages make a pod Ready, or Succeeded where a Job owns it. Started after the API server answers: it
    gives up where there is none.
    """
    return (
        str(binary),
        f"--kubeconfig={folders.kubeconfigs / 'kwok.kubeconfig'}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--cidr=10.99.0.1/24",
        "--node-ip=10.77.0.2",
        "--node-port=0",
        "--node-lease-duration-seconds=40",
    )


def _as_user(folders: Folders, user: str) -> Argv:
    file = folders.kubeconfigs / f"{user}.kubeconfig"
    return (
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )
