"""What the Azure tests share: the emulator in this process, and a valid body of every resource type."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rehearsal.azure import SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.emulator.app import Emulator
from rehearsal.azure.emulator.arm import Arm
from rehearsal.azure.emulator.entra import Entra
from rehearsal.azure.emulator.http import Answer, Call
from rehearsal.azure.emulator.kinds import RULES
from rehearsal.azure.emulator.secrets import Secrets
from rehearsal.azure.emulator.store import Store
from rehearsal.azure.emulator.world import Settings, World
from rehearsal.azure.types import BY_TOKEN, ResourceType

Body = dict[str, Any]

TOKEN = "arm-token"
SUBSCRIPTION = f"/subscriptions/{SUBSCRIPTION_ID}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/slm-dev"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/slm"
NSG = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/slm"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/slmdev"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/slm-dev"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gateway"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/slm"
ROLE_DEFINITIONS = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
SECRETS_USER = f"{ROLE_DEFINITIONS}/4633458b-17de-408a-b874-0445c86b69e6"
ISSUER = Settings.issuer
SUBJECT = "system:serviceaccount:slm:gateway"
AUDIENCE = "api://AzureADTokenExchange"
VALUE = "sk-planted-c2VjcmV0"


@dataclass(frozen=True)
class Case:
    """A valid resource, and how to make one invalid in each way."""

    token: str
    id: str
    body: Body
    immutable: tuple[str, Any]
    """A path that cannot be changed, and another valid value for it."""
    read_only: tuple[str, Any] = ("id", "/somewhere/else")
    required: str = "location"
    deletable: bool = True

    @property
    def type(self) -> ResourceType:
        return BY_TOKEN[f"azure-native:{self.token}"]


POOL: Body = {"count": 1, "vmSize": "Standard_D4s_v5", "mode": "User", "vnetSubnetID": f"{VNET}/subnets/nodes"}
SYSTEM_POOL: Body = {"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}

CASES = [
    Case("resources:ResourceGroup", GROUP, {"location": "westeurope", "tags": {"a": "b"}}, ("location", "uksouth")),
    Case(
        "network:NetworkSecurityGroup",
        NSG,
        {
            "location": "westeurope",
            "properties": {
                "securityRules": [
                    {
                        "name": "https",
                        "properties": {
                            "access": "Allow",
                            "direction": "Inbound",
                            "priority": 100,
                            "protocol": "Tcp",
                            "sourceAddressPrefix": "Internet",
                            "sourcePortRange": "*",
                            "destinationAddressPrefix": "*",
                            "destinationPortRange": "443",
                        },
                    }
                ]
            },
        },
        ("location", "uksouth"),
        read_only=("properties.provisioningState", "Failed"),
    ),
    Case(
        "network:VirtualNetwork",
        VNET,
        {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}},
        ("location", "uksouth"),
        read_only=("properties.resourceGuid", str(uuid.uuid4())),
    ),
    Case(
        "network:Subnet",
        f"{VNET}/subnets/nodes",
        {"properties": {"addressPrefix": "10.1.0.0/20", "networkSecurityGroup": {"id": NSG}}},
        ("name", "another"),
        read_only=("properties.purpose", "PrivateEndpoints"),
        required="properties.addressPrefix",
    ),
    Case(
        "network:PublicIPAddress",
        f"{GROUP}/providers/Microsoft.Network/publicIPAddresses/slm",
        {
            "location": "westeurope",
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": "slm-dev"}},
        },
        ("properties.publicIPAddressVersion", "IPv6"),
        read_only=("properties.provisioningState", "Failed"),
    ),
    Case(
        "containerregistry:Registry",
        REGISTRY,
        {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"adminUserEnabled": False}},
        ("location", "uksouth"),
        read_only=("properties.loginServer", "elsewhere.azurecr.io"),
        required="sku",
    ),
    Case(
        "containerregistry:CacheRule",
        f"{REGISTRY}/cacheRules/caddy",
        {"properties": {"sourceRepository": "docker.io/library/caddy", "targetRepository": "caddy"}},
        ("properties.sourceRepository", "docker.io/library/nginx"),
        read_only=("properties.creationDate", "2020-01-01"),
        required="properties.sourceRepository",
    ),
    Case(
        "containerregistry:TaskRun",
        f"{REGISTRY}/taskRuns/slm-onnx",
        {
            "location": "westeurope",
            "properties": {
                "runRequest": {
                    "type": "DockerBuildRequest",
                    "imageNames": ["slm-onnx:1"],
                    "dockerFilePath": "Dockerfile",
                    "sourceLocation": "https://github.com/example/slm.git#main:runtimes/onnx",
                    "platform": {"os": "Linux", "architecture": "amd64"},
                }
            },
        },
        ("name", "another"),
        read_only=("properties.provisioningState", "Failed"),
        required="properties.runRequest",
    ),
    Case(
        "keyvault:Vault",
        VAULT,
        {
            "location": "westeurope",
            "properties": {
                "tenantId": TENANT_ID,
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
                "softDeleteRetentionInDays": 7,
            },
        },
        ("properties.softDeleteRetentionInDays", 30),
        read_only=("properties.hsmPoolResourceId", "/pool"),
        required="properties.tenantId",
    ),
    Case(
        "keyvault:Secret",
        f"{VAULT}/secrets/api-keys-default",
        {"properties": {"value": VALUE}},
        ("name", "another"),
        read_only=("properties.secretUri", "https://elsewhere"),
        required="properties.value",
        deletable=False,
    ),
    Case(
        "managedidentity:UserAssignedIdentity",
        IDENTITY,
        {"location": "westeurope"},
        ("location", "uksouth"),
        read_only=("properties.principalId", str(uuid.uuid4())),
    ),
    Case(
        "managedidentity:FederatedIdentityCredential",
        f"{IDENTITY}/federatedIdentityCredentials/gateway",
        {"properties": {"issuer": ISSUER, "subject": SUBJECT, "audiences": [AUDIENCE]}},
        ("name", "another"),
        required="properties.subject",
    ),
    Case(
        "containerservice:ManagedCluster",
        CLUSTER,
        {
            "location": "westeurope",
            "identity": {"type": "SystemAssigned"},
            "sku": {"name": "Base", "tier": "Free"},
            "properties": {
                "dnsPrefix": "slm",
                "agentPoolProfiles": [SYSTEM_POOL],
                "oidcIssuerProfile": {"enabled": True},
                "securityProfile": {"workloadIdentity": {"enabled": True}},
                "addonProfiles": {"azureKeyvaultSecretsProvider": {"enabled": True}},
                "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"},
            },
        },
        ("properties.dnsPrefix", "another"),
        read_only=("properties.fqdn", "elsewhere.azmk8s.io"),
        required="properties.dnsPrefix",
    ),
    Case(
        "containerservice:AgentPool",
        f"{CLUSTER}/agentPools/cpu",
        {"properties": POOL},
        ("properties.vmSize", "Standard_D8s_v5"),
        read_only=("properties.currentOrchestratorVersion", "1.0"),
        required="properties.vmSize",
    ),
]
"""In the order in which they can be made; a role assignment needs a principal's id and is made by `assignment`."""


class Azure:
    """The emulator in this process, without HTTP in between."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.world = World(Store(folder), settings, RULES)
        secrets = Secrets(self.world, TOKEN)
        self.emulator = Emulator(self.world, Arm(self.world, TOKEN), Entra(self.world, None), secrets)

    def call(self, method: str, path: str, body: Body | bytes = b"", version: str = "", **changes: Any) -> Answer:
        call = Call(
            method=method,
            host="127.0.0.1:1",
            path=path,
            query={"api-version": version or version_of(path)},
            headers={"authorization": f"Bearer {TOKEN}"},
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            is_loopback=True,
        )
        return self.emulator.answer(replace(call, **changes))

    def get(self, path: str) -> Body:
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    def put(self, path: str, body: Body) -> Body:
        """PUT and wait until it is done."""
        answer = self.call("PUT", path, body)
        assert answer.status in (200, 201), answer.body
        self.wait(answer)
        return self.get(path)

    def refused(self, method: str, path: str, body: Body | bytes = b"", **changes: Any) -> tuple[int, str]:
        """The status and code of a refusal."""
        answer = self.call(method, path, body, **changes)
        assert answer.status >= 400, (method, path, answer.status, answer.body)
        return answer.status, answer.body["error"]["code"]

    def delete(self, path: str) -> None:
        answer = self.call("DELETE", path)
        assert answer.status in (200, 202, 204), answer.body
        self.wait(answer)

    def wait(self, answer: Answer) -> None:
        address = answer.headers.get("Azure-AsyncOperation")
        while address:
            status = self.call("GET", address.partition("127.0.0.1:1")[2].partition("?")[0]).body
            if status["status"] != "InProgress":
                assert status["status"] == "Succeeded", status
                return
            time.sleep(0.01)

    def make(self, until: str = "") -> None:
        """Make a resource of every type, or all before a type."""
        for case in CASES:
            if case.token == until:
                return
            self.put(case.id, case.body)

    def principal_id(self) -> str:
        return self.get(IDENTITY)["properties"]["principalId"]

    def let_read_secrets(self, scope: str = VAULT) -> str:
        path, body = assignment(scope, self.principal_id())
        self.put(path, body)
        return path


def assignment(scope: str, principal_id: str, role: str = SECRETS_USER) -> tuple[str, Body]:
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    properties = {"principalId": principal_id, "principalType": "ServicePrincipal", "roleDefinitionId": role}
    return path, {"properties": properties}


def version_of(path: str) -> str:
    """The api-version that azure-native sends for a path."""
    from rehearsal.azure.emulator.errors import ArmError
    from rehearsal.azure.emulator.ids import parse
    from rehearsal.azure.types import BY_ARM_TYPE

    try:
        kind = BY_ARM_TYPE.get(parse(path).type.lower())
    except ArmError:
        kind = None
    return kind.api_version if kind else "2025-09-01"


def changed(body: Body, path: str, value: Any) -> Body:
    """A copy with a value at a dotted path."""
    first, _, rest = path.partition(".")
    return body | {first: changed(body.get(first, {}), rest, value) if rest else value}


def without(body: Body, path: str) -> Body:
    """A copy without what is at a dotted path."""
    first, _, rest = path.partition(".")
    if rest:
        return body | {first: without(body[first], rest)}
    return {key: value for key, value in body.items() if key != first}


def walk(value: Any) -> Iterator[Any]:
    """Every value inside of one."""
    yield value
    if isinstance(value, dict):
        yield from (inner for item in cast(Body, value).values() for inner in walk(item))
    elif isinstance(value, list):
        yield from (inner for item in cast(list[Any], value) for inner in walk(item))
