"""The resource types of the rehearsal: how azure-native names them, where ARM keeps them, which models describe them.

Owns the one table that emulator and provider share. `api_version` is the one that azure-native 3.29 sends; the models
are of the newest version that the azure-mgmt packages know, and the emulator takes both.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rehearsal.azure.contract import Shape, model, shape

_GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One resource type. `path` has azure-native's own names of the parameters in braces, the resource's name last."""

    token: str
    path: str
    api_version: str
    model_version: str
    response_model: str
    request_model: str = ""
    """The model of a PUT's body where it is not the same as the answer's."""
    replaces: tuple[str, ...] = ()
    """Inputs, beside those in the path, whose change makes azure-native replace the resource (its `forceNewMap`, and
    ARM's create-only `location`)."""
    parts: tuple[str, ...] = ()
    """Inputs that are resources of their own too: left alone where the program does not set them."""

    @cached_property
    def arm_type(self) -> str:
        """`Namespace/type/type`; resource groups have a namespace too, though their path does not name it."""
        after = self.path.rpartition("/providers/")[2] if "/providers/" in self.path else ""
        words = [word for word in after.split("/") if word and not word.startswith("{")]
        return "/".join(words) or "Microsoft.Resources/resourceGroups"

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The path's parameters that are inputs of the program, the resource's own name last."""
        names = [word[1:-1] for word in self.path.split("/") if word.startswith("{")]
        return tuple(name for name in names if name != "subscriptionId")

    @property
    def name_parameter(self) -> str:
        """The input that names the resource."""
        return self.parameters[-1]

    @cached_property
    def autoname(self) -> str:
        """How azure-native names a resource without a name: random, copy (children, of the program's name) or uuid."""
        if self.arm_type.endswith("/roleAssignments"):
            return "uuid"
        return "copy" if self.arm_type.count("/") > 1 else "random"

    @cached_property
    def request(self) -> Shape:
        """The shape of a PUT's body."""
        return shape(model(self.request_model or self.response_model))

    @cached_property
    def response(self) -> Shape:
        """The shape of what a GET answers."""
        return shape(model(self.response_model))


def _type(token: str, path: str, package: str, name: str, versions: tuple[str, str], **rest: Any) -> ResourceType:
    request = rest.pop("request", "")
    return ResourceType(
        token=f"azure-native:{token}",
        path=path,
        api_version=versions[0],
        model_version=versions[1],
        response_model=f"azure.mgmt.{package}.models:{name}",
        request_model=f"azure.mgmt.{package}.models:{request}" if request else "",
        **rest,
    )


_NETWORK = ("2024-05-01", "2026-03-01")
_CLUSTER = ("2025-09-01", "2026-08-01")
_VAULT = ("2024-11-01", "2026-05-15")
_IDENTITY = ("2023-01-31", "2024-11-30")
_VNET_PATH = f"{_GROUP}/providers/Microsoft.Network/virtualNetworks/{{virtualNetworkName}}"
_NSG_PATH = f"{_GROUP}/providers/Microsoft.Network/networkSecurityGroups/{{networkSecurityGroupName}}"
_IP_PATH = f"{_GROUP}/providers/Microsoft.Network/publicIPAddresses/{{publicIpAddressName}}"
_REGISTRY_PATH = f"{_GROUP}/providers/Microsoft.ContainerRegistry/registries/{{registryName}}"
_VAULT_PATH = f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}"
_IDENTITY_PATH = f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}"
_CREDENTIAL_PATH = f"{_IDENTITY_PATH}/federatedIdentityCredentials/{{federatedIdentityCredentialResourceName}}"
_CLUSTER_PATH = f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters/{{resourceName}}"
_NETWORK_PROFILE = (
    "serviceCidr",
    "serviceCidrs",
    "dnsServiceIP",
    "networkMode",
    "networkPlugin",
    "networkPluginMode",
    "podCidr",
    "networkDataplane",
    "networkPolicy",
    "outboundType",
)

TYPES: tuple[ResourceType, ...] = (
    _type(
        "resources:ResourceGroup",
        _GROUP,
        "resource.resources",
        "ResourceGroup",
        ("2024-03-01", "2025-04-01"),
        replaces=("location",),
    ),
    _type(
        "network:VirtualNetwork",
        _VNET_PATH,
        "network",
        "VirtualNetwork",
        _NETWORK,
        replaces=("location",),
        parts=("subnets", "virtualNetworkPeerings"),
    ),
    _type("network:Subnet", f"{_VNET_PATH}/subnets/{{subnetName}}", "network", "Subnet", _NETWORK),
    _type(
        "network:NetworkSecurityGroup",
        _NSG_PATH,
        "network",
        "NetworkSecurityGroup",
        _NETWORK,
        replaces=("location",),
        parts=("securityRules",),
    ),
    _type(
        "network:PublicIPAddress",
        _IP_PATH,
        "network",
        "PublicIPAddress",
        _NETWORK,
        replaces=("location", "publicIPAddressVersion", "publicIPPrefix", "sku"),
    ),
    _type(
        "containerregistry:Registry",
        _REGISTRY_PATH,
        "containerregistry",
        "Registry",
        ("2023-01-01-preview", "2025-11-01"),
        replaces=("location",),
    ),
    _type(
        "containerregistry:CacheRule",
        f"{_REGISTRY_PATH}/cacheRules/{{cacheRuleName}}",
        "containerregistry",
        "CacheRule",
        ("2024-11-01-preview", "2025-11-01"),
    ),
    _type(
        "containerregistry:TaskRun",
        f"{_REGISTRY_PATH}/taskRuns/{{taskRunName}}",
        "containerregistrytasks",
        "TaskRun",
        ("2019-06-01-preview", "2025-03-01-preview"),
    ),
    _type(
        "keyvault:Vault",
        _VAULT_PATH,
        "keyvault",
        "Vault",
        _VAULT,
        request="VaultCreateOrUpdateParameters",
        replaces=("location",),
        parts=("properties.accessPolicies",),
    ),
    _type(
        "keyvault:Secret",
        f"{_VAULT_PATH}/secrets/{{secretName}}",
        "keyvault",
        "Secret",
        _VAULT,
        request="SecretCreateOrUpdateParameters",
    ),
    _type(
        "managedidentity:UserAssignedIdentity",
        _IDENTITY_PATH,
        "msi",
        "Identity",
        _IDENTITY,
        replaces=("location",),
    ),
    _type(
        "managedidentity:FederatedIdentityCredential",
        _CREDENTIAL_PATH,
        "msi",
        "FederatedIdentityCredential",
        _IDENTITY,
    ),
    _type(
        "authorization:RoleAssignment",
        "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "authorization",
        "RoleAssignment",
        ("2022-04-01", "2022-04-01"),
        request="RoleAssignmentCreateParameters",
        replaces=("principalId", "scope"),
    ),
    _type(
        "containerservice:ManagedCluster",
        _CLUSTER_PATH,
        "containerservice",
        "ManagedCluster",
        _CLUSTER,
        replaces=(
            "location",
            "diskEncryptionSetID",
            "dnsPrefix",
            "fqdnSubdomain",
            "linuxProfile",
            "nodeResourceGroup",
            "windowsProfile",
            *(f"networkProfile.{name}" for name in _NETWORK_PROFILE),
        ),
    ),
    _type(
        "containerservice:AgentPool",
        f"{_CLUSTER_PATH}/agentPools/{{agentPoolName}}",
        "containerservice",
        "AgentPool",
        _CLUSTER,
        replaces=("gpuInstanceProfile", "vmSize"),
    ),
)

BY_TOKEN = {one.token: one for one in TYPES}
BY_ARM_TYPE = {one.arm_type.lower(): one for one in TYPES}
