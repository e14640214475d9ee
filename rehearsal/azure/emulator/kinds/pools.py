"""Agent pools, whether a program makes them inside of their cluster or on their own.

Nodes are made by the cloud controller, which lists the pools; nothing here knows whether they are there.
"""

import re
import time
from fnmatch import fnmatch

from rehearsal.azure.emulator.errors import bad_request
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, at, merged

CLUSTER = "Microsoft.ContainerService/managedClusters"
POOL = f"{CLUSTER}/agentPools"
_LINUX_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_WINDOWS_NAME = re.compile(r"[a-z][a-z0-9]{0,5}")
_FIXED = (
    "vmSize",
    "osType",
    "osDiskSizeGB",
    "osDiskType",
    "kubeletDiskType",
    "vnetSubnetID",
    "podSubnetID",
    "maxPods",
    "type",
    "scaleSetPriority",
    "scaleSetEvictionPolicy",
    "spotMaxPrice",
    "availabilityZones",
    "enableEncryptionAtHost",
    "enableUltraSSD",
    "enableNodePublicIP",
    "nodePublicIPPrefixID",
    "proximityPlacementGroupID",
    "gpuInstanceProfile",
    "capacityReservationGroupID",
    "hostGroupID",
)
_FIXED_INSIDE = ("gpuProfile.driver", "networkProfile.nodePublicIPTags")
_SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
_SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"
_TAINT = re.compile(r"[-\w./]+(=[-\w.]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")
_NODES_AT_MOST = 1000
_MIG_SIZES = re.compile(r"standard_(nc|nd).*(a100|h100)", re.IGNORECASE)
_SYSTEM_VCPUS = re.compile(r"Standard_B[12]\w*s?$", re.IGNORECASE)


def _refuse(message: str, target: str) -> None:
    raise bad_request("InvalidParameter", message, target)


def of_profile(profile: Body) -> Body:
    """A pool's properties from its form inside of a cluster."""
    return {key: value for key, value in profile.items() if key != "name"}


def profile(record: Record) -> Body:
    """A pool's form inside of a cluster."""
    return {"name": record.body["name"]} | record.body["properties"]


def keep(world: World, cluster: Record, name: str, properties: Body) -> Record:
    """Store a pool that a cluster's body names."""
    path = f"{cluster.id}/agentPools/{name}"
    old = world.find(path)
    version: str = properties.get("orchestratorVersion") or cluster.body["properties"]["kubernetesVersion"]
    versions = {"orchestratorVersion": version, "currentOrchestratorVersion": version}
    full = merged(_defaults(properties), properties) | versions | {"provisioningState": "Creating"}
    record = old or Record(path, POOL, {}, time.time())
    record.body = {"id": path, "name": name, "type": POOL, "properties": full}
    world.add(record)
    return record


def check(world: World, name: str, properties: Body, old: Body | None) -> None:
    """Everything that AKS refuses about a pool, however it is written."""
    windows = properties.get("osType") == "Windows"
    if not (_WINDOWS_NAME if windows else _LINUX_NAME).fullmatch(name):
        most = 6 if windows else 12
        raise bad_request(
            "InvalidParameter",
            f"The agent pool name '{name}' is invalid: it must be 1 to {most} lower-case letters and digits and start "
            "with a letter.",
            "agentPoolProfile.name",
        )
    if not properties.get("vmSize"):
        _refuse(f"Agent pool '{name}' needs a vmSize.", "vmSize")
    _check_scaling(name, properties)
    _check_spot(name, properties)
    _check_gpu(name, properties)
    _check_taints(name, properties)
    if old is not None:
        _check_fixed(name, properties, old)
    elif _more_nodes(properties, old):
        _check_capacity(world, properties)
    if old is not None and _more_nodes(properties, old):
        _check_capacity(world, properties)


def _check_scaling(name: str, properties: Body) -> None:
    least, most, count = (properties.get(key) for key in ("minCount", "maxCount", "count"))
    system = properties.get("mode") == "System"
    if properties.get("enableAutoScaling"):
        if least is None or most is None:
            _refuse(f"Agent pool '{name}': enableAutoScaling needs minCount and maxCount.", "minCount")
        elif not 0 <= least <= most <= _NODES_AT_MOST or most == 0:
            _refuse(f"Agent pool '{name}': minCount {least} and maxCount {most} are no range.", "minCount")
        elif system and least == 0:
            _refuse(f"Agent pool '{name}': a system pool needs a minCount of at least 1.", "minCount")
    elif least is not None or most is not None:
        _refuse(f"Agent pool '{name}': minCount and maxCount need enableAutoScaling.", "minCount")
    if count is not None and not (1 if system else 0) <= count <= _NODES_AT_MOST:
        _refuse(f"Agent pool '{name}': count {count} is out of range.", "count")


def _check_spot(name: str, properties: Body) -> None:
    spot = properties.get("scaleSetPriority") == "Spot"
    if spot and properties.get("mode") == "System":
        _refuse(f"Agent pool '{name}': a spot pool cannot be a system pool.", "mode")
    for key in ("scaleSetEvictionPolicy", "spotMaxPrice"):
        if not spot and properties.get(key) is not None and properties[key] not in ("Delete", -1):
            _refuse(f"Agent pool '{name}': {key} needs scaleSetPriority Spot.", key)


def _check_gpu(name: str, properties: Body) -> None:
    if properties.get("gpuInstanceProfile") and not _MIG_SIZES.match(str(properties.get("vmSize"))):
        _refuse(f"Agent pool '{name}': gpuInstanceProfile needs an A100 or H100 size.", "gpuInstanceProfile")
    if properties.get("mode") == "System" and _SYSTEM_VCPUS.match(str(properties.get("vmSize"))):
        _refuse(f"Agent pool '{name}': a system pool needs a size with at least 2 vCPUs and 4 GB.", "vmSize")


def _check_taints(name: str, properties: Body) -> None:
    taints: list[str] = properties.get("nodeTaints") or []
    labels: dict[str, str] = properties.get("nodeLabels") or {}
    for taint in taints:
        if not _TAINT.fullmatch(taint):
            _refuse(f"Agent pool '{name}': '{taint}' is no taint of the form key=value:effect.", "nodeTaints")
    for label in labels:
        if label.partition("/")[0] in ("kubernetes.azure.com", "kubernetes.io") and label != _SPOT_LABEL:
            _refuse(f"Agent pool '{name}': the label '{label}' is reserved by AKS.", "nodeLabels")


def _check_fixed(name: str, properties: Body, old: Body) -> None:
    for path in (*_FIXED, *_FIXED_INSIDE):
        new, before = at(properties, path), at(old, path)
        if new is not None and new != before and not (path == "spotMaxPrice" and before is None and new == -1):
            raise bad_request(
                "PropertyChangeNotAllowed",
                f"Changing property 'properties.{path}' of agent pool '{name}' is not allowed.",
                f"properties.{path}",
            )


def _more_nodes(properties: Body, old: Body | None) -> bool:
    return _nodes(properties) > (0 if old is None else _nodes(old))


def _nodes(properties: Body) -> int:
    least = properties.get("minCount", 0) if properties.get("enableAutoScaling") else 0
    return max(properties.get("count", least if properties.get("enableAutoScaling") else 1) or 0, least or 0)


def _check_capacity(world: World, properties: Body) -> None:
    size = str(properties["vmSize"])
    for fault in world.faults("sku"):
        if fnmatch(size.lower(), fault["vm_size"].lower()):
            raise bad_request(
                "BadRequest",
                f"The VM size of {size} is not allowed in your subscription in this location. Choose another size, or "
                "another region.",
            )
    for fault in world.faults("quota"):
        if fnmatch(size.lower(), fault["vm_size"].lower()):
            raise bad_request(
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient vcpu quota requested for {_nodes(properties)} nodes of {size}, remaining "
                f"{fault['remaining']} for family {fault['family']}. Please request a higher quota.",
            )


def _check_pool(world: World, put: Put) -> None:
    old = put.old.body["properties"] if put.old else None
    check(world, put.id.name, put.properties, old)
    if put.old and at(put.old.body, "properties.mode") == "System" and put.properties.get("mode") != "System":
        _require_other_system(world, put.old)


def _defaults(properties: Body) -> Body:
    spot = properties.get("scaleSetPriority") == "Spot"
    below: Body = {
        "mode": "User",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": False,
        "maxPods": 250,
        "osDiskType": "Managed",
        "osDiskSizeGB": 128,
        "scaleDownMode": "Delete",
        "powerState": {"code": "Running"},
        "count": _nodes(properties),
        "nodeImageVersion": "rehearsal",
    }
    if spot:
        # AKS adds both to every spot pool, whatever the program asks for.
        below |= {"scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1}
        labels: Body = {_SPOT_LABEL: "spot"} | (properties.get("nodeLabels") or {})
        given: list[str] = properties.get("nodeTaints") or []
        taints = [taint for taint in given if taint != _SPOT_TAINT]
        properties |= {"nodeLabels": labels, "nodeTaints": [_SPOT_TAINT, *taints]}
    return below


def _outputs(world: World, put: Put) -> Body:
    cluster = world.find(put.id.parent)
    version = at(cluster.body, "properties.kubernetesVersion") if cluster else None
    below = _defaults(put.properties) | {"orchestratorVersion": version}
    properties = merged(below, put.properties)
    return {"properties": properties | {"currentOrchestratorVersion": properties["orchestratorVersion"]}}


def _require_other_system(world: World, record: Record) -> None:
    parent = record.id.rsplit("/", 2)[0]
    others = [one for one in world.children(parent, POOL) if one is not record]
    if not any(at(one.body, "properties.mode") == "System" for one in others):
        raise bad_request("OperationNotAllowed", "There has to be at least one system agent pool.")


def _removable(world: World, record: Record) -> None:
    if at(record.body, "properties.mode") == "System":
        _require_other_system(world, record)


RULES = Rules(
    # Told apart from an unknown path only; the rule itself depends on the pool's system and is in `check`.
    name=re.compile(r"[^/]{1,63}"),
    name_rule="must be 1 to 12 lower-case letters and digits and start with a letter",
    seconds=0.8,
    busy_code="OperationNotAllowed",
    check=_check_pool,
    outputs=_outputs,
    removable=_removable,
)
