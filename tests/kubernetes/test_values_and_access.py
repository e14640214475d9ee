"""Secrets and unknowns of properties, kubeconfigs, and the provider's own configuration."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import empty_pb2, json_format
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from rehearsal.errors import RehearsalError
from rehearsal.kubernetes.kubeconfig import access, parse, read
from rehearsal.kubernetes.lifecycle import Lifecycle, Options, RefusedError
from rehearsal.kubernetes.provider import EngineLog, Provider
from rehearsal.kubernetes.values import UNKNOWN, Secret, from_struct, has_unknown, mark_secrets, plain, to_struct
from tests.kubernetes.simulated import KUBECONFIG, Context, Json, SimulatedApi

CONTEXT: Any = Context()
URN = "urn:pulumi:dev::test::my:component:Thing$kubernetes:core/v1:ConfigMap::settings"


def struct(value: Json) -> Struct:
    return json_format.ParseDict(value, Struct())


def test_properties_come_back_as_they_went() -> None:
    properties = {"a": [1, 1.5, "x", None, True], "b": Secret({"c": [Secret("d")]}), "e": UNKNOWN}

    assert from_struct(to_struct(properties)) == properties


def test_whole_numbers_are_integers_for_the_server() -> None:
    assert json.dumps(from_struct(struct({"replicas": 2}))) == '{"replicas": 2}'


def test_a_secret_never_shows_in_a_text_form() -> None:
    assert "hunter2" not in repr({"a": Secret("hunter2")})
    assert plain({"a": Secret({"b": Secret("hunter2")})}) == {"a": {"b": "hunter2"}}


def test_an_unknown_is_found_wherever_it_is() -> None:
    assert has_unknown({"a": [{"b": Secret(UNKNOWN)}]})
    assert not has_unknown({"a": [{"b": Secret("known")}]})


def test_secrecy_follows_the_value_and_not_the_whole_object() -> None:
    outputs: Json = {"spec": {"a": "open", "b": "hidden", "list": [1]}}

    mark_secrets(outputs, {"spec": {"a": "open", "b": Secret("hidden"), "list": [Secret(1)]}})

    assert outputs == {"spec": {"a": "open", "b": Secret("hidden"), "list": Secret([1])}}


def test_a_kubeconfig_is_taken_as_content_or_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)

    assert read(KUBECONFIG) == read(str(tmp_path / "config"))
    assert access(read(KUBECONFIG)).server == "http://cluster.invalid"


def test_access_shows_no_token() -> None:
    found = access(parse(KUBECONFIG))

    assert found.token == "not-a-real-token"
    assert "not-a-real-token" not in repr(found)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"current-context": "other"}, "no context 'other'"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "kubelogin"}}}]}, "logs in by running a command"),
    ],
)
def test_an_unusable_kubeconfig_is_one_sentence_with_the_fix(edit: Json, says: str) -> None:
    with pytest.raises(RehearsalError, match=says):
        access({**parse(KUBECONFIG), **edit})


def test_a_broken_kubeconfig_is_not_quoted() -> None:
    with pytest.raises(RehearsalError) as failure:
        parse("token: {hunter2")

    assert "hunter2" not in str(failure.value)
    assert failure.value.__cause__ is None


def diff_config(old: Json, new: Json) -> Json:
    request = provider_pb2.DiffRequest(olds=struct(old), news=struct(new))
    return json_format.MessageToDict(Provider(EngineLog("")).DiffConfig(request, CONTEXT))


def with_cluster(server: str, user: str = "u") -> str:
    config = json.loads(KUBECONFIG)
    config["clusters"][0]["cluster"]["server"] = server
    config["users"][0]["user"]["token"] = user
    return json.dumps(config)


def test_the_recorded_configuration_is_unchanged() -> None:
    settings = {"enableServerSideApply": "true", "kubeconfig": "...", "version": "4.34.2"}

    assert diff_config(settings, settings) == {"changes": "DIFF_NONE"}


def test_a_new_token_changes_the_provider_and_another_cluster_replaces_it() -> None:
    before = {"kubeconfig": with_cluster("https://a")}

    token = diff_config(before, {"kubeconfig": with_cluster("https://a", "another")})
    server = diff_config(before, {"kubeconfig": with_cluster("https://b")})

    assert token == {"changes": "DIFF_SOME", "diffs": ["kubeconfig"]}
    assert server == {"changes": "DIFF_SOME", "diffs": ["kubeconfig"], "replaces": ["kubeconfig"]}


def test_a_cluster_with_an_identifier_is_the_same_as_long_as_that_is() -> None:
    before = {"clusterIdentifier": "one", "kubeconfig": with_cluster("https://a")}

    assert "replaces" not in diff_config(before, {**before, "kubeconfig": with_cluster("https://b")})
    assert diff_config(before, {**before, "clusterIdentifier": "two"})["replaces"] == ["clusterIdentifier"]


def test_the_provider_is_the_version_that_the_program_pins() -> None:
    info = Provider(EngineLog("")).GetPluginInfo(empty_pb2.Empty(), CONTEXT)

    assert info.version == "4.34.2"


def test_without_a_cluster_previews_work_from_inputs_and_updates_say_why_not() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    provider = Provider(EngineLog(""), httpx.MockTransport(refuse))
    variables = {"kubernetes:config:kubeconfig": KUBECONFIG}
    provider.Configure(provider_pb2.ConfigureRequest(variables=variables), CONTEXT)
    inputs = struct({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})

    preview = provider.Create(provider_pb2.CreateRequest(urn=URN, properties=inputs, preview=True), CONTEXT)

    assert preview.properties == inputs
    with pytest.raises(Exception, match=r"cluster is unreachable.*connection refused"):
        provider.Create(provider_pb2.CreateRequest(urn=URN, properties=inputs), CONTEXT)


def test_objects_without_a_namespace_get_the_providers_and_cluster_wide_ones_none() -> None:
    lifecycle = Lifecycle(None, Options(namespace="slm"))

    def checked(version: str, kind: str, token: str) -> Json:
        urn = f"urn:pulumi:dev::test::kubernetes:{token}::it"
        return lifecycle.check(urn, {}, {"apiVersion": version, "kind": kind}, seed=b"", proposed_name="")

    assert checked("v1", "ConfigMap", "core/v1:ConfigMap")["metadata"]["namespace"] == "slm"
    role = checked("rbac.authorization.k8s.io/v1", "ClusterRole", "rbac.authorization.k8s.io/v1:ClusterRole")
    assert "namespace" not in role["metadata"]


def test_a_name_is_made_from_the_engines_seed_or_proposal() -> None:
    lifecycle = Lifecycle(None, Options())
    new: Json = {"apiVersion": "v1", "kind": "ConfigMap"}

    def name(seed: bytes = b"", proposed: str = "") -> str:
        return str(lifecycle.check(URN, {}, new, seed=seed, proposed_name=proposed)["metadata"]["name"])

    assert name(b"seed") == name(b"seed")
    assert name(b"seed") != name(b"other")
    assert name().startswith("settings-")
    assert name(proposed="wanted") == "wanted"


def test_patch_resources_are_refused_with_the_fix() -> None:
    urn = "urn:pulumi:dev::test::kubernetes:core/v1:ConfigMapPatch::it"

    with pytest.raises(RefusedError, match="needs the real kubernetes provider on PATH"):
        Lifecycle(None, Options()).check(urn, {}, {"kind": "ConfigMap"}, seed=b"", proposed_name="")


def test_the_simulated_api_is_asked_with_the_token() -> None:
    api = SimulatedApi()
    provider = api.provider()
    provider.Delete(
        provider_pb2.DeleteRequest(
            id="b/a",
            urn=URN,
            properties=struct({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}),
        ),
        CONTEXT,
    )

    assert api.requests[0].headers["authorization"] == "Bearer not-a-real-token"
    assert api.requests[0].headers["user-agent"] == "pulumi-kubernetes/4.34.2"
