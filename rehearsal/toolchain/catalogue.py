"""Which tools there are, at which versions, and what each is for.

A Go tool's version is pinned by the `go.mod` of its module under `go/`, and its content by the `go.sum` beside it. The
tools of a cluster share one module, and with it one version of each library, which is then compiled once. Two cannot be
in it: kwok needs older Kubernetes libraries, and local-path-provisioner spells an import in another case. Their modules
ask for the cluster's version of everything else, to the same end. To move a version, change it in all of them and run
`go mod tidy`.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).parent / "go"


@dataclass(frozen=True)
class GoModule:
    """A Go module of ours that pins and checksums all that goes into the tools built from it."""

    folder: Path
    seconds: int
    """About how long a first build of all its tools takes on 2 idle cores, with downloads; shown, never enforced."""
    disk_gib: float
    """About what a first build of all its tools adds to Go's caches and ours."""

    @property
    def go_version(self) -> str:
        """The oldest Go that can build it."""
        found = re.search(r"^go (\S+)$", (self.folder / "go.mod").read_text(), re.MULTILINE)
        return found[1] if found else "0"


@dataclass(frozen=True)
class GoTool:
    """A program that is built from a Go module."""

    name: str
    version: str
    module: GoModule
    package: str
    """Its import path, or `./FOLDER` for a program of ours."""
    purpose: str
    accept_newer: bool = False
    """Whether one on PATH, of this version or a later one of the same major version, is used instead."""

    @property
    def output(self) -> str:
        """What `go build` calls the program: its package's last part that is not a version."""
        *_, name = (part for part in PurePosixPath(self.package).parts if not re.fullmatch(r"v\d+", part))
        return name

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files of ours that it is built from."""
        own = sorted((self.module.folder / self.package).glob("*.go")) if self.package.startswith("./") else ()
        return (self.module.folder / "go.mod", self.module.folder / "go.sum", *own)


@dataclass(frozen=True)
class DebianPackage:
    """A program from Debian, with the file by which it is found."""

    name: str
    file: str
    purpose: str


_CLUSTER = GoModule(FOLDER / "cluster", seconds=300, disk_gib=2.5)
_KWOK = GoModule(FOLDER / "kwok", seconds=50, disk_gib=0.5)
_ENGINE = GoModule(FOLDER / "pulumi", seconds=180, disk_gib=2)
_CADDY = GoModule(FOLDER / "caddy", seconds=80, disk_gib=1)
_STORAGE = GoModule(FOLDER / "local-path-provisioner", seconds=20, disk_gib=0.1)
GO_TOOLS = {
    tool.name: tool
    for tool in (
        GoTool("etcd", "3.6.5", _CLUSTER, "go.etcd.io/etcd/server/v3", "Kubernetes' store"),
        GoTool("kube", "1.34.2", _CLUSTER, "./kube", "Kubernetes' components in one binary"),
        GoTool("kwok", "0.7.0", _KWOK, "sigs.k8s.io/kwok/cmd/kwok", "simulated nodes"),
        GoTool("coredns", "1.12.4", _CLUSTER, "./coredns", "the cluster's name server"),
        GoTool("registry", "3.0.0", _CLUSTER, "./registry", "the image registry"),
        GoTool("pause", "1", _CLUSTER, "./pause", "holds a pod's namespaces"),
        GoTool(
            "local-path-provisioner",
            "0.0.30",
            _STORAGE,
            "github.com/rancher/local-path-provisioner",
            "the cluster's volumes",
        ),
        GoTool(
            "pulumi",
            "3.250.0",
            _ENGINE,
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            "the deployment engine",
            accept_newer=True,
        ),
        GoTool("caddy", "2.11.1", _CADDY, "github.com/caddyserver/caddy/v2/cmd/caddy", "the gateway"),
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
