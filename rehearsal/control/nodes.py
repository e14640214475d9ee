"""Nodes for agent pools: simulated ones come and go with their pool, a real one has its pool's labels and taints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rehearsal.control.kube import Kube, Object
from rehearsal.control.pools import Pool

FAKE = "kwok.x-k8s.io/node"
_NODES = "/api/v1/nodes"


@dataclass(frozen=True)
class RealNode:
    """The node that is real, and the value of `slm/pool` on the pool that it stands for."""

    name: str
    pool: str


def reconcile(kube: Kube, pools: Sequence[Pool] | None, real: RealNode | None) -> list[str]:
    """One round; what was done or waits, a line each. Without `pools` the cluster is gone, and its nodes with it."""
    there = {node["metadata"]["name"]: node for node in kube.list(_NODES)}
    wanted = _wanted(pools or [], real)
    done = [f"VM size {pool.vm_size} of pool {pool.name} is not known here: no nodes" for pool in _unknown(pools or [])]
    for name, pool in wanted.items():
        done += _join(kube, name, pool) if name not in there else _keep(kube, there[name], pool, may_cordon=True)
    for pool in pools or []:
        if real and real.name in there and _is_real(pool, real):
            done += _keep(kube, there[real.name], pool, may_cordon=False)
    for name, node in there.items():
        if name not in wanted and FAKE in node["metadata"].get("annotations", {}):
            done += _leave(kube, node) if pools is not None else _vanish(kube, name)
    return done


def simulated_node(name: str, pool: Pool) -> Object:
    """A node that kwok plays. Its pool's VM size must be known."""
    machine = pool.machine
    assert machine is not None
    status = {"capacity": machine.capacity(pool.max_pods), "allocatable": machine.allocatable(pool.max_pods)}
    labels = {**pool.labels, "kubernetes.io/hostname": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {FAKE: "fake"}},
        "spec": {"taints": pool.taints},
        "status": status,
    }


def _wanted(pools: Sequence[Pool], real: RealNode | None) -> dict[str, Pool]:
    """The simulated nodes that there should be, by name; the last ones of a pool that shrinks go first."""
    simulated = [pool for pool in pools if pool.machine and not (real and _is_real(pool, real))]
    return {f"aks-{pool.name}-vmss{number:06d}": pool for pool in simulated for number in range(pool.nodes)}


def _unknown(pools: Sequence[Pool]) -> list[Pool]:
    return [pool for pool in pools if pool.machine is None]


def _is_real(pool: Pool, real: RealNode) -> bool:
    return pool.labels.get("slm/pool") == real.pool


def _join(kube: Kube, name: str, pool: Pool) -> list[str]:
    node = simulated_node(name, pool)
    kube.create(_NODES, node)
    resources = node["status"]["allocatable"]
    return [f"node {name} joined ({resources['cpu']} CPU, {resources['memory']} memory for pods)"]


def _keep(kube: Kube, node: Object, pool: Pool, *, may_cordon: bool) -> list[str]:
    """Bring a node's labels and taints up to date with its pool, which AKS lets change in place."""
    name = node["metadata"]["name"]
    # A real processor's own architecture is the kubelet's to say.
    labels = {key: value for key, value in pool.labels.items() if key != "kubernetes.io/arch"}
    present: Mapping[str, str] = node["metadata"].get("labels", {})
    # A node that was about to leave is wanted again.
    cordoned = may_cordon and bool(node["spec"].get("unschedulable"))
    if labels.items() <= present.items() and _has_taints(node, pool) and not cordoned:
        return []
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    if cordoned:
        kube.merge(f"{_NODES}/{name}", {"spec": {"unschedulable": None}})
    kube.apply(f"{_NODES}/{name}", {**manifest, "spec": {"taints": [*pool.taints, *_foreign_taints(node)]}})
    return [f"node {name} has the labels and taints of pool {pool.name}"]


def _has_taints(node: Object, pool: Pool) -> bool:
    present = [{"value": "", **taint} for taint in node["spec"].get("taints", []) if not _is_foreign(taint)]
    return sorted(map(repr, map(_plain, present))) == sorted(map(repr, map(_plain, pool.taints)))


def _plain(taint: Mapping[str, str]) -> tuple[str, str, str]:
    return taint["key"], taint.get("value", ""), taint["effect"]


def _foreign_taints(node: Object) -> list[dict[str, str]]:
    return [taint for taint in node["spec"].get("taints", []) if _is_foreign(taint)]


def _is_foreign(taint: Mapping[str, str]) -> bool:
    """Kubernetes' own, such as not-ready and unschedulable: its controllers' business."""
    return taint["key"].startswith("node.kubernetes.io/")


def _leave(kube: Kube, node: Object) -> list[str]:
    """Cordon, evict, and delete once nothing but DaemonSets' pods is left, over as many rounds as that takes."""
    name = node["metadata"]["name"]
    if not node["spec"].get("unschedulable"):
        kube.merge(f"{_NODES}/{name}", {"spec": {"unschedulable": True}})
    staying = [pod for pod in _pods(kube, name) if not _is_daemon(pod)]
    held_up = [_title(pod) for pod in staying if not _evict(kube, pod)]
    if staying:
        return [f"node {name} waits: a disruption budget keeps {pod} on it" for pod in held_up]
    return _vanish(kube, name)


def _vanish(kube: Kube, name: str) -> list[str]:
    for pod in _pods(kube, name):
        kube.delete(_path(pod), grace_seconds=0)
    kube.delete(f"{_NODES}/{name}")
    return [f"node {name} left"]


def _evict(kube: Kube, pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) or kube.evict(_path(pod))


def _pods(kube: Kube, node: str) -> list[Object]:
    return kube.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")


def _is_daemon(pod: Object) -> bool:
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", []))


def _title(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
