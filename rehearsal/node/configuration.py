"""The configuration files of the node's services, rendered by pure functions as `path in the node's folder -> text`.

Settings that look arbitrary were tried; the reason stands beside each. Does not own the control plane's command lines
nor any certificate.

Not checked:
- Registry: every registry host is the node's own registry, over plain HTTP and without a login, so a missing pull right
  or a wrong registry name that happens to have the image passes.
- Names: nothing but the cluster's own names and the few public ones below resolves; a pod with access to the Internet
  is not rehearsed. CoreDNS is a process of the node, so a NetworkPolicy that forgets it does not show.
- Storage: both classes are folders of this machine: sizes, throughput, zones, snapshots and file locks of Azure's
  disks and file shares are not those.
- Certificates: the public authority's rate limits and transparency logs, and the public DNS.
- Certificates: a first try that comes before the load balancer routes to the gateway. The public authority refuses it
  and Caddy tries again a minute later; this one waits for the gateway.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rehearsal.control.addons import STORAGE_CLASSES
from rehearsal.node.layout import (
    CONTAINERD_SOCKET,
    DNS_SERVICE_ADDRESS,
    GATEWAY_ADDRESS,
    HOME,
    HUB_PORT,
    NODE_ADDRESS,
    POD_RANGE,
    REGISTRY_PORT,
    VALIDATION_ADDRESS,
    Binaries,
)

PAUSE_IMAGE = "registry.local/slm-pause:1"
HELPER_IMAGE = "registry.local/slm-base:1"
REGISTRY_URL = f"http://127.0.0.1:{REGISTRY_PORT}"
AUTHORITY_NAMES = ("acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org")
"""Let's Encrypt; Caddy turns to the second when the first has refused it."""
HUB_NAME = "huggingface.co"
GATEWAY_ZONE = "cloudapp.azure.com"
"""Where Azure's DNS labels live; every name in it is the gateway here."""


def render(node: str, binaries: Binaries) -> dict[str, str]:
    """Every file, by its path in the node's folder."""
    return {
        "etc/containerd.toml": containerd(binaries.cni),
        "etc/certs.d/_default/hosts.toml": hosts(),
        "etc/cni/10-pods.conflist": cni(),
        "etc/kubelet.yaml": kubelet(),
        "etc/proxy.yaml": proxy(node),
        "etc/registry.yaml": registry(),
        "etc/resolv.conf": f"nameserver {NODE_ADDRESS}\n",
        "etc/node-resolv.conf": f"nameserver {VALIDATION_ADDRESS}\n",
        "etc/Corefile": corefile(),
        "etc/authority.Caddyfile": authority(),
        "etc/storage.json": storage(),
        "etc/helper-pod.yaml": helper_pod(node),
    }


def containerd(cni_folder: Path) -> str:
    """containerd's own configuration: overlay, cgroupfs, every registry host through `certs.d`."""
    return f"""\
version = 2
root = "{HOME}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  max_container_log_line_size = 262144
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{HOME}/etc/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{HOME}/etc/certs.d"
"""


def hosts() -> str:
    """Where containerd pulls from, whatever host an image's name has."""
    return f'server = "{REGISTRY_URL}"\n[host."{REGISTRY_URL}"]\n  capabilities = ["pull", "resolve"]\n'


def cni() -> str:
    """One bridge for the pods. Addresses are kept on a tmpfs: after a restart every pod gets its network anew."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni-addresses",
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}, indent=1)


def kubelet() -> str:
    """kubelet's configuration. `cgroupRoot` is set on the command line, since its name is the node's."""
    return _yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "podLogsDir": f"{HOME}/podlogs",
            "volumePluginDir": f"{HOME}/kubelet/plugins-exec",
            "address": NODE_ADDRESS,
            "clusterDNS": [DNS_SERVICE_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": f"{HOME}/etc/resolv.conf",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": f"{HOME}/pki/ca.crt"},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": f"{HOME}/pki/kubelet.crt",
            "tlsPrivateKeyFile": f"{HOME}/pki/kubelet.key",
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            # Leaves the node's own processes (811 MB idle, measured) and the engine beside them their memory.
            "systemReserved": {"memory": "1Gi"},
            "healthzPort": 10248,
            "seccompDefault": True,
            "makeIPTablesUtilChains": False,
            "maxOpenFiles": 20000,
            # How soon a rotated secret reaches a pod: 60 s by default, a long wait on a node with ten pods.
            "syncFrequency": "10s",
            # Pods that wait for each other are the rule here; the default gives up on a registry for 5 minutes.
            "crashLoopBackOff": {"maxContainerRestartPeriod": "10s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
        }
    )


def proxy(node: str) -> str:
    """kube-proxy on nftables. Connection tracking's limits are this machine's, not the namespace's to change."""
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return _yaml(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": f"{HOME}/etc/proxy.kubeconfig"},
            "hostnameOverride": node,
            "clusterCIDR": POD_RANGE,
            "bindAddress": NODE_ADDRESS,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "conntrack": untouched,
        }
    )


def registry() -> str:
    """The registry; its content is in the cache and shared by every checkout of this machine."""
    return _yaml(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": "/run/registry"}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{REGISTRY_PORT}", "secret": "of-no-use-without-a-second-server"},
        }
    )


def corefile() -> str:
    """CoreDNS: the cluster's names, the public names that the node stands in for, and nothing else.

    A block for each zone, since within one a template would answer before the cluster's own names.
    """
    cluster = f"""\
cluster.local in-addr.arpa {{
    bind {NODE_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {HOME}/etc/dns.kubeconfig
        pods insecure
    }}
}}
"""
    elsewhere = f"""\
. {{
    bind {NODE_ADDRESS} {VALIDATION_ADDRESS}
    errors
    ready 127.0.0.1:8181
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    everyone = f"{NODE_ADDRESS} {VALIDATION_ADDRESS}"
    ours = _zone((*AUTHORITY_NAMES, HUB_NAME), NODE_ADDRESS, bind=everyone)
    gateway = _zone([GATEWAY_ZONE], GATEWAY_ADDRESS)
    # For the node's own processes: the authority asks the system's resolver where the gateway is.
    validation = _zone([GATEWAY_ZONE], VALIDATION_ADDRESS, bind=VALIDATION_ADDRESS)
    return cluster + ours + gateway + validation + elsewhere


def _zone(names: Sequence[str], address: str, bind: str = NODE_ADDRESS) -> str:
    return f"""\
{" ".join(names)} {{
    bind {bind}
    errors
    template IN A {{
        answer "{{{{ .Name }}}} 5 IN A {address}"
    }}
    template IN ANY {{
        rcode NOERROR
    }}
}}
"""


def authority() -> str:
    """Caddy as Let's Encrypt and as the model hub's front, with certificates from the rehearsal's root."""
    return f"""\
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    persist_config off
    storage file_system {HOME}/authority
    pki {{
        ca rehearsal {{
            name "slm rehearsal"
            root {{
                cert /run/ca/root.crt
                key /run/ca/root.key
            }}
            intermediate_lifetime 8760h
        }}
    }}
}}

{", ".join(f"https://{name}" for name in AUTHORITY_NAMES)} {{
    bind {NODE_ADDRESS}
    tls {{
        issuer internal {{
            ca rehearsal
        }}
    }}
    rewrite /directory /acme/rehearsal/directory
    acme_server {{
        ca rehearsal
        lifetime 2160h
    }}
}}

https://{HUB_NAME} {{
    bind {NODE_ADDRESS}
    tls {{
        issuer internal {{
            ca rehearsal
        }}
    }}
    reverse_proxy 127.0.0.1:{HUB_PORT}
}}
"""


def storage() -> str:
    """local-path-provisioner's folders for AKS's classes: disks on their node, shares that all nodes have."""
    disk = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [f"{HOME}/volumes/disk"]}]}
    share = {"sharedFileSystemPath": f"{HOME}/volumes/file"}
    classes = {name: share if name.startswith("azurefile") else disk for name in STORAGE_CLASSES}
    return json.dumps({"storageClassConfigs": classes})


def helper_pod(node: str) -> str:
    """The pod that makes and removes a volume's folder. It runs on the real node even if simulated ones are there."""
    container = {"name": "helper", "image": HELPER_IMAGE, "imagePullPolicy": "IfNotPresent"}
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "helper"},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [container],
            },
        }
    )


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False)
