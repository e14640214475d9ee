"""The Debian packages that a node needs, each with its reason. Installing them is the toolchain's business."""

PACKAGES = {
    "buildah": "builds the stack's images from their Dockerfiles",
    "containerd": "runs the pods' containers",
    "containernetworking-plugins": "gives each pod its network",
    "debootstrap": "makes the base image from Debian's packages",
    "iproute2": "makes the node's network",
    "mount": "mounts the node's own folders",
    "nftables": "carries the Services' rules that kube-proxy writes",
    "runc": "starts a container",
    "util-linux": "has unshare, which makes the node's namespaces",
}
