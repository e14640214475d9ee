"""What the dev stack asks for, whole: secure where it matters, and nothing that would fail in the cloud."""

import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from tests.unit.mocks import PLANTED_KEY, PLANTED_KUBECONFIG, Recorder, deployed, inputs_of, plain, settings_of

SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"
"""How the engine marks a secret value on the wire (pulumi/sdk resource.SecretSig)."""


@pytest.fixture(scope="module")
def dev() -> Recorder:
    return deployed()


def containers(recorder: Recorder) -> Iterator[dict[str, Any]]:
    for pod in recorder.pods():
        yield from pod["containers"]


def test_nobody_enters_the_cluster_with_a_local_account(dev: Recorder) -> None:
    (cluster,) = dev.of(":ManagedCluster")
    assert cluster["disableLocalAccounts"] is True
    assert cluster["aadProfile"]["enableAzureRBAC"] is True


def test_pods_get_identities_and_secrets_from_azure(dev: Recorder) -> None:
    (cluster,) = dev.of(":ManagedCluster")
    assert cluster["oidcIssuerProfile"]["enabled"] is True
    assert cluster["securityProfile"]["workloadIdentity"]["enabled"] is True
    assert cluster["addonProfiles"]["azureKeyvaultSecretsProvider"]["config"]["enableSecretRotation"] == "true"
    assert cluster["workloadAutoScalerProfile"]["keda"]["enabled"] is True


def test_the_network_is_an_overlay_with_cilium(dev: Recorder) -> None:
    (cluster,) = dev.of(":ManagedCluster")
    profile = cluster["networkProfile"]
    assert (profile["networkPluginMode"], profile["networkDataplane"]) == ("overlay", "cilium")


def test_the_registry_has_no_password_and_no_anonymous_pull(dev: Recorder) -> None:
    (registry,) = dev.of("containerregistry:Registry")
    assert (registry["adminUserEnabled"], registry["anonymousPullEnabled"]) == (False, False)


def test_the_vault_answers_to_roles_and_cannot_be_purged(dev: Recorder) -> None:
    (vault,) = dev.of("keyvault:Vault")
    properties = vault["properties"]
    assert (properties["enableRbacAuthorization"], properties["enablePurgeProtection"]) == (True, True)


def test_no_identity_is_an_owner_or_contributor(dev: Recorder) -> None:
    broad = ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "b24988ac-6180-42a0-ab88-20f7382dd24c")
    roles = [right["roleDefinitionId"] for right in dev.of(":RoleAssignment")]
    assert roles
    assert not [role for role in roles if role.endswith(broad)]


def test_only_the_gateways_account_acts_as_its_identity(dev: Recorder) -> None:
    (credential,) = dev.of(":FederatedIdentityCredential")
    assert credential["subject"] == "system:serviceaccount:slm:gateway"
    assert credential["audiences"] == ["api://AzureADTokenExchange"]


def test_a_key_is_a_secret_wherever_it_goes(dev: Recorder) -> None:
    carriers = [resource for resource in dev.resources if PLANTED_KEY in json.dumps(inputs_of(resource))]
    assert [resource.typ for resource in carriers] == ["azure-native:keyvault:Secret"]
    marked = json.dumps(inputs_of(carriers[0])["properties"])
    assert SECRET_MARK in marked


def test_the_kubeconfig_is_a_secret(dev: Recorder) -> None:
    (carrier,) = [resource for resource in dev.resources if PLANTED_KUBECONFIG in json.dumps(inputs_of(resource))]
    assert carrier.typ == "pulumi:providers:kubernetes"
    assert SECRET_MARK in json.dumps(inputs_of(carrier))


def test_an_autoscaled_pools_bounds_are_kept(dev: Recorder) -> None:
    (pool,) = dev.of(":AgentPool")
    assert pool["enableAutoScaling"] is True
    assert pool["minCount"] <= pool["count"] <= pool["maxCount"]
    assert pool["nodeLabels"] == {"slm/pool": "cpu"}


def test_another_vm_size_is_another_pool_and_another_bound_is_not() -> None:
    def pool_of(**changes: Any) -> dict[str, Any]:
        settings = settings_of("dev")
        settings["cluster"]["pools"]["cpu"] |= changes
        return deployed(settings).of(":AgentPool")[0]

    before, bigger, more = pool_of(), pool_of(vm_size="Standard_D8s_v5"), pool_of(max_count=3)
    assert bigger["agentPoolName"] != before["agentPoolName"] == more["agentPoolName"]
    assert len(bigger["agentPoolName"]) <= 12


def test_every_pod_is_restricted(dev: Recorder) -> None:
    for pod in dev.pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
    for container in containers(dev):
        security = container["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        assert security["capabilities"]["drop"] == ["ALL"]


def test_every_container_has_requests_and_limits(dev: Recorder) -> None:
    for container in containers(dev):
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}


def test_no_image_is_from_anywhere_else_or_called_latest(dev: Recorder) -> None:
    for container in containers(dev):
        name, _, tag = container["image"].rpartition(":")
        assert name.startswith("slm.azurecr.io/")
        assert tag not in ("", "latest")


def test_a_pod_has_time_to_drain(dev: Recorder) -> None:
    for deployment in dev.of(":Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        drain = int(environment.get("SHUTDOWN_SECONDS", "60"))
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] > sleep + drain


def test_nothing_may_talk_unless_it_was_opened(dev: Recorder) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in dev.of(":NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (source,) = policies["onnx"]["ingress"][0]["from"]
    assert source["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "gateway"
    assert policies["onnx"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policies["onnx"]


def dropped(value: Any, path: str = "") -> Iterator[str]:
    """Where a manifest says what Kubernetes' API server leaves out when it stores the object."""
    if value is False and path.rpartition(".")[2] == "readOnly":
        yield path
    if value == [] and path.rpartition(".")[2] in ("ingress", "egress"):
        yield path
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        yield from dropped(entry, f"{path}.{key}")


def test_no_manifest_asks_for_what_the_api_server_would_drop(dev: Recorder) -> None:
    # Or every `pulumi up` would find a difference and mend it again.
    found = [where for resource in dev.resources for where in dropped(plain(inputs_of(resource)), resource.name)]
    assert not found


def test_the_gateway_alone_is_public(dev: Recorder) -> None:
    public = [service for service in dev.of(":Service") if service["spec"].get("type") == "LoadBalancer"]
    assert [service["metadata"]["name"] for service in public] == ["gateway"]


def test_weights_are_read_only_to_the_server(dev: Recorder) -> None:
    (server,) = [d for d in dev.of(":Deployment") if d["metadata"]["name"] == "onnx"]
    (mount,) = [m for m in server["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] if m["name"] == "models"]
    assert mount["readOnly"] is True


def test_the_job_fills_the_folder_that_the_server_reads(dev: Recorder) -> None:
    (job,) = dev.of(":Job")
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    (server,) = [d for d in dev.of(":Deployment") if d["metadata"]["name"] == "onnx"]
    environment = server["spec"]["template"]["spec"]["containers"][0]["env"]
    path = next(entry["value"] for entry in environment if entry["name"] == "MODEL_PATH")
    assert f"--destination={path}" in command


@pytest.mark.parametrize("api_keys", ["", "null", "[]", "{}", '{"default": ""}', "sk-plain"])
def test_without_a_named_key_there_is_a_sentence_that_says_how_to_set_one(api_keys: str) -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set --secret slm:apiKeys") as refusal:
        deployed(api_keys=api_keys)
    assert "sk-plain" not in str(refusal.value)


@pytest.mark.parametrize("stack", ["compare", "prod-cpu", "prod-gpu", "edge", "preview"])
def test_what_cannot_be_deployed_yet_is_said_before_anything_is_made(stack: str) -> None:
    with pytest.raises(pulumi.RunError, match="cannot be deployed by this version"):
        deployed(settings_of(stack))


@pytest.mark.parametrize("keys", [{"default": "short"}, {"default": "sk-wild-card-1*"}, {"De fault": "sk-0123456789"}])
def test_a_key_that_would_open_more_than_itself_is_refused_unseen(keys: dict[str, str]) -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set --secret slm:apiKeys") as refusal:
        deployed(api_keys=json.dumps(keys))
    assert not [key for key in keys.values() if key in str(refusal.value)]


def test_every_resource_but_the_stack_has_a_parent(dev: Recorder) -> None:
    orphans = [name for name, parent in dev.parents.items() if not parent or "pulumi:pulumi:Stack::" in parent]
    assert orphans == ["pulumi:pulumi:Stack::slm-dev", "slm:index:Stack::slm-dev"]


def test_the_stack_puts_out_where_it_is_and_no_secret(dev: Recorder) -> None:
    assert set(dev.outputs) == {
        "endpoint",
        "servers",
        "namespace",
        "registry",
        "images",
        "vault",
        "api_key_names",
        "resource_group",
        "cluster",
    }
    told = json.dumps(dev.outputs)
    assert PLANTED_KEY not in told
    assert PLANTED_KUBECONFIG not in told
    assert dev.outputs["servers"]["onnx"]["engine"] == "onnx"
    assert dev.outputs["endpoint"].endswith(".westeurope.cloudapp.azure.com")


def cores(text: str) -> float:
    return float(text.removesuffix("m")) / 1000


def gibibytes(text: str) -> float:
    return float(text.removesuffix("Mi")) / 1024


def test_no_request_is_above_its_limit(dev: Recorder) -> None:
    for container in containers(dev):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert cores(requests["cpu"]) <= cores(limits["cpu"])
        assert gibibytes(requests["memory"]) <= gibibytes(limits["memory"])


def test_all_of_dev_fits_on_a_node_of_two_cores(dev: Recorder) -> None:
    requests = [container["resources"]["requests"] for container in containers(dev)]
    assert sum(cores(request["cpu"]) for request in requests) <= 1.7
    assert sum(gibibytes(request["memory"]) for request in requests) <= 12


def test_a_rollout_of_dev_fits_on_a_node_of_two_cores(dev: Recorder) -> None:
    pods = [deployment["spec"]["template"]["spec"] for deployment in dev.of(":Deployment")]
    asked = sum(cores(container["resources"]["requests"]["cpu"]) for pod in pods for container in pod["containers"])
    assert 2 * asked < 2


def test_the_gateway_keeps_the_one_capability_that_its_binary_carries(dev: Recorder) -> None:
    (gateway,) = [d for d in dev.of(":Deployment") if d["metadata"]["name"] == "gateway"]
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}


def test_the_hubs_token_is_a_file_that_the_weights_job_alone_may_read() -> None:
    recorder = deployed(hub_token="hf_planted_5b1e")
    carriers = [found for found in recorder.resources if "hf_planted_5b1e" in json.dumps(inputs_of(found))]
    assert [found.typ for found in carriers] == ["azure-native:keyvault:Secret"]
    assert SECRET_MARK in json.dumps(inputs_of(carriers[0])["properties"])
    subjects = {found["subject"] for found in recorder.of(":FederatedIdentityCredential")}
    assert subjects == {"system:serviceaccount:slm:gateway", "system:serviceaccount:slm:weights"}
    scopes = [right["scope"] for right in recorder.of(":RoleAssignment")]
    assert "slm-dev-hf-token-id" in scopes
    (job,) = recorder.of(":Job")
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--token-file=/etc/slm/hf/hf-token" in command


def test_an_administrator_is_one_of_the_cluster_and_of_nothing_else() -> None:
    settings = settings_of("dev")
    someone = "11111111-2222-3333-4444-555555555555"
    settings["cluster"]["administrators"] = [someone]
    rights = [right for right in deployed(settings).of(":RoleAssignment") if right["principalId"] == someone]
    assert [right["scope"] for right in rights] == ["slm-dev-cluster-id"]
