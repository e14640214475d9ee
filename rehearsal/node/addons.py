"""Objects that a node brings into its cluster: its DNS service, the storage provisioner's, the secrets driver's.

Applied at each start together with what AKS itself brings (`rehearsal.control.addons`); applying again changes nothing.

    python -m rehearsal.node.addons KUBECONFIG
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rehearsal.control import addons
from rehearsal.control.kube import Kube
from rehearsal.node.layout import DNS_SERVICE_ADDRESS, HOME, NODE_ADDRESS
from rehearsal.node.vault import AUDIENCE, DRIVER

FIELD_MANAGER = "slm-rehearsal-node"
PROVISIONER = "rancher.io/local-path"
"""local-path-provisioner's own name; every storage class of the cluster is its."""
STORAGE_NAMESPACE = "local-path-storage"
STORAGE_ACCOUNT = "local-path"
STORAGE_CONFIGURATION = "local-path-config"
_SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n'
_TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


def manifests(helper_pod: str, storage: str) -> dict[str, Mapping[str, Any]]:
    """Every object by its API path, in the order in which they can be applied."""
    return {**_dns(), **_storage(helper_pod, storage), **_secrets(), **dict(addons.manifests(PROVISIONER))}


def _dns() -> dict[str, Mapping[str, Any]]:
    # No selector: CoreDNS is a process of the node, so the addresses behind the Service are written here.
    ports = [("dns", "UDP"), ("dns-tcp", "TCP")]
    service = _object("v1", "Service", "kube-dns", "kube-system", labels={"k8s-app": "kube-dns"})
    service["spec"] = {
        "clusterIP": DNS_SERVICE_ADDRESS,
        "ports": [{"name": name, "port": 53, "protocol": protocol} for name, protocol in ports],
    }
    labels = {"kubernetes.io/service-name": "kube-dns"}
    behind = _object("discovery.k8s.io/v1", "EndpointSlice", "kube-dns-node", "kube-system", labels=labels)
    behind["addressType"] = "IPv4"
    behind["endpoints"] = [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}]
    behind["ports"] = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in ports]
    return {
        "/api/v1/namespaces/kube-system/services/kube-dns": service,
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-node": behind,
    }


def _storage(helper_pod: str, storage: str) -> dict[str, Mapping[str, Any]]:
    configuration = _object("v1", "ConfigMap", STORAGE_CONFIGURATION, STORAGE_NAMESPACE)
    configuration["data"] = {
        "config.json": storage,
        "setup": _SETUP,
        "teardown": _TEARDOWN,
        "helperPod.yaml": helper_pod,
    }
    place = f"/api/v1/namespaces/{STORAGE_NAMESPACE}"
    return {
        place: _object("v1", "Namespace", STORAGE_NAMESPACE),
        f"{place}/serviceaccounts/{STORAGE_ACCOUNT}": _object(
            "v1", "ServiceAccount", STORAGE_ACCOUNT, STORAGE_NAMESPACE
        ),
        f"{place}/configmaps/{STORAGE_CONFIGURATION}": configuration,
    }


def _secrets() -> dict[str, Mapping[str, Any]]:
    driver = _object("storage.k8s.io/v1", "CSIDriver", DRIVER)
    driver["spec"] = {
        "attachRequired": False,
        "podInfoOnMount": True,
        "volumeLifecycleModes": ["Ephemeral"],
        "requiresRepublish": True,
        "tokenRequests": [{"audience": AUDIENCE}],
    }
    return {f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}": driver}


def _object(
    version: str, kind: str, name: str, namespace: str = "", labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def main(argv: Sequence[str]) -> int:
    """Apply everything; a failure ends the process, and the supervisor tries again."""
    kube = Kube(Path(argv[0]), FIELD_MANAGER)
    etc = HOME / "etc"
    for path, manifest in manifests((etc / "helper-pod.yaml").read_text(), (etc / "storage.json").read_text()).items():
        kube.apply(path, manifest)
    kube.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
