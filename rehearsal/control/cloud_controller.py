"""What Azure does to a cluster from outside: nodes for its agent pools, addresses for its load balancers.

    python -m rehearsal.control.cloud_controller --kubeconfig FILE --arm-endpoint URL --arm-token-file FILE

Every second it compares the emulator's agent pools with the cluster's nodes. With `--real-node` that one stands for the
pool named by `--real-pool` (by its label `slm/pool`) and every other pool gets simulated nodes; without, all are
simulated, and claims of volumes are bound to volumes that do not exist. Prints a line for each thing it does.

Not checked:
- Autoscaling: a pool has as many nodes as its `count` or, with autoscaling, its `minCount`.
- Machines: boot time, drivers, upgrades, images of nodes, disks; sizes come from a formula by VM family.
- Load balancers: health probes, outbound rules, source ranges; every Service of that type gets the same address.
- Evictions: pods of a node that goes are deleted; a disruption budget does not hold them up.
"""

import argparse
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from rehearsal.control.kube import Kube, Object
from rehearsal.control.plane import SIMULATED

POLL_SECONDS = 1.0
API_VERSION = "2025-05-01"
FAKE = "kwok.x-k8s.io/node"
POOL_LABEL = "kubernetes.azure.com/agentpool"
GIB_PER_VCPU = {"D": 4.0, "E": 8.0, "F": 2.0, "B": 4.0, "NC": 7.0, "NV": 12.2, "ND": 19.8}
"""Memory of Azure's VM families for each vCPU, in GiB [learn.microsoft.com/azure/virtual-machines/sizes]."""
KUBELET_SHARE = 0.9
"""Of a node's memory, what AKS leaves for pods, roughly [learn.microsoft.com/azure/aks/node-resource-reservations]."""


@dataclass(frozen=True)
class Pool:
    """An agent pool as the emulator describes it."""

    name: str
    properties: Mapping[str, Any]

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        autoscaled = self.properties.get("enableAutoScaling")
        return int(self.properties.get("minCount" if autoscaled else "count") or 0)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its nodes that AKS and the program set."""
        spot = {"kubernetes.azure.com/scalesetpriority": "spot"} if self._is_spot else {}
        return {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            POOL_LABEL: self.name,
            "agentpool": self.name,
            "kubernetes.azure.com/mode": str(self.properties.get("mode", "User")).lower(),
            "node.kubernetes.io/instance-type": str(self.properties.get("vmSize", "")),
            **spot,
            **(self.properties.get("nodeLabels") or {}),
        }

    @property
    def taints(self) -> list[dict[str, str]]:
        """Its nodes' taints, from AKS's `key=value:effect` form."""
        written = list(self.properties.get("nodeTaints") or [])
        if self._is_spot:
            written.append("kubernetes.azure.com/scalesetpriority=spot:NoSchedule")
        parts = [re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(\w+)", text) for text in dict.fromkeys(written)]
        return [{"key": part[1], "value": part[2] or "", "effect": part[3]} for part in parts if part]

    @property
    def capacity(self) -> dict[str, str]:
        """What one of its nodes has, by the VM size's name."""
        size = re.fullmatch(r"Standard_(N[CVD]|[A-Z])(\d+).*", str(self.properties.get("vmSize", "")))
        family, vcpus = (size[1], int(size[2])) if size else ("D", 2)
        memory_gib = math.floor(vcpus * GIB_PER_VCPU.get(family, 4.0) * KUBELET_SHARE)
        gpu = {"nvidia.com/gpu": "1"} if family.startswith("N") else {}
        return {"cpu": str(vcpus), "memory": f"{memory_gib}Gi", "pods": "110", "ephemeral-storage": "100Gi", **gpu}

    @property
    def _is_spot(self) -> bool:
        return self.properties.get("scaleSetPriority") == "Spot"


@dataclass(frozen=True)
class Options:
    """What stands for what: see the module."""

    real_node: str | None
    real_pool: str
    load_balancer_ip: str


class Arm:
    """The emulator's agent pools."""

    def __init__(self, endpoint: str, token_file: Path | None) -> None:
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"} if token_file else {}
        self._client = httpx.Client(base_url=endpoint, headers=headers, timeout=5, trust_env=False)

    def pools(self, subscription: str) -> list[Pool]:
        """Every agent pool of every cluster that is not being deleted."""
        clusters = self._list(f"/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters")
        found = [entry for cluster in clusters for entry in self._list(f"{cluster['id']}/agentPools")]
        return [
            Pool(entry["name"], entry["properties"])
            for entry in found
            if entry["properties"].get("provisioningState") != "Deleting"
        ]

    def _list(self, path: str) -> list[Object]:
        return self._client.get(path, params={"api-version": API_VERSION}).raise_for_status().json()["value"]


def reconcile(kube: Kube, pools: Sequence[Pool], options: Options) -> list[str]:
    """One round; what was done, a line each."""
    done = _nodes(kube, pools, options) + _load_balancers(kube, options.load_balancer_ip)
    return done + (_claims(kube) if options.real_node is None else [])


def _nodes(kube: Kube, pools: Sequence[Pool], options: Options) -> list[str]:
    there = {node["metadata"]["name"]: node for node in kube.list("/api/v1/nodes")}
    wanted: dict[str, Pool] = {}
    done: list[str] = []
    for pool in pools:
        if options.real_node and pool.labels.get("slm/pool") == options.real_pool:
            done += _real_node(kube, there.get(options.real_node), pool)
        else:
            wanted |= {f"aks-{pool.name}-vmss{number:06d}": pool for number in range(pool.nodes)}
    for name, pool in wanted.items():
        if name not in there:
            kube.create("/api/v1/nodes", simulated_node(name, pool))
            done.append(f"node {name} joined ({pool.capacity['cpu']} vCPU, {pool.capacity['memory']})")
    for name, node in there.items():
        if name not in wanted and FAKE in node["metadata"].get("annotations", {}):
            _remove(kube, name)
            done.append(f"node {name} left")
    return done


def simulated_node(name: str, pool: Pool) -> Object:
    """A node that kwok plays."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**pool.labels, "kubernetes.io/hostname": name},
            "annotations": {FAKE: "fake"},
        },
        "spec": {"taints": pool.taints},
        "status": {"capacity": pool.capacity, "allocatable": pool.capacity},
    }


def _real_node(kube: Kube, node: Object | None, pool: Pool) -> list[str]:
    if node is None:
        return []
    labels = node["metadata"].get("labels", {})
    # The processor's own architecture is the kubelet's to say.
    wanted = {key: value for key, value in pool.labels.items() if key != "kubernetes.io/arch"}
    if wanted.items() <= labels.items():
        return []
    name = node["metadata"]["name"]
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": wanted}}
    kube.apply(f"/api/v1/nodes/{name}", {**manifest, "spec": {"taints": pool.taints}})
    return [f"node {name} stands for pool {pool.name}"]


def _remove(kube: Kube, node: str) -> None:
    for pod in kube.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node}"):
        metadata = pod["metadata"]
        kube.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")
    kube.delete(f"/api/v1/nodes/{node}")


def _load_balancers(kube: Kube, address: str) -> list[str]:
    done: list[str] = []
    for service in kube.list("/api/v1/services"):
        if service["spec"].get("type") != "LoadBalancer" or service["status"].get("loadBalancer", {}).get("ingress"):
            continue
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        kube.merge(f"/api/v1/namespaces/{namespace}/services/{name}/status", status)
        done.append(f"service {namespace}/{name} is reached at {address}")
    return done


def _claims(kube: Kube) -> list[str]:
    """Bind every claim of a simulated class; its volume is a name and nothing else."""
    classes = kube.list("/apis/storage.k8s.io/v1/storageclasses")
    simulated = {entry["metadata"]["name"] for entry in classes if entry["provisioner"] == SIMULATED}
    bound = {volume["metadata"]["name"] for volume in kube.list("/api/v1/persistentvolumes")}
    done: list[str] = []
    for claim in kube.list("/api/v1/persistentvolumeclaims"):
        name = f"pvc-{claim['metadata']['uid']}"
        pending = claim["status"].get("phase") == "Pending"
        if pending and claim["spec"].get("storageClassName") in simulated and name not in bound:
            kube.create("/api/v1/persistentvolumes", _volume(name, claim))
            done.append(f"claim {claim['metadata']['namespace']}/{claim['metadata']['name']} is bound")
    return done


def _volume(name: str, claim: Object) -> Object:
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"]["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]},
            "csi": {"driver": SIMULATED, "volumeHandle": name},
        },
    }


def main(argv: Sequence[str]) -> int:
    """Work until told to end; an API that is away for a while is asked again."""
    parser = argparse.ArgumentParser(prog="cloud_controller", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--arm-endpoint", required=True)
    parser.add_argument("--arm-token-file", type=Path)
    parser.add_argument("--subscription", default="00000000-0000-0000-0000-000000000001")
    parser.add_argument("--real-node")
    parser.add_argument("--real-pool", default="cpu")
    parser.add_argument("--load-balancer-ip", default="10.77.0.10")
    given = parser.parse_args(argv)
    kube, arm = Kube(given.kubeconfig, "slm-cloud-controller"), Arm(given.arm_endpoint, given.arm_token_file)
    options = Options(given.real_node, given.real_pool, given.load_balancer_ip)
    trouble = ""
    while True:
        try:
            for line in reconcile(kube, arm.pools(given.subscription), options):
                print(line, flush=True)
            trouble = ""
        except httpx.HTTPError as error:
            if str(error) != trouble:
                print(f"will try again: {error}", flush=True)
            trouble = str(error)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
