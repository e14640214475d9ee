"""The provider through its gRPC contract, in front of the emulator, request by request."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast

import grpc
import httpx
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from rehearsal.azure import SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.emulator.http import Call
from rehearsal.azure.emulator.registry import LocalRegistry
from rehearsal.azure.provider.__main__ import Provider
from rehearsal.azure.provider.arm import ArmClient
from rehearsal.azure.provider.values import UNKNOWN, Secret, from_struct, to_struct
from tests.azure.support import (
    AUDIENCE,
    CLUSTER,
    GROUP,
    ISSUER,
    NSG,
    REGISTRY,
    SUBJECT,
    SUBSCRIPTION,
    TOKEN,
    VALUE,
    VAULT,
    VNET,
    Azure,
    Body,
    walk,
)

LOCATION = "westeurope"
IN_GROUP = {"resourceGroupName": "slm-dev"}
INPUTS: dict[str, Body] = {
    "resources:ResourceGroup": {"resourceGroupName": "slm-dev"},
    "network:NetworkSecurityGroup": IN_GROUP
    | {
        "networkSecurityGroupName": "slm",
        "securityRules": [
            {
                "name": "https",
                "access": "Allow",
                "direction": "Inbound",
                "priority": 100,
                "protocol": "Tcp",
                "sourceAddressPrefix": "Internet",
                "sourcePortRange": "*",
                "destinationAddressPrefix": "*",
                "destinationPortRange": "443",
            }
        ],
    },
    "network:VirtualNetwork": IN_GROUP
    | {"virtualNetworkName": "slm", "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}},
    "network:Subnet": IN_GROUP
    | {
        "virtualNetworkName": "slm",
        "subnetName": "nodes",
        "addressPrefix": "10.1.0.0/20",
        "networkSecurityGroup": {"id": NSG},
    },
    "network:PublicIPAddress": IN_GROUP
    | {"publicIpAddressName": "slm", "sku": {"name": "Standard"}, "publicIPAllocationMethod": "Static"},
    "containerregistry:Registry": IN_GROUP
    | {"registryName": "slmdev", "sku": {"name": "Standard"}, "adminUserEnabled": False},
    "containerregistry:CacheRule": IN_GROUP
    | {
        "registryName": "slmdev",
        "cacheRuleName": "caddy",
        "sourceRepository": "docker.io/library/caddy",
        "targetRepository": "caddy",
    },
    "containerregistry:TaskRun": IN_GROUP
    | {
        "registryName": "slmdev",
        "taskRunName": "slm-onnx",
        "forceUpdateTag": "1",
        "runRequest": {
            "type": "DockerBuildRequest",
            "dockerFilePath": "Dockerfile",
            "sourceLocation": "https://example.org/slm.git",
            "imageNames": ["slm-onnx:1"],
            "platform": {"os": "Linux"},
        },
    },
    "keyvault:Vault": IN_GROUP
    | {
        "vaultName": "slm-dev",
        "properties": {
            "tenantId": TENANT_ID,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
        },
    },
    "keyvault:Secret": IN_GROUP
    | {
        "vaultName": "slm-dev",
        "secretName": "api-keys-default",
        "properties": {"value": VALUE, "attributes": {"expires": 2000000000}},
    },
    "managedidentity:UserAssignedIdentity": IN_GROUP | {"resourceName": "gateway"},
    "managedidentity:FederatedIdentityCredential": IN_GROUP
    | {
        "resourceName": "gateway",
        "federatedIdentityCredentialResourceName": "gateway",
        "issuer": ISSUER,
        "subject": SUBJECT,
        "audiences": [AUDIENCE],
    },
    "containerservice:ManagedCluster": IN_GROUP
    | {
        "resourceName": "slm",
        "dnsPrefix": "slm",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": [f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gateway"],
        },
        "agentPoolProfiles": [{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}],
        "oidcIssuerProfile": {"enabled": True},
        "autoScalerProfile": {"scaleDownUnneededTime": "5m"},
        "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"},
    },
    "containerservice:AgentPool": IN_GROUP
    | {"resourceName": "slm", "agentPoolName": "cpu", "count": 1, "vmSize": "Standard_D4s_v5", "mode": "User"},
}
EVERY_TYPE = pytest.mark.parametrize("token", list(INPUTS))


@dataclass
class Plugin:
    """The provider's stub, and every request that it sent."""

    # The generated client leaves its types open.
    stub: Any
    azure: Azure
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def check(self, token: str, inputs: Body, old: Body | None = None, name: str = "it") -> tuple[Body, dict[str, str]]:
        request = provider_pb2.CheckRequest(
            urn=urn(token, name), news=to_struct(inputs), olds=to_struct(old or {}), randomSeed=name.encode()
        )
        answer = self.stub.Check(request)
        return from_struct(answer.inputs), {one.property: one.reason for one in answer.failures}

    def create(self, token: str, inputs: Body | None = None, *, preview: bool = False) -> tuple[str, Body, Body]:
        """Check and create: id, state, inputs."""
        checked, failures = self.check(token, INPUTS[token] if inputs is None else inputs)
        assert failures == {}
        request = provider_pb2.CreateRequest(urn=urn(token), properties=to_struct(checked), preview=preview)
        answer = self.stub.Create(request)
        return answer.id, from_struct(answer.properties), checked

    def make(self, until: str = "") -> dict[str, tuple[str, Body, Body]]:
        made: dict[str, tuple[str, Body, Body]] = {}
        for token in INPUTS:
            if token == until:
                break
            made[token] = self.create(token)
        return made

    def diff(self, token: str, before: Body, after: Body) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(urn=urn(token), old_inputs=to_struct(before), news=to_struct(after))
        return self.stub.Diff(request)

    def update(self, token: str, made: tuple[str, Body, Body], inputs: Body, *, preview: bool = False) -> Body:
        resource, state, old = made
        checked, failures = self.check(token, inputs, old)
        assert failures == {}
        request = provider_pb2.UpdateRequest(
            id=resource,
            urn=urn(token),
            olds=to_struct(state),
            news=to_struct(checked),
            old_inputs=to_struct(old),
            preview=preview,
        )
        return from_struct(self.stub.Update(request).properties)

    def read(self, token: str, resource: str, state: Body | None = None, inputs: Body | None = None) -> Any:
        request = provider_pb2.ReadRequest(
            id=resource, urn=urn(token), properties=to_struct(state or {}), inputs=to_struct(inputs or {})
        )
        return self.stub.Read(request)

    def delete(self, token: str, resource: str) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=resource, urn=urn(token)))

    def invoke(self, token: str, arguments: Body) -> Body:
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(arguments)))
        return from_struct(getattr(answer, "return"))


def urn(token: str, name: str = "it") -> str:
    return f"urn:pulumi:dev::slm::slm:platform:Part$azure-native:{token}::{name}"


@pytest.fixture
def plugin(azure: Azure) -> Iterator[Plugin]:
    requests: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append((request.method, request.url.path))
        call = Call(
            method=request.method,
            host=request.headers["host"],
            path=request.url.path,
            query=dict(request.url.params),
            headers={key.lower(): value for key, value in request.headers.items()},
            body=request.read(),
            is_loopback=True,
        )
        found = azure.emulator.answer(call)
        return httpx.Response(found.status, headers=dict(found.headers), json=found.body)

    client = httpx.Client(
        transport=httpx.MockTransport(answer),
        base_url="http://127.0.0.1:1",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    server = grpc.server(ThreadPoolExecutor(4))
    provider = Provider(lambda cancelled: ArmClient(client, cancelled))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
        variables = {"azure-native:config:location": LOCATION, "azure-native:config:subscriptionId": SUBSCRIPTION_ID}
        stub.Configure(provider_pb2.ConfigureRequest(variables=variables))
        yield Plugin(stub, azure, requests)
    server.stop(None).wait()


def message(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(cast(grpc.Call, error.value).details())


# --- check ---


def test_a_name_that_is_left_out_is_made_of_the_programs_and_kept(plugin: Plugin) -> None:
    first, _ = plugin.check("containerregistry:Registry", IN_GROUP | {"sku": {"name": "Basic"}}, name="registry")
    assert first["registryName"].startswith("registry")
    assert len(first["registryName"]) == len("registry") + 8
    again, _ = plugin.check("containerregistry:Registry", IN_GROUP | {"sku": {"name": "Basic"}}, first, name="other")
    assert again["registryName"] == first["registryName"]


@pytest.mark.parametrize(("token", "property"), [("network:Subnet", "subnetName"), ("keyvault:Secret", "secretName")])
def test_a_childs_name_is_the_programs_own(plugin: Plugin, token: str, property: str) -> None:
    inputs = {key: value for key, value in INPUTS[token].items() if key != property}
    checked, _ = plugin.check(token, inputs, name="nodes")
    assert checked[property] == "nodes"


def test_a_right_is_named_by_a_guid(plugin: Plugin) -> None:
    inputs = {"scope": GROUP, "principalId": "p", "roleDefinitionId": "r"}
    checked, failures = plugin.check("authorization:RoleAssignment", inputs)
    assert (len(checked["roleAssignmentName"]), failures) == (36, {})


def test_the_location_comes_from_the_configuration(plugin: Plugin) -> None:
    checked, _ = plugin.check("managedidentity:UserAssignedIdentity", INPUTS["managedidentity:UserAssignedIdentity"])
    assert checked["location"] == LOCATION


def test_the_location_comes_from_the_group_where_nothing_is_configured(plugin: Plugin) -> None:
    plugin.stub.Configure(provider_pb2.ConfigureRequest())
    plugin.azure.put(GROUP, {"location": "uksouth"})
    token = "managedidentity:UserAssignedIdentity"
    assert plugin.check(token, INPUTS[token])[0]["location"] == "uksouth"
    unknown, failures = plugin.check(token, INPUTS[token] | {"resourceGroupName": UNKNOWN})
    assert (unknown["location"], failures) == (UNKNOWN, {})


@pytest.mark.parametrize(
    ("changes", "property"),
    [
        ({"colour": "red"}, "colour"),
        ({"sku": {"name": "Basic", "colour": "red"}}, "sku.colour"),
        ({"sku": {}}, "sku.name"),
        ({"sku": None}, "sku"),
        ({"adminUserEnabled": "no"}, "adminUserEnabled"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"identity": []}, "identity"),
    ],
)
def test_what_a_program_got_wrong_is_said_with_its_property(plugin: Plugin, changes: Body, property: str) -> None:
    _, failures = plugin.check("containerregistry:Registry", INPUTS["containerregistry:Registry"] | changes)
    assert list(failures) == [property]
    assert property in failures[property]


def test_nothing_is_said_of_what_is_not_known_yet(plugin: Plugin) -> None:
    inputs = INPUTS["containerregistry:Registry"] | {"sku": UNKNOWN, "resourceGroupName": UNKNOWN}
    checked, failures = plugin.check("containerregistry:Registry", inputs)
    assert (checked["sku"], failures) == (UNKNOWN, {})


def test_a_secrets_value_is_secret_whatever_the_program_says(plugin: Plugin) -> None:
    checked, _ = plugin.check("keyvault:Secret", INPUTS["keyvault:Secret"])
    assert checked["properties"]["value"] == Secret(VALUE)


def test_a_type_that_is_not_here_is_one_sentence(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as error:
        plugin.check("storage:StorageAccount", {})
    assert "has no resource type azure-native:storage:StorageAccount" in message(error)


# --- create, read, delete ---


@EVERY_TYPE
def test_a_resource_is_made_read_again_and_deleted(plugin: Plugin, token: str) -> None:
    plugin.make(until=token)
    resource, state, inputs = plugin.create(token)
    assert plugin.azure.get(resource)["id"] == resource
    found = plugin.read(token, resource, state, inputs)
    assert from_struct(found.properties) == state
    assert from_struct(found.inputs) == inputs
    assert plugin.diff(token, from_struct(found.inputs), inputs).changes == provider_pb2.DiffResponse.DIFF_NONE
    plugin.delete(token, resource)
    assert plugin.read(token, resource, state, inputs).id == ""
    plugin.delete(token, resource)


@EVERY_TYPE
def test_a_preview_sends_nothing_and_claims_nothing_that_only_azure_knows(plugin: Plugin, token: str) -> None:
    resource, state, _inputs = plugin.create(token, preview=True)
    assert (resource, plugin.requests) == ("", [])
    real = Azure(plugin.azure.folder / "real", plugin.azure.world.settings)
    plugin.azure.emulator.__dict__.update(real.emulator.__dict__)
    plugin.make(until=token)
    _, actual, _ = plugin.create(token)
    for key, value in state.items():
        if value is not UNKNOWN and key in actual:
            assert agrees(value, actual[key]), key
    assert state["name"] is UNKNOWN


def agrees(known: Any, actual: Any) -> bool:
    """Whether everything that a preview said came true."""
    if known is UNKNOWN:
        return True
    if isinstance(known, dict) and isinstance(actual, dict):
        found = cast(Body, actual)
        # A write-only value is in no answer, and so in no output.
        return all(agrees(value, found[key]) for key, value in cast(Body, known).items() if key in found)
    if isinstance(known, list) and isinstance(actual, list):
        return all(
            agrees(one, other) for one, other in zip(cast(list[Any], known), cast(list[Any], actual), strict=True)
        )
    return known == actual


def test_what_was_made_is_not_made_again(plugin: Plugin) -> None:
    plugin.create("resources:ResourceGroup")
    with pytest.raises(grpc.RpcError) as error:
        plugin.create("resources:ResourceGroup")
    assert f"cannot create already existing resource '{GROUP}'" in message(error)


def test_a_refusal_has_arms_code_and_message(plugin: Plugin) -> None:
    plugin.make(until="containerregistry:Registry")
    inputs = INPUTS["containerregistry:Registry"] | {"registryName": "with-dash"}
    with pytest.raises(grpc.RpcError) as error:
        plugin.create("containerregistry:Registry", inputs)
    assert 'Status=400 Code="InvalidResourceName"' in message(error)


def test_lists_of_identities_become_maps_and_names_with_dashes_come_back(plugin: Plugin) -> None:
    made = plugin.make()
    cluster = plugin.azure.get(CLUSTER)
    (identity,) = cluster["identity"]["userAssignedIdentities"].values()
    assert identity["principalId"] == made["managedidentity:UserAssignedIdentity"][1]["principalId"]
    assert cluster["properties"]["autoScalerProfile"] == {"scale-down-unneeded-time": "5m"}
    state = made["containerservice:ManagedCluster"][1]
    assert state["autoScalerProfile"] == {"scaleDownUnneededTime": "5m"}
    assert state["oidcIssuerProfile"] == {"enabled": True, "issuerURL": ISSUER}


def test_a_run_that_fails_is_kept_as_unfinished_with_its_reason(plugin: Plugin) -> None:
    plugin.make(until="containerregistry:TaskRun")
    world = plugin.azure.world
    world.settings = replace(world.settings, registry=LocalRegistry("http://127.0.0.1:9"))
    with pytest.raises(grpc.RpcError) as error:
        plugin.create("containerregistry:TaskRun")
    metadata = dict(cast(Any, error.value).trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert detail.id == f"{REGISTRY}/taskRuns/slm-onnx"
    assert from_struct(detail.properties)["provisioningState"] == "Failed"
    assert "TaskRunFailed" in detail.reasons[0]


# --- update ---


def test_an_update_changes_azure_and_keeps_what_azure_chose(plugin: Plugin) -> None:
    made = plugin.make()["managedidentity:UserAssignedIdentity"]
    inputs = INPUTS["managedidentity:UserAssignedIdentity"] | {"tags": {"team": "slm"}}
    state = plugin.update("managedidentity:UserAssignedIdentity", made, inputs)
    assert (state["tags"], state["principalId"]) == ({"team": "slm"}, made[1]["principalId"])


def test_a_networks_update_leaves_subnets_alone_that_are_resources_of_their_own(plugin: Plugin) -> None:
    made = plugin.make()["network:VirtualNetwork"]
    plugin.update("network:VirtualNetwork", made, INPUTS["network:VirtualNetwork"] | {"tags": {"a": "b"}})
    assert plugin.azure.get(f"{VNET}/subnets/nodes")["name"] == "nodes"


def test_a_preview_of_an_update_sends_nothing(plugin: Plugin) -> None:
    made = plugin.make()["containerregistry:Registry"]
    plugin.requests.clear()
    inputs = INPUTS["containerregistry:Registry"] | {"tags": {"a": "b"}}
    state = plugin.update("containerregistry:Registry", made, inputs, preview=True)
    assert (state["name"], state["tags"], state["loginServer"]) == ("slmdev", {"a": "b"}, UNKNOWN)
    assert [method for method, _ in plugin.requests if method != "GET"] == []


# --- diff ---

REPLACE = {provider_pb2.PropertyDiff.UPDATE_REPLACE, provider_pb2.PropertyDiff.ADD_REPLACE}


@pytest.mark.parametrize(
    ("token", "changes", "path"),
    [
        ("containerregistry:Registry", {"registryName": "other"}, "registryName"),
        ("containerregistry:Registry", {"location": "uksouth"}, "location"),
        ("containerservice:AgentPool", {"vmSize": "Standard_D8s_v5"}, "vmSize"),
        ("containerservice:ManagedCluster", {"dnsPrefix": "other"}, "dnsPrefix"),
        (
            "containerservice:ManagedCluster",
            {"networkProfile": {"networkPlugin": "none"}},
            "networkProfile.networkPlugin",
        ),
        ("network:PublicIPAddress", {"sku": {"name": "Basic"}}, "sku.name"),
        ("network:Subnet", {"virtualNetworkName": UNKNOWN}, "virtualNetworkName"),
    ],
)
def test_what_cannot_change_in_place_is_replaced(plugin: Plugin, token: str, changes: Body, path: str) -> None:
    answer = plugin.diff(token, INPUTS[token], INPUTS[token] | changes)
    assert path in answer.replaces
    assert answer.detailedDiff[path].kind in REPLACE
    assert answer.deleteBeforeReplace


def test_a_made_up_name_lets_the_new_one_come_first(plugin: Plugin) -> None:
    inputs, _ = plugin.check("containerregistry:Registry", IN_GROUP | {"sku": {"name": "Basic"}})
    answer = plugin.diff("containerregistry:Registry", inputs, inputs | {"location": "uksouth"})
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["location"], False)


def test_what_changes_in_place_is_updated_path_by_path(plugin: Plugin) -> None:
    before = INPUTS["network:NetworkSecurityGroup"]
    rule = before["securityRules"][0]
    after = before | {"securityRules": [rule | {"priority": 200}, rule | {"name": "more"}], "tags": {"a": "b"}}
    answer = plugin.diff("network:NetworkSecurityGroup", before, after)
    kinds = {path: one.kind for path, one in answer.detailedDiff.items()}
    assert kinds == {
        "securityRules[0].priority": provider_pb2.PropertyDiff.UPDATE,
        "securityRules[1]": provider_pb2.PropertyDiff.ADD,
        "tags": provider_pb2.PropertyDiff.ADD,
    }
    assert list(answer.replaces) == []


def test_a_location_in_words_is_the_same_location(plugin: Plugin) -> None:
    before = INPUTS["containerregistry:Registry"] | {"location": "westeurope"}
    answer = plugin.diff("containerregistry:Registry", before, before | {"location": "West Europe"})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


# --- refresh and import ---


def test_a_refresh_brings_what_changed_in_azure_into_the_inputs_and_nothing_else(plugin: Plugin) -> None:
    resource, state, inputs = plugin.make()["containerservice:AgentPool"]
    body = plugin.azure.get(resource)
    plugin.azure.put(resource, {"properties": body["properties"] | {"count": 4}})
    found = plugin.read("containerservice:AgentPool", resource, state, inputs)
    assert from_struct(found.inputs) == inputs | {"count": 4}


def test_a_refresh_does_not_take_subnets_of_their_own_for_drift(plugin: Plugin) -> None:
    resource, state, inputs = plugin.make()["network:VirtualNetwork"]
    found = plugin.read("network:VirtualNetwork", resource, state, inputs)
    assert from_struct(found.inputs) == inputs


@EVERY_TYPE
def test_an_import_finds_inputs_that_change_nothing(plugin: Plugin, token: str) -> None:
    resource, _, _ = plugin.make()[token]
    found = plugin.read(token, resource)
    checked, failures = plugin.check(token, from_struct(found.inputs))
    assert failures == {}
    assert set(INPUTS[token]) - {"properties"} <= set(checked)


def test_an_id_of_another_type_cannot_be_imported(plugin: Plugin) -> None:
    plugin.make()
    with pytest.raises(grpc.RpcError) as error:
        plugin.read("keyvault:Vault", REGISTRY)
    assert "is not the id of a azure-native:keyvault:Vault" in message(error)


# --- secrets ---


def test_a_planted_value_is_only_ever_behind_a_secret_mark(plugin: Plugin) -> None:
    plugin.make(until="keyvault:Secret")
    resource, state, inputs = plugin.create("keyvault:Secret")
    read = plugin.read("keyvault:Secret", resource, state, inputs)
    for found in (state, inputs, from_struct(read.properties), from_struct(read.inputs)):
        assert VALUE not in str(list(walk(found)))
    assert from_struct(read.inputs)["properties"]["value"] == Secret(VALUE)


def test_what_a_program_calls_secret_stays_secret_in_the_outputs(plugin: Plugin) -> None:
    plugin.make(until="containerregistry:Registry")
    inputs = INPUTS["containerregistry:Registry"] | {"tags": Secret({"owner": "me"})}
    _, state, _ = plugin.create("containerregistry:Registry", inputs)
    assert state["tags"] == Secret({"owner": "me"})


# --- functions ---


def test_the_client_configuration_names_the_subscription_and_the_tenant(plugin: Plugin) -> None:
    found = plugin.invoke("azure-native:authorization:getClientConfig", {})
    assert (found["subscriptionId"], found["tenantId"]) == (SUBSCRIPTION_ID, TENANT_ID)


def test_user_credentials_are_secret_and_whole(plugin: Plugin) -> None:
    plugin.make()
    arguments = {"resourceGroupName": "slm-dev", "resourceName": "slm"}
    found = plugin.invoke("azure-native:containerservice:listManagedClusterUserCredentials", arguments)
    credentials = found["kubeconfigs"]
    assert isinstance(credentials, Secret)
    assert b"kind: Config" in base64.b64decode(credentials.value[0]["value"])


def test_a_function_that_is_not_here_is_one_sentence(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as error:
        plugin.invoke("azure-native:authorization:getClientToken", {})
    assert "has no function" in message(error)


# --- trouble ---


def fault(plugin: Plugin, **asked: Any) -> None:
    assert plugin.azure.call("POST", "/_faults", asked).status == 200


def test_throttling_is_waited_for(plugin: Plugin) -> None:
    fault(plugin, fault="throttle", requests=3, retry_after_seconds=0)
    plugin.create("resources:ResourceGroup")
    assert plugin.azure.get(GROUP)["location"] == LOCATION


def test_throttling_without_end_is_an_error_after_a_bounded_number_of_requests(plugin: Plugin) -> None:
    fault(plugin, fault="throttle", requests=1000, retry_after_seconds=0)
    with pytest.raises(grpc.RpcError) as error:
        plugin.create("resources:ResourceGroup")
    assert "SubscriptionRequestsThrottled" in message(error)
    assert len(plugin.requests) < 20


def test_an_answer_that_is_lost_does_not_lose_the_resource(plugin: Plugin) -> None:
    fault(plugin, fault="late-success", type="Microsoft.Resources/resourceGroups")
    resource, _, _ = plugin.create("resources:ResourceGroup")
    assert plugin.azure.get(resource)["location"] == LOCATION


def test_siblings_that_are_written_at_the_same_time_are_waited_for(plugin: Plugin) -> None:
    plugin.make(until="network:Subnet")
    plugin.azure.world.settings = replace(plugin.azure.world.settings, delay_factor=1.0)
    subnets = [
        INPUTS["network:Subnet"] | {"subnetName": f"subnet{number}", "addressPrefix": f"10.1.{number}.0/24"}
        for number in range(3)
    ]
    with ThreadPoolExecutor(3) as threads:
        made = [resource for resource, *_ in threads.map(plugin.create, ["network:Subnet"] * 3, subnets)]
    assert [plugin.azure.get(resource)["properties"]["provisioningState"] for resource in made] == ["Succeeded"] * 3


def test_a_cancelled_operation_is_kept_as_unfinished(plugin: Plugin) -> None:
    plugin.make(until="containerregistry:Registry")
    plugin.azure.world.settings = replace(plugin.azure.world.settings, delay_factor=1000.0)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(plugin.create, "containerregistry:Registry")
        while ("PUT", REGISTRY) not in plugin.requests:
            time.sleep(0.01)
        plugin.stub.Cancel(empty_pb2.Empty())
        error = waiting.exception()
    assert isinstance(error, grpc.RpcError)
    assert "Canceled" in str(cast(grpc.Call, error).details())
    assert plugin.azure.get(REGISTRY)["properties"]["provisioningState"] == "Creating"


def test_a_secret_is_deleted_through_its_vault(plugin: Plugin) -> None:
    made = plugin.make(until="managedidentity:UserAssignedIdentity")
    plugin.delete("keyvault:Secret", made["keyvault:Secret"][0])
    assert ("DELETE", "/secrets/api-keys-default") in plugin.requests
    assert plugin.azure.refused("GET", f"{VAULT}/secrets/api-keys-default")[0] == 404


def test_the_group_of_a_made_up_name_is_in_the_subscription(plugin: Plugin) -> None:
    resource, state, _ = plugin.create("resources:ResourceGroup", {})
    assert resource == f"{SUBSCRIPTION}/resourceGroups/{state['name']}"
