"""What the emulator does beyond one resource's body: references, long operations, restarts, faults, names."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.azure import DEPLOYER_OBJECT_ID
from rehearsal.azure.emulator.registry import LocalRegistry
from rehearsal.azure.emulator.world import Settings
from tests.azure.emulator_process import EmulatorProcess
from tests.azure.support import (
    CASES,
    CLUSTER,
    GROUP,
    IDENTITY,
    NSG,
    POOL,
    REGISTRY,
    ROLE_DEFINITIONS,
    SECRETS_USER,
    SUBSCRIPTION,
    SYSTEM_POOL,
    VALUE,
    VAULT,
    VNET,
    Azure,
    Body,
    assignment,
    changed,
    version_of,
)

BODIES = {case.id: case.body for case in CASES}
TASK_RUN = f"{REGISTRY}/taskRuns/slm-onnx"


def pool(**changes: Any) -> Body:
    return {"properties": POOL | changes}


# --- who may ask, and what is there ---


def test_arm_answers_nobody_without_the_token(full: Azure) -> None:
    for headers in ({}, {"authorization": "Bearer another"}):
        assert full.call("GET", GROUP, headers=headers).status == 401


def test_a_request_without_an_api_version_is_refused(full: Azure) -> None:
    assert full.refused("GET", GROUP, query={}) == (400, "MissingApiVersionParameter")


def test_another_subscription_is_not_found(azure: Azure) -> None:
    path = "/subscriptions/11111111-0000-0000-0000-000000000000/resourceGroups/slm"
    assert azure.refused("PUT", path, {"location": "westeurope"}) == (404, "SubscriptionNotFound")


def test_a_child_without_its_parent_says_which_is_missing(azure: Azure) -> None:
    azure.put(GROUP, BODIES[GROUP])
    assert azure.refused("PUT", f"{CLUSTER}/agentPools/cpu", pool(vnetSubnetID=None)) == (404, "ParentResourceNotFound")


def test_a_missing_resource_and_a_missing_group_are_told_apart(azure: Azure) -> None:
    assert azure.refused("GET", VNET) == (404, "ResourceGroupNotFound")
    azure.put(GROUP, BODIES[GROUP])
    assert azure.refused("GET", VNET) == (404, "ResourceNotFound")
    assert azure.call("DELETE", VNET).status == 204


def test_ids_are_the_same_in_any_case(full: Azure) -> None:
    assert full.get(CLUSTER.lower())["id"] == CLUSTER


def test_a_reference_to_what_is_not_there_is_refused(full: Azure) -> None:
    elsewhere = f"{VNET}/subnets/elsewhere"
    status = full.refused("PUT", f"{CLUSTER}/agentPools/more", pool(vnetSubnetID=elsewhere))
    assert status == (400, "InvalidResourceReference")


def test_tags_are_patched_without_the_rest(full: Azure) -> None:
    assert full.call("PATCH", REGISTRY, {"tags": {"team": "slm"}}).status == 200
    found = full.get(REGISTRY)
    assert found["tags"] == {"team": "slm"}
    assert found["properties"]["adminUserEnabled"] is False


# --- what is in use ---


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{VNET}/subnets/nodes", "InUseSubnetCannotBeDeleted"),
        (VNET, "InUseSubnetCannotBeDeleted"),
        (NSG, "InUseNetworkSecurityGroupCannotBeDeleted"),
    ],
)
def test_what_is_in_use_cannot_be_deleted(full: Azure, path: str, code: str) -> None:
    assert full.refused("DELETE", path) == (400, code)
    full.get(path)


def test_deleting_a_group_deletes_everything_in_it(full: Azure) -> None:
    full.let_read_secrets()
    full.delete(GROUP)
    assert full.world.state.resources == {}


def test_a_deleted_cluster_takes_its_pools_and_its_own_group_along(full: Azure) -> None:
    node_group = full.get(CLUSTER)["properties"]["nodeResourceGroup"]
    full.get(f"{SUBSCRIPTION}/resourceGroups/{node_group}")
    full.delete(CLUSTER)
    assert full.refused("GET", f"{CLUSTER}/agentPools/cpu")[0] == 404
    assert full.refused("GET", f"{SUBSCRIPTION}/resourceGroups/{node_group}") == (404, "ResourceGroupNotFound")


# --- networks ---


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.9.0.0/24", "NetcfgSubnetRangeOutsideVnet"),
        ("10.1.8.0/24", "NetcfgSubnetRangesOverlap"),
        ("10.1.100.1/24", "InvalidAddressPrefixFormat"),
    ],
)
def test_a_subnet_has_a_place_of_its_own_in_its_network(full: Azure, prefix: str, code: str) -> None:
    body = {"properties": {"addressPrefix": prefix}}
    assert full.refused("PUT", f"{VNET}/subnets/more", body) == (400, code)


def test_a_network_without_its_subnets_in_the_body_keeps_them(full: Azure) -> None:
    full.put(VNET, BODIES[VNET])
    assert [one["name"] for one in full.get(VNET)["properties"]["subnets"]] == ["nodes"]


def test_a_network_with_a_list_of_subnets_has_these_and_no_other(full: Azure) -> None:
    full.delete(f"{CLUSTER}/agentPools/cpu")
    subnets = [{"name": "pods", "properties": {"addressPrefix": "10.1.64.0/20"}}]
    full.put(VNET, changed(BODIES[VNET], "properties.subnets", subnets))
    assert full.get(f"{VNET}/subnets/pods")["properties"]["addressPrefix"] == "10.1.64.0/20"
    assert full.refused("GET", f"{VNET}/subnets/nodes")[0] == 404


def test_two_rules_cannot_have_one_priority(full: Azure) -> None:
    (rule,) = BODIES[NSG]["properties"]["securityRules"]
    rules = [rule, rule | {"name": "again"}]
    body = changed(BODIES[NSG], "properties.securityRules", rules)
    assert full.refused("PUT", NSG, body) == (400, "SecurityRuleConflict")


# --- names that all of Azure shares ---


@pytest.mark.parametrize(("path", "code"), [(REGISTRY, "AlreadyInUse"), (VAULT, "VaultAlreadyExists")])
def test_a_name_that_all_of_azure_shares_is_taken_in_other_groups_too(full: Azure, path: str, code: str) -> None:
    other = GROUP + "-2"
    full.put(other, BODIES[GROUP])
    assert full.refused("PUT", path.replace(GROUP, other), BODIES[path]) == (409, code)


def test_a_deleted_vaults_name_stays_taken_until_it_is_recovered_or_purged(full: Azure) -> None:
    full.delete(VAULT)
    assert full.refused("PUT", VAULT, BODIES[VAULT]) == (409, "ConflictError")
    full.put(VAULT, changed(BODIES[VAULT], "properties.createMode", "recover"))
    full.delete(VAULT)
    location = f"{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/slm-dev/purge"
    assert full.call("POST", location).status == 200
    full.put(VAULT, BODIES[VAULT])


def test_a_vault_with_purge_protection_cannot_be_purged(full: Azure) -> None:
    full.put(VAULT, changed(BODIES[VAULT], "properties.enablePurgeProtection", True))
    full.delete(VAULT)
    location = f"{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/slm-dev/purge"
    assert full.refused("POST", location)[0] == 409


# --- identities and rights ---


def test_a_right_needs_a_principal_that_is_there(full: Azure) -> None:
    path, body = assignment(VAULT, "11111111-2222-3333-4444-555555555555")
    assert full.refused("PUT", path, body) == (400, "PrincipalNotFound")


def test_a_new_identity_is_not_found_without_its_type_being_said(full: Azure) -> None:
    full.world.settings = replace(full.world.settings, directory_lag_seconds=60)
    path, body = assignment(VAULT, full.principal_id())
    del body["properties"]["principalType"]
    assert full.refused("PUT", path, body) == (400, "PrincipalNotFound")


def test_a_right_needs_a_role_and_a_scope_that_are_there(full: Azure) -> None:
    path, body = assignment(VAULT, full.principal_id(), f"{ROLE_DEFINITIONS}/{DEPLOYER_OBJECT_ID}")
    assert full.refused("PUT", path, body) == (404, "RoleDefinitionDoesNotExist")
    path, body = assignment(f"{GROUP}/providers/Microsoft.KeyVault/vaults/other", full.principal_id())
    assert full.refused("PUT", path, body) == (404, "ResourceNotFound")


def test_the_same_right_is_given_once_and_never_changed(full: Azure) -> None:
    first = full.let_read_secrets()
    path, body = assignment(VAULT, full.principal_id())
    assert full.refused("PUT", path, body) == (409, "RoleAssignmentExists")
    other = changed(body, "properties.roleDefinitionId", f"{ROLE_DEFINITIONS}/7f951dda-4ed3-4680-a7ca-43fe172d538d")
    assert full.refused("PUT", first, other) == (400, "RoleAssignmentUpdateNotPermitted")
    assert full.call("PUT", first, body).status == 200
    assert full.get(first)["properties"]["roleDefinitionId"] == SECRETS_USER


def test_federated_credentials_of_one_identity_are_written_one_after_the_other(full: Azure) -> None:
    full.world.settings = replace(full.world.settings, delay_factor=2.0)
    paths = [f"{IDENTITY}/federatedIdentityCredentials/credential-{number}" for number in range(3)]
    bodies = [
        changed(BODIES[f"{IDENTITY}/federatedIdentityCredentials/gateway"], "properties.subject", f"subject-{number}")
        for number in range(3)
    ]
    statuses: list[int] = []

    def put(path: str, body: Body) -> None:
        statuses.append(full.call("PUT", path, body).status)

    threads = [threading.Thread(target=put, args=pair) for pair in zip(paths, bodies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409]


# --- clusters and pools ---


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("identity", None),
        ("properties.oidcIssuerProfile", {"enabled": False}),
        ("properties.agentPoolProfiles", [SYSTEM_POOL | {"mode": "User"}]),
        ("properties.disableLocalAccounts", True),
        ("properties.networkProfile", {"networkPlugin": "azure", "networkPolicy": "cilium"}),
        ("properties.supportPlan", "AKSLongTermSupport"),
        ("properties.kubernetesVersion", "latest"),
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused(azure: Azure, path: str, value: Any) -> None:
    azure.make(until="containerservice:ManagedCluster")
    assert azure.refused("PUT", CLUSTER, changed(BODIES[CLUSTER], path, value)) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("thirteenchars", {}),
        ("Upper", {}),
        ("with-dash", {}),
        ("spot", {"scaleSetPriority": "Spot", "mode": "System"}),
        ("price", {"spotMaxPrice": 0.5}),
        ("auto", {"enableAutoScaling": True}),
        ("auto", {"enableAutoScaling": True, "minCount": 3, "maxCount": 1}),
        ("auto", {"minCount": 1, "maxCount": 3}),
        ("system2", {"mode": "System", "count": 0}),
        ("gpu", {"gpuInstanceProfile": "MIG1g"}),
        ("taint", {"nodeTaints": ["sku=gpu"]}),
        ("label", {"nodeLabels": {"kubernetes.azure.com/mine": "1"}}),
    ],
)
def test_a_pool_against_the_rules_of_aks_is_refused(full: Azure, name: str, changes: Body) -> None:
    assert full.refused("PUT", f"{CLUSTER}/agentPools/{name}", pool(**changes)) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "changes",
    [
        {"vmSize": "Standard_D8s_v5"},
        {"osDiskSizeGB": 64},
        {"availabilityZones": ["1"]},
        {"gpuProfile": {"driver": "None"}},
        {"scaleSetPriority": "Spot"},
    ],
)
def test_what_a_pool_was_made_with_stays(full: Azure, changes: Body) -> None:
    assert full.refused("PUT", f"{CLUSTER}/agentPools/cpu", pool(**changes)) == (400, "PropertyChangeNotAllowed")


def test_a_pools_size_labels_and_taints_change_in_place(full: Azure) -> None:
    changes: Body = {"count": 3, "nodeLabels": {"slm/pool": "cpu"}, "nodeTaints": ["a=b:NoSchedule"]}
    found = full.put(f"{CLUSTER}/agentPools/cpu", pool(**changes))["properties"]
    assert {key: found[key] for key in changes} == changes


def test_an_existing_cluster_takes_no_new_pool_in_its_body(full: Azure) -> None:
    pools = [SYSTEM_POOL, SYSTEM_POOL | {"name": "more"}]
    body = changed(BODIES[CLUSTER], "properties.agentPoolProfiles", pools)
    assert full.refused("PUT", CLUSTER, body) == (400, "BadRequest")


def test_a_spot_pool_gets_the_label_and_the_taint_of_aks(full: Azure) -> None:
    found = full.put(f"{CLUSTER}/agentPools/spot", pool(scaleSetPriority="Spot"))["properties"]
    assert found["nodeLabels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert found["nodeTaints"] == ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]


def test_the_last_system_pool_stays(full: Azure) -> None:
    assert full.refused("DELETE", f"{CLUSTER}/agentPools/system") == (400, "OperationNotAllowed")


def test_a_cluster_lists_the_pools_that_were_made_on_their_own(full: Azure) -> None:
    profiles = full.get(CLUSTER)["properties"]["agentPoolProfiles"]
    assert [one["name"] for one in profiles] == ["system", "cpu"]
    full.put(CLUSTER, BODIES[CLUSTER])
    assert len(full.get(CLUSTER)["properties"]["agentPoolProfiles"]) == 2


def test_a_cluster_has_what_the_rest_of_the_stack_builds_on(full: Azure) -> None:
    properties = full.get(CLUSTER)["properties"]
    assert properties["oidcIssuerProfile"]["issuerURL"] == Settings.issuer
    addon = properties["addonProfiles"]["azureKeyvaultSecretsProvider"]["identity"]
    path, body = assignment(VAULT, addon["objectId"])
    full.put(path, body)
    assert properties["identityProfile"]["kubeletidentity"]["objectId"] != addon["objectId"]


def test_user_credentials_are_the_kubeconfig_that_was_given(full: Azure) -> None:
    answer = full.call("POST", f"{CLUSTER}/listClusterUserCredential", version=version_of(CLUSTER))
    (credential,) = answer.body["kubeconfigs"]
    assert credential["name"] == "clusterUser"


# --- task runs ---


def test_a_run_without_a_registry_succeeds_and_says_so(full: Azure) -> None:
    result = full.get(TASK_RUN)["properties"]["runResult"]
    assert result["properties"]["status"] == "Succeeded"
    link = full.call("POST", f"{result['id']}/listLogSasUrl").body["logLink"]
    assert "no local registry" in full.call("GET", httpx.URL(link).path).body


def test_a_run_runs_again_only_if_it_is_told_to(full: Azure) -> None:
    before = full.get(TASK_RUN)["properties"]["runResult"]
    assert full.put(TASK_RUN, BODIES[TASK_RUN])["properties"]["runResult"] == before
    again = full.put(TASK_RUN, changed(BODIES[TASK_RUN], "properties.forceUpdateTag", "2"))
    assert again["properties"]["runResult"]["name"] != before["name"]


def test_a_run_fails_if_the_registry_does_not_have_the_image(azure: Azure) -> None:
    azure.world.settings = replace(azure.world.settings, registry=LocalRegistry("http://127.0.0.1:9"))
    azure.make(until="containerregistry:TaskRun")
    answer = azure.call("PUT", TASK_RUN, BODIES[TASK_RUN])
    with pytest.raises(AssertionError, match="TaskRunFailed"):
        azure.wait(answer)
    found = azure.get(TASK_RUN)["properties"]
    assert (found["provisioningState"], found["runResult"]["properties"]["status"]) == ("Failed", "Failed")


# --- long-running operations, and the process that they outlive ---


def test_a_long_operation_is_answered_at_once_and_ends_later(azure: Azure) -> None:
    azure.make(until="containerservice:ManagedCluster")
    azure.world.settings = replace(azure.world.settings, delay_factor=0.2)
    answer = azure.call("PUT", CLUSTER, BODIES[CLUSTER])
    assert (answer.status, answer.body["properties"]["provisioningState"]) == (201, "Creating")
    assert azure.refused("PUT", CLUSTER, BODIES[CLUSTER]) == (409, "OperationNotAllowed")
    assert azure.refused("PUT", f"{CLUSTER}/agentPools/cpu", BODIES[f"{CLUSTER}/agentPools/cpu"])[0] == 409
    azure.wait(answer)
    assert azure.get(CLUSTER)["properties"]["provisioningState"] == "Succeeded"


def test_subnets_of_one_network_are_not_written_at_the_same_time(azure: Azure) -> None:
    azure.put(GROUP, BODIES[GROUP])
    azure.put(VNET, BODIES[VNET])
    azure.world.settings = replace(azure.world.settings, delay_factor=0.2)
    first = azure.call("PUT", f"{VNET}/subnets/one", {"properties": {"addressPrefix": "10.1.0.0/24"}})
    body = {"properties": {"addressPrefix": "10.1.1.0/24"}}
    assert azure.refused("PUT", f"{VNET}/subnets/two", body) == (409, "AnotherOperationInProgress")
    azure.wait(first)
    assert azure.call("PUT", f"{VNET}/subnets/two", body).status == 201


@pytest.fixture
def process(tmp_path: Path) -> Any:
    running = EmulatorProcess(tmp_path / "azure")
    yield running
    running.end()


def test_an_operation_ends_though_the_process_was_killed_in_the_middle_of_it(process: EmulatorProcess) -> None:
    process.request("PUT", GROUP, BODIES[GROUP])
    answer = process.request("PUT", REGISTRY, BODIES[REGISTRY])
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (201, "Creating")
    operation = httpx.URL(answer.headers["Azure-AsyncOperation"]).raw_path.decode()
    process.end(signal.SIGKILL)
    process.start()
    while (status := process.client.get(operation).json()["status"]) == "InProgress":
        time.sleep(0.05)
    assert status == "Succeeded"
    found = process.request("GET", REGISTRY).json()
    assert found["properties"]["provisioningState"] == "Succeeded"
    assert found["properties"]["loginServer"] == "slmdev.azurecr.io"


def test_the_socket_answers_as_the_port_does_but_takes_no_faults(process: EmulatorProcess) -> None:
    process.request("PUT", GROUP, BODIES[GROUP])
    transport = httpx.HTTPTransport(uds=str(process.socket))
    with httpx.Client(transport=transport, base_url="http://management.azure.com", headers=process.headers) as client:
        assert client.get(GROUP, params={"api-version": version_of(GROUP)}).status_code == 200
        assert client.post("/_faults", json={"fault": "slow"}).status_code == 403


def test_the_state_is_its_owners_alone(process: EmulatorProcess) -> None:
    process.request("PUT", GROUP, BODIES[GROUP])
    for name in ("state.json", "token", "endpoint", "arm.sock"):
        assert os.stat(process.folder / name).st_mode & 0o077 == 0, name


def test_no_value_is_in_what_the_process_prints(process: EmulatorProcess) -> None:
    for case in CASES:
        process.request("PUT", case.id, case.body)
    printed = process.log.read_text()
    assert "PUT" in printed
    assert VALUE not in printed


def test_a_taken_port_is_one_sentence(process: EmulatorProcess, tmp_path: Path) -> None:
    port = str(httpx.URL((process.folder / "endpoint").read_text()).port)
    argv = [sys.executable, "-m", "rehearsal.azure.emulator", "--state", str(tmp_path / "other"), "--port", port]
    found = subprocess.run([*argv, "--token-file", str(tmp_path / "token")], capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.startswith(f"Error: Port {port} of 127.0.0.1 is taken")
    assert "Traceback" not in found.stderr


def test_a_state_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    argv = [sys.executable, "-m", "rehearsal.azure.emulator", "--state", str(tmp_path)]
    found = subprocess.run([*argv, "--token-file", str(tmp_path / "token")], capture_output=True, text=True)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert "cannot read its state" in found.stderr


# --- faults ---


def ask(azure: Azure, **fault: Any) -> None:
    assert azure.call("POST", "/_faults", fault).status == 200


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "quota", "vm_size": "Standard_NC*"}, "ErrCode_InsufficientVCPUQuota"),
        ({"fault": "sku", "vm_size": "Standard_NC4as_T4_v3"}, "BadRequest"),
    ],
)
def test_a_size_that_is_not_to_be_had_is_refused_and_others_are_not(full: Azure, fault: Body, code: str) -> None:
    ask(full, **fault)
    assert full.refused("PUT", f"{CLUSTER}/agentPools/gpu", pool(vmSize="Standard_NC4as_T4_v3")) == (400, code)
    full.put(f"{CLUSTER}/agentPools/more", pool())


def test_throttling_ends_after_as_many_requests_as_asked_for(full: Azure) -> None:
    ask(full, fault="throttle", requests=2, retry_after_seconds=3)
    answers = [full.call("GET", GROUP) for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"


def test_a_late_success_answers_an_error_for_what_is_done(full: Azure) -> None:
    ask(full, fault="late-success", type="Microsoft.ManagedIdentity/userAssignedIdentities")
    assert full.refused("PUT", IDENTITY + "-2", BODIES[IDENTITY]) == (504, "GatewayTimeout")
    full.get(IDENTITY + "-2")


def test_faults_are_forgotten_on_request_and_unknown_ones_refused(full: Azure) -> None:
    ask(full, fault="sku", vm_size="*")
    assert full.call("DELETE", "/_faults").body == {"value": []}
    assert full.refused("POST", "/_faults", {"fault": "earthquake"})[0] == 400
    assert full.refused("POST", "/_faults", {"fault": "sku"})[0] == 400
