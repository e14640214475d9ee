"""What Azure does to a cluster from outside, against a real control plane."""

import time
from typing import Any

import httpx
import pytest

from rehearsal.control.cloud_controller import Options
from rehearsal.control.nodes import RealNode
from tests.control.conftest import SYSTEM, Cloud, pool
from tests.control.manifests import budget, claim, deployment, job, restricted, service

pytestmark = pytest.mark.cluster
NODES = "/api/v1/nodes"


def _node(pool_name: str, number: int = 0) -> str:
    return f"{NODES}/aks-{pool_name}-vmss{number:06d}"


def _is_ready(workload: Any) -> bool:
    return workload["status"].get("readyReplicas", 0) == workload["spec"]["replicas"]


def _is_bound(claim: Any) -> bool:
    return claim["status"].get("phase") == "Bound"


def _about_nodes(lines: list[str]) -> list[str]:
    """Without what is still being tidied up after another test."""
    return [line for line in lines if line.startswith("node ")]


def _addresses(service: Any) -> list[str]:
    return [entry["ip"] for entry in service["status"]["loadBalancer"].get("ingress", [])]


def test_a_workload_with_its_job_volume_and_address_comes_up(cloud: Cloud) -> None:
    cloud.create("persistentvolumeclaims", claim("weights", "azurefile-csi-premium"))
    cloud.create("jobs", job("fill", "cpu", "weights"))
    cloud.create("deployments", deployment("server", "cpu", claim="weights"))
    cloud.create("services", service("gateway"))

    cloud.when(cloud.path("persistentvolumeclaims", "weights"), _is_bound)
    cloud.when(cloud.path("jobs", "fill"), lambda found: found["status"].get("succeeded") == 1)
    cloud.when(cloud.path("deployments", "server"), _is_ready)
    cloud.when(cloud.path("services", "gateway"), lambda found: _addresses(found) == ["10.77.0.10"])


def test_a_disk_waits_for_its_first_pod_and_a_share_does_not(cloud: Cloud) -> None:
    cloud.create("persistentvolumeclaims", claim("disk", "managed-csi", "ReadWriteOnce"))
    cloud.create("persistentvolumeclaims", claim("share", "azurefile-csi"))
    cloud.when(cloud.path("persistentvolumeclaims", "share"), _is_bound)
    disk = cloud.kube.get(cloud.path("persistentvolumeclaims", "disk"))
    assert disk
    assert disk["status"]["phase"] == "Pending"

    cloud.create("deployments", deployment("server", "cpu", claim="disk"))
    cloud.when(cloud.path("persistentvolumeclaims", "disk"), _is_bound)


def test_a_volume_goes_with_its_claim(cloud: Cloud) -> None:
    cloud.create("persistentvolumeclaims", claim("share", "azurefile-csi"))
    bound = cloud.when(cloud.path("persistentvolumeclaims", "share"), _is_bound)

    cloud.kube.delete(cloud.path("persistentvolumeclaims", "share"))

    cloud.when(f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}", lambda found: found is None)


def test_a_node_has_what_aks_would_leave_to_pods(cloud: Cloud) -> None:
    node = cloud.when(_node("cpu"), bool)

    assert node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] == "cpu"
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "Standard_D4s_v5"
    assert node["status"]["capacity"]["memory"] == "16Gi"
    # A quarter of the memory is Kubernetes' own, and 100 MiB are where evictions begin.
    assert node["status"]["allocatable"]["memory"] == f"{12 * 1024 - 100}Mi"
    assert node["status"]["allocatable"]["cpu"] == "3860m"


def test_a_pod_that_fits_no_machine_of_its_pool_stays_pending(cloud: Cloud) -> None:
    cloud.create("deployments", deployment("big", "cpu", cpu="4"))

    def is_unschedulable() -> bool:
        cloud.round()
        found = [condition for pod in cloud.pods(app="big") for condition in pod["status"].get("conditions", [])]
        return any(one.get("reason") == "Unschedulable" and "Insufficient cpu" in one["message"] for one in found)

    while not is_unschedulable():
        time.sleep(0.2)


def test_only_pods_that_tolerate_it_run_on_a_spot_node(cloud: Cloud) -> None:
    cloud.pools = [SYSTEM, pool("spot", 1, scaleSetPriority="Spot")]
    node = cloud.when(_node("spot"), bool)

    assert node["metadata"]["labels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    taint = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    assert taint in node["spec"]["taints"]


def test_a_gpu_node_offers_its_gpus(cloud: Cloud) -> None:
    cloud.pools = [pool("gpu", 1, vmSize="Standard_NC48ads_A100_v4", nodeTaints=["sku=gpu:NoSchedule"])]

    assert cloud.when(_node("gpu"), bool)["status"]["allocatable"]["nvidia.com/gpu"] == "2"


def test_a_vm_size_that_is_not_known_gets_no_nodes_and_says_so(cloud: Cloud) -> None:
    cloud.pools = [pool("odd", 1, vmSize="Standard_Z9_v1")]

    assert any("Standard_Z9_v1" in line for line in cloud.round())
    assert cloud.kube.get(_node("odd")) is None


def test_labels_and_taints_of_a_pool_change_in_place(cloud: Cloud) -> None:
    before = cloud.when(_node("cpu"), bool)
    cloud.pools = [
        SYSTEM,
        pool("cpu", 1, nodeLabels={"slm/pool": "cpu", "tier": "gold"}, nodeTaints=["a=b:NoSchedule"]),
    ]

    after = cloud.when(_node("cpu"), lambda found: found["metadata"]["labels"].get("tier") == "gold")

    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert {"key": "a", "value": "b", "effect": "NoSchedule"} in after["spec"]["taints"]
    assert _about_nodes(cloud.round()) == []


def test_pods_move_to_the_new_pool_before_the_old_one_goes(cloud: Cloud) -> None:
    cloud.create("deployments", deployment("server", "cpu", replicas=2))
    cloud.create("poddisruptionbudgets", budget("server", 1))
    cloud.when(cloud.path("deployments", "server"), _is_ready)
    cloud.when(
        cloud.path("poddisruptionbudgets", "server"), lambda found: found["status"].get("disruptionsAllowed") == 1
    )

    new = pool("cpub", 1, nodeLabels={"slm/pool": "cpu"})
    cloud.pools = [SYSTEM, pool("cpu", 1), new]
    cloud.when(_node("cpub"), bool)
    cloud.pools = [SYSTEM, new]
    ready = [cloud.kube.get(cloud.path("deployments", "server"))]

    def is_gone(found: Any) -> bool:
        ready.append(cloud.kube.get(cloud.path("deployments", "server")))
        return found is None

    cloud.when(_node("cpu"), is_gone)
    cloud.when(cloud.path("deployments", "server"), _is_ready)
    assert min(one["status"].get("readyReplicas", 0) for one in ready if one) >= 1
    assert {pod["spec"]["nodeName"] for pod in cloud.pods(app="server")} == {"aks-cpub-vmss000000"}


def test_a_disruption_budget_keeps_a_node(cloud: Cloud) -> None:
    cloud.create("deployments", deployment("server", "cpu"))
    cloud.create("poddisruptionbudgets", budget("server", 1))
    cloud.when(cloud.path("deployments", "server"), _is_ready)
    cloud.when(cloud.path("poddisruptionbudgets", "server"), lambda found: found["status"].get("currentHealthy") == 1)

    cloud.pools = [SYSTEM]
    (waits,) = _about_nodes(cloud.round())

    assert "a disruption budget keeps" in waits
    assert f"{cloud.namespace}/server-" in waits
    assert cloud.kube.get(_node("cpu")) is not None
    # Wanted again: it takes pods again.
    cloud.pools = [SYSTEM, pool("cpu", 1)]
    cloud.when(_node("cpu"), lambda found: not found["spec"].get("unschedulable"))


def test_nodes_go_with_their_cluster(cloud: Cloud) -> None:
    cloud.create("deployments", deployment("server", "cpu"))
    cloud.create("poddisruptionbudgets", budget("server", 1))
    cloud.when(cloud.path("deployments", "server"), _is_ready)

    cloud.pools = None
    cloud.round()

    assert cloud.kube.list(NODES) == []


def test_a_real_node_stands_for_its_pool(cloud: Cloud) -> None:
    cloud.kube.create(NODES, {"metadata": {"name": "real"}})
    cloud.options = Options(RealNode("real", "cpu"), "10.77.0.10")
    cloud.pools = [SYSTEM, pool("cpu", 3, nodeTaints=["a=b:NoSchedule"])]

    found = cloud.when(f"{NODES}/real", lambda node: "slm/pool" in node["metadata"].get("labels", {}))

    assert {"key": "a", "value": "b", "effect": "NoSchedule"} in found["spec"]["taints"]
    assert "kubernetes.io/arch" not in found["metadata"]["labels"]
    cloud.when(_node("cpu"), lambda node: node is None)
    # A real node outlives its pool: it is the machine that the rehearsal runs on.
    cloud.pools = None
    cloud.round()
    assert cloud.kube.get(f"{NODES}/real") is not None
    cloud.kube.delete(f"{NODES}/real")


def test_every_balancer_has_an_address_of_its_own_until_it_is_none_any_more(cloud: Cloud) -> None:
    cloud.create("services", service("one"))
    cloud.create("services", service("two"))
    cloud.round()
    addresses = [_addresses(cloud.kube.get(cloud.path("services", name))) for name in ("one", "two")]
    assert sorted(addresses) == [["10.77.0.10"], ["10.77.0.11"]]

    cloud.kube.merge(cloud.path("services", "one"), {"spec": {"type": "ClusterIP"}})
    cloud.when(cloud.path("services", "one"), lambda found: _addresses(found) == [])


def test_azure_would_refuse_a_dns_label_that_is_taken_or_no_label(cloud: Cloud) -> None:
    annotation = "service.beta.kubernetes.io/azure-dns-label-name"
    for name, label in (("first", "slm-test"), ("second", "slm-test"), ("third", "Not_A_Label")):
        labelled = service(name)
        labelled["metadata"]["annotations"] = {annotation: label}
        cloud.create("services", labelled)
        lines = cloud.round()

    assert any("is reached at" in line for line in lines) is False
    assert any("second" in line and "first's already" in line for line in lines)
    assert any("Not_A_Label" in line for line in lines)
    assert _addresses(cloud.kube.get(cloud.path("services", "first")))


def test_pod_security_is_enforced(cloud: Cloud) -> None:
    name = f"{cloud.namespace[:40]}-restricted"
    cloud.kube.create("/api/v1/namespaces", restricted({"metadata": {"name": name}}))
    cloud.when(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "main", "image": "nothing"}]}}

    with pytest.raises(httpx.HTTPStatusError) as refused:
        cloud.kube.create(f"/api/v1/namespaces/{name}/pods", pod)

    assert refused.value.response.status_code == 403
    assert 'violates PodSecurity "restricted' in refused.value.response.json()["message"]
    cloud.kube.delete(f"/api/v1/namespaces/{name}")
