"""Managed clusters: their own rules, the identities and the resource group that AKS makes for them.

A cluster is only written down here; whoever starts Kubernetes reads it. Its pools are in `pools`.
"""

import hashlib
import re
import time
import uuid
from typing import Any

from rehearsal.azure import SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.emulator.errors import bad_request
from rehearsal.azure.emulator.ids import GROUP_TYPE
from rehearsal.azure.emulator.kinds import pools
from rehearsal.azure.emulator.kinds.identity import IDENTITY
from rehearsal.azure.emulator.kinds.pools import CLUSTER, POOL
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, at, merged

_ADDON_IDENTITIES = {
    "azureKeyvaultSecretsProvider": "azurekeyvaultsecretsprovider",
    "omsagent": "omsagent",
    "azurepolicy": "azurepolicy",
}
"""Add-ons that get an identity of their own, and its name's beginning."""
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
DEFAULT_VERSION = "1.34.2"
"""What a cluster without a version gets: the one that the rehearsal has."""


def _refuse(message: str, target: str = "") -> None:
    raise bad_request("InvalidParameter", message, target)


def _check_cluster(world: World, put: Put) -> None:
    properties = put.properties
    if not put.body.get("identity") and not properties.get("servicePrincipalProfile"):
        _refuse("A managed cluster needs an identity (or a service principal).", "identity")
    if not properties.get("dnsPrefix") and not properties.get("fqdnSubdomain"):
        _refuse("Required parameter dnsPrefix is missing (null).", "dnsPrefix")
    version = properties.get("kubernetesVersion") or DEFAULT_VERSION
    if not _VERSION.fullmatch(version):
        _refuse(f"Version {version} is not supported in this region.", "kubernetesVersion")
    _check_identity(put)
    _check_network(properties)
    _check_access(properties)
    _check_switches(put)
    _check_pools(world, put)


def _check_identity(put: Put) -> None:
    identity: Body = put.body.get("identity") or {}
    kind = identity.get("type")
    named: Body = identity.get("userAssignedIdentities") or {}
    if (kind == "UserAssigned") != bool(named) or len(named) > 1:
        _refuse(
            "A cluster has one user-assigned identity where its type is UserAssigned, and none otherwise.", "identity"
        )
    kubelet = at(put.body, "properties.identityProfile.kubeletidentity.resourceId")
    before = at(put.old.body, "properties.identityProfile.kubeletidentity.resourceId") if put.old else None
    if kubelet != before and kubelet and kind != "UserAssigned":
        _refuse("A kubelet identity of your own needs a user-assigned identity of the cluster.", "identityProfile")


def _check_network(properties: Body) -> None:
    network: Body = properties.get("networkProfile") or {}
    cilium = network.get("networkDataplane") == "cilium"
    if cilium and network.get("networkPlugin", "azure") != "azure":
        _refuse("networkDataplane cilium needs networkPlugin azure.", "networkProfile.networkPlugin")
    if network.get("networkPolicy") == "cilium" and not cilium:
        _refuse("networkPolicy cilium needs networkDataplane cilium.", "networkProfile.networkPolicy")
    if cilium and network.get("networkPolicy", "cilium") not in ("cilium", "none"):
        _refuse("networkDataplane cilium needs networkPolicy cilium.", "networkProfile.networkPolicy")
    if network.get("podCidr") and network.get("networkPlugin") == "azure" and not network.get("networkPluginMode"):
        _refuse("podCidr needs networkPluginMode overlay.", "networkProfile.podCidr")
    if bool(network.get("serviceCidr")) != bool(network.get("dnsServiceIP")):
        _refuse("serviceCidr and dnsServiceIP go together.", "networkProfile.dnsServiceIP")


def _check_access(properties: Body) -> None:
    access: Body = properties.get("apiServerAccessProfile") or {}
    if access.get("enablePrivateCluster") and access.get("authorizedIPRanges"):
        _refuse("A private cluster cannot have authorized IP ranges.", "apiServerAccessProfile")
    entra: Body = properties.get("aadProfile") or {}
    if properties.get("disableLocalAccounts") and not entra.get("managed"):
        _refuse(
            "disableLocalAccounts needs AKS-managed Entra integration (aadProfile.managed).", "disableLocalAccounts"
        )
    if entra.get("enableAzureRBAC") and properties.get("enableRBAC") is False:
        _refuse("Azure RBAC needs Kubernetes RBAC.", "enableRBAC")


def _check_switches(put: Put) -> None:
    issuer = bool(at(put.body, "properties.oidcIssuerProfile.enabled"))
    if at(put.body, "properties.securityProfile.workloadIdentity.enabled") and not issuer:
        _refuse("Workload identity needs the OIDC issuer (oidcIssuerProfile.enabled).", "securityProfile")
    if put.old and at(put.old.body, "properties.oidcIssuerProfile.enabled") and not issuer:
        _refuse("The OIDC issuer cannot be disabled once it is enabled.", "oidcIssuerProfile.enabled")
    tier = at(put.body, "sku.tier") or "Free"
    if put.properties.get("supportPlan") == "AKSLongTermSupport" and tier != "Premium":
        _refuse("Long-term support needs the Premium tier.", "supportPlan")


def _check_pools(world: World, put: Put) -> None:
    inline: list[Body] = put.properties.get("agentPoolProfiles") or []
    for profile in inline:
        name = str(profile["name"])
        old = world.find(f"{put.id.text}/agentPools/{name}")
        if put.old is not None and old is None:
            raise bad_request(
                "BadRequest",
                f"A new agent pool was introduced: {name}. Adding agent pools to an existing cluster is not allowed "
                "through managed cluster operations. For agent pool specific change, please use per agent pool "
                "operations.",
            )
        pools.check(world, name, pools.of_profile(profile), old.body["properties"] if old else None)
    kept = [one for one in world.children(put.id.text, POOL) if one.body["name"] not in {p["name"] for p in inline}]
    modes = [one.get("mode", "User") for one in inline] + [str(at(one.body, "properties.mode")) for one in kept]
    if "System" not in modes:
        _refuse("There has to be at least one system agent pool.", "agentPoolProfiles")


# --- what AKS adds ---


def _outputs(world: World, put: Put) -> Body:
    body = merged(_defaults(put), put.body)
    properties: Body = body["properties"]
    location, digest = body["location"], hashlib.sha256(put.id.key.encode()).hexdigest()[:8]
    prefix = properties.get("dnsPrefix") or properties.get("fqdnSubdomain")
    private = bool(at(body, "properties.apiServerAccessProfile.enablePrivateCluster"))
    name = f"{prefix}-{digest}.hcp.{location}.azmk8s.io"
    properties |= {"azurePortalFQDN": name, "privateFQDN" if private else "fqdn": name}
    properties["currentKubernetesVersion"] = properties["kubernetesVersion"]
    properties["resourceUID"] = put.kept("properties.resourceUID", lambda: uuid.uuid4().hex)
    if at(body, "properties.oidcIssuerProfile.enabled"):
        properties["oidcIssuerProfile"]["issuerURL"] = world.settings.issuer
    if body.get("identity"):
        body["identity"] = _identity(world, put)
    return body


def _defaults(put: Put) -> Body:
    group = f"MC_{put.id.group}_{put.id.name}_{put.body['location']}"[:80]
    return {
        "sku": {"name": "Base", "tier": "Free"},
        "kind": "Base",
        "properties": {
            "kubernetesVersion": DEFAULT_VERSION,
            "powerState": {"code": "Running"},
            "maxAgentPools": 100,
            "enableRBAC": True,
            "disableLocalAccounts": False,
            "supportPlan": "KubernetesOfficial",
            "nodeResourceGroup": put.kept("properties.nodeResourceGroup", lambda: group),
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "loadBalancerSku": "standard",
                "podCidr": "10.244.0.0/16",
                "serviceCidr": "10.0.0.0/16",
                "dnsServiceIP": "10.0.0.10",
                "outboundType": "loadBalancer",
                "ipFamilies": ["IPv4"],
            },
            "oidcIssuerProfile": {"enabled": False},
            "storageProfile": {
                "diskCSIDriver": {"enabled": True},
                "fileCSIDriver": {"enabled": True},
                "snapshotController": {"enabled": True},
            },
        },
    }


def _identity(world: World, put: Put) -> Body:
    identity: Body = dict(put.body["identity"])
    if identity.get("type") == "SystemAssigned":
        own = put.kept("identity.principalId", lambda: str(uuid.uuid4()))
        return identity | {"principalId": own, "tenantId": TENANT_ID}
    named: Body = identity.get("userAssignedIdentities") or {}
    return identity | {"userAssignedIdentities": {path: _ids(world.find(path)) for path in named}}


def _ids(record: Record | None) -> Body:
    properties: Body = record.body["properties"] if record else {}
    return {key: properties[key] for key in ("principalId", "clientId") if key in properties}


def _stored(world: World, put: Put, record: Record) -> None:
    """Make the pools that the cluster names, its resource group and the identities in it."""
    inline: list[Body] = record.body["properties"].pop("agentPoolProfiles", None) or []
    for profile in inline:
        pools.keep(world, record, str(profile["name"]), pools.of_profile(profile))
    group = _node_group(world, record)
    properties: Body = record.body["properties"]
    given: str | None = at(record.body, "properties.identityProfile.kubeletidentity.resourceId")
    kubelet = world.find(given) if given else _own_identity(world, group, record, f"{record.body['name']}-agentpool")
    properties["identityProfile"] = {"kubeletidentity": _profile(kubelet)} if kubelet else {}
    addons: Body = properties.get("addonProfiles") or {}
    for addon, prefix in _ADDON_IDENTITIES.items():
        if at(addons, f"{addon}.enabled"):
            own = _own_identity(world, group, record, f"{prefix}-{record.body['name']}")
            addons[addon] = addons[addon] | {"identity": _profile(own)}


def _profile(identity: Record) -> Body:
    ids = _ids(identity)
    return {"resourceId": identity.id, "clientId": ids["clientId"], "objectId": ids["principalId"]}


def _node_group(world: World, record: Record) -> str:
    name = record.body["properties"]["nodeResourceGroup"]
    path = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/{name}"
    if world.find(path) is None:
        body: Body = {
            "id": path,
            "name": name,
            "type": GROUP_TYPE,
            "location": record.body["location"],
            "managedBy": record.id,
            "properties": {"provisioningState": "Succeeded"},
        }
        world.add(Record(path, GROUP_TYPE, body, time.time()))
    return path


def _own_identity(world: World, group: str, cluster: Record, name: str) -> Record:
    path = f"{group}/providers/{IDENTITY}/{name}"
    found = world.find(path)
    if found is None:
        ids = {"principalId": str(uuid.uuid4()), "clientId": str(uuid.uuid4()), "tenantId": TENANT_ID}
        location = cluster.body["location"]
        body: Body = {"id": path, "name": name, "type": IDENTITY, "location": location, "properties": ids}
        found = Record(path, IDENTITY, body, time.time())
        world.add(found)
    return found


def _view(world: World, record: Record) -> Body:
    profiles = [pools.profile(one) for one in world.children(record.id, POOL)]
    return merged(record.body, {"properties": {"agentPoolProfiles": profiles}})


def _finished(world: World, record: Record) -> Body | None:
    for pool in world.children(record.id, POOL):
        if not pool.operation:
            pool.body["properties"]["provisioningState"] = "Succeeded"
    return None


def _removed(world: World, record: Record) -> None:
    group = world.find(
        f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/{record.body['properties']['nodeResourceGroup']}"
    )
    if group is not None and group.body.get("managedBy") == record.id:
        world.remove(group)


_FIXED: tuple[str, ...] = (
    "properties.dnsPrefix",
    "properties.fqdnSubdomain",
    "properties.nodeResourceGroup",
    "properties.enableRBAC",
    "properties.diskEncryptionSetID",
    "properties.linuxProfile",
    "properties.windowsProfile.adminUsername",
    "properties.networkProfile.networkPlugin",
    "properties.networkProfile.serviceCidr",
    "properties.networkProfile.dnsServiceIP",
    "properties.networkProfile.loadBalancerSku",
    "properties.apiServerAccessProfile.enablePrivateCluster",
    "properties.aadProfile.managed",
)

RULES: dict[str, Any] = {
    CLUSTER: Rules(
        name=re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"),
        name_rule="must be 1 to 63 letters, digits, `-` and `_`, and start and end with a letter or digit",
        seconds=1.0,
        fixed=_FIXED,
        busy_code="OperationNotAllowed",
        check=_check_cluster,
        outputs=_outputs,
        stored=_stored,
        failure=_finished,
        view=_view,
        removed=_removed,
    ),
    POOL: pools.RULES,
}
