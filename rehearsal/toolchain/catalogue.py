"""Which tools there are, at which versions, and what each is for.

A Go tool's version is pinned by the `go.mod` in its folder under `go/`, and its content by the `go.sum` beside it.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "go"


@dataclass(frozen=True)
class GoTool:
    """A program that is built from a Go module of ours which pins and checksums all that goes into it."""

    name: str
    version: str
    package: str
    purpose: str
    seconds: int
    """How long a first build took on 2 idle cores, downloads included; shown, never enforced."""

    @property
    def module(self) -> Path:
        """The folder with its `go.mod` and `go.sum`."""
        return FOLDER / self.name


@dataclass(frozen=True)
class DebianPackage:
    """A program from Debian, with the file by which it is found."""

    name: str
    file: str
    purpose: str


GO_TOOLS = {
    tool.name: tool
    for tool in (
        GoTool("pulumi", "3.250.0", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "the deployment engine", 180),
        GoTool("etcd", "3.6.5", "go.etcd.io/etcd/server/v3", "Kubernetes' store", 20),
        GoTool("kube", "1.34.2", ".", "Kubernetes' components in one binary", 230),
        GoTool("kwok", "0.7.0", "sigs.k8s.io/kwok/cmd/kwok", "simulated nodes", 64),
        GoTool("coredns", "1.12.4", ".", "the cluster's name server", 40),
        GoTool("caddy", "2.11.1", "github.com/caddyserver/caddy/v2/cmd/caddy", "the gateway", 76),
        GoTool("registry", "3.0.0", "github.com/distribution/distribution/v3/cmd/registry", "the image registry", 53),
        GoTool(
            "local-path-provisioner", "0.0.30", "github.com/rancher/local-path-provisioner", "the cluster's volumes", 40
        ),
        GoTool("pause", "1", ".", "holds a pod's namespaces", 2),
    )
}
PACKAGES = {
    package.name: package
    for package in (
        DebianPackage("containerd", "/usr/bin/containerd", "runs the node's containers"),
        DebianPackage("runc", "/usr/sbin/runc", "starts a container"),
        DebianPackage("containernetworking-plugins", "/usr/lib/cni/bridge", "gives a pod its network"),
        DebianPackage("buildah", "/usr/bin/buildah", "builds the images from their Dockerfiles"),
        DebianPackage("debootstrap", "/usr/sbin/debootstrap", "makes the images' base system"),
        DebianPackage("iproute2", "/usr/sbin/ip", "sets up the node's network"),
        DebianPackage("nftables", "/usr/sbin/nft", "routes the cluster's Services"),
        DebianPackage("conntrack", "/usr/sbin/conntrack", "forgets connections to pods that are gone"),
    )
}
ENGINE = ("pulumi",)
CONTROL = ("etcd", "kube", "kwok")
NODE = (*CONTROL, "coredns", "caddy", "registry", "local-path-provisioner", "pause")
