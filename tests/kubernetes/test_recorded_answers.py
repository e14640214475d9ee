"""The stand-in answers recorded requests as the real provider did."""

import copy
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from rehearsal.kubernetes.values import from_struct, plain
from tests.kubernetes.simulated import AbortedError, Context, Json, SimulatedApi, path_of

CALLS = [
    cast(Json, json.loads(line))
    for line in (Path(__file__).parent / "recordings" / "calls.jsonl").read_text().splitlines()
]
CONTEXT: Any = Context()


def recorded(method: str, about: str = "") -> list[Any]:
    found = [call for call in CALLS if call["method"] == method and str(call["about"]).startswith(about)]
    assert found
    return [pytest.param(call, id=f"{call['urn'].split('kubernetes:')[1]} {call['about']}") for call in found]


def struct(value: Json) -> Struct:
    return json_format.ParseDict(value, Struct())


def as_dict(message: Any) -> Json:
    return json_format.MessageToDict(message, preserving_proto_field_name=False)


def live_of(call: Json) -> Json:
    """The object that the cluster had when the answer was recorded."""
    properties = plain(from_struct(struct(call["response"]["properties"])))
    return {key: value for key, value in properties.items() if not key.startswith("__")}


def without_chance(value: Any) -> Any:
    """The same without the parts that are made up anew each time."""
    text = re.sub(r'"__fieldManager": "pulumi-kubernetes-[0-9a-f]{8}"', '"__fieldManager": ""', json.dumps(value))
    return json.loads(re.sub(r'("name": "[a-z-]+)-[0-9a-f]{8}"', r'\1-SUFFIX"', text))


def refusal(call: Json) -> tuple[int, Json]:
    """The API server's answer behind a recorded refusal."""
    message = call["error"].split("Kubernetes API server: ", 1)[1].split("\n\n", 1)[0]
    exists = message.endswith("already exists")
    return 409, {"code": 409, "reason": "AlreadyExists" if exists else "Invalid", "message": message}


@pytest.mark.parametrize("call", recorded("Check"))
def test_inputs_are_named_and_cleaned_as_recorded(call: Json) -> None:
    request = provider_pb2.CheckRequest(
        urn=call["urn"], olds=struct(call["request"]["olds"]), news=struct(call["request"]["news"])
    )

    answer = as_dict(SimulatedApi().provider().Check(request, CONTEXT))

    compare = without_chance if not call["request"]["olds"] else copy.deepcopy
    assert compare(answer) == compare(call["response"])


@pytest.mark.parametrize("call", recorded("Diff"))
def test_changes_and_replacements_are_as_recorded(call: Json) -> None:
    request = provider_pb2.DiffRequest(
        id=call["request"]["id"],
        urn=call["urn"],
        olds=struct(call["request"]["olds"]),
        news=struct(call["request"]["news"]),
    )

    assert as_dict(SimulatedApi().provider().Diff(request, CONTEXT)) == call["response"]


def create(api: SimulatedApi, call: Json) -> Json:
    request = provider_pb2.CreateRequest(
        urn=call["urn"],
        properties=struct(call["request"]["properties"]),
        preview=call["request"].get("preview", False),
    )
    return as_dict(api.provider().Create(request, CONTEXT))


@pytest.mark.parametrize("call", recorded("Create", "preview: the dry run"))
def test_a_preview_shows_what_the_servers_dry_run_says(call: Json) -> None:
    live = live_of(call)
    # The server always sends a status along; a program that reads it in a preview must not find it.
    api = SimulatedApi({("POST", path_of(live)): (201, {**live, "status": {}})})

    answer = create(api, call)

    assert without_chance(answer) == without_chance(call["response"])
    url, body = api.sent("POST")
    assert url.params["dryRun"] == "All"
    assert body == plain(from_struct(struct(call["request"]["properties"])))


@pytest.mark.parametrize("call", recorded("Create", "preview: namespace missing"))
def test_a_preview_in_a_namespace_to_come_shows_the_inputs(call: Json) -> None:
    missing = {"code": 404, "reason": "NotFound", "details": {"kind": "namespaces"}, "message": "not found"}
    api = SimulatedApi({("POST", path_of(call["request"]["properties"])): (404, missing)})

    assert create(api, call) == call["response"]


@pytest.mark.parametrize("call", recorded("Create", "preview: name taken"))
def test_a_preview_of_a_replacement_under_the_same_name_shows_the_inputs(call: Json) -> None:
    taken = {"code": 409, "reason": "AlreadyExists", "message": "already exists"}
    api = SimulatedApi({("POST", path_of(call["request"]["properties"])): (409, taken)})

    assert create(api, call) == call["response"]


@pytest.mark.parametrize("call", [*recorded("Create", "preview: refused"), *recorded("Create", "refused")])
def test_the_servers_refusal_is_told_with_what_can_be_done(call: Json) -> None:
    api = SimulatedApi({("POST", path_of(call["request"]["properties"])): refusal(call)})

    with pytest.raises(AbortedError) as failure:
        create(api, call)

    assert str(failure.value) == call["error"]


@pytest.mark.parametrize("call", recorded("Create", "created"))
def test_a_created_objects_state_is_as_recorded(call: Json) -> None:
    live = live_of(call)
    api = SimulatedApi({("POST", path_of(live)): (201, live)})
    api.answers["GET", path_of(live, live["metadata"]["name"])] = (200, live)
    add_what_makes_it_ready(api, live)

    answer = create(api, call)

    assert without_chance(answer) == without_chance(call["response"])
    url, body = api.sent("POST")
    assert "dryRun" not in url.params
    assert "fieldManager" not in url.params
    assert body == plain(from_struct(struct(call["request"]["properties"])))


def add_what_makes_it_ready(api: SimulatedApi, live: Json) -> None:
    space = "/namespaces/slm"
    owner = [{"uid": live["metadata"]["uid"]}]
    annotations = {"deployment.kubernetes.io/revision": "1"}
    replica_set = {
        "metadata": {"name": "r", "ownerReferences": owner, "annotations": annotations},
        "spec": {"replicas": 1},
        "status": {"readyReplicas": 1},
    }
    endpoints = {"metadata": {"name": "e"}, "endpoints": [{"conditions": {"ready": True}}]}
    api.answers["GET", f"/apis/apps/v1{space}/replicasets"] = (200, {"items": [replica_set]})
    api.answers["GET", f"/apis/discovery.k8s.io/v1{space}/endpointslices"] = (200, {"items": [endpoints]})


def update(api: SimulatedApi, call: Json) -> Json:
    request = provider_pb2.UpdateRequest(
        id=call["request"]["id"],
        urn=call["urn"],
        olds=struct(call["request"]["olds"]),
        news=struct(call["request"]["news"]),
        preview=call["request"].get("preview", False),
    )
    return as_dict(api.provider().Update(request, CONTEXT))


def live_before(call: Json) -> Json:
    olds = plain(from_struct(struct(call["request"]["olds"])))
    return {key: value for key, value in olds.items() if not key.startswith("__")}


@pytest.mark.parametrize("call", recorded("Update", "preview"))
def test_an_updates_preview_is_a_forced_dry_run_under_the_resources_own_name(call: Json) -> None:
    before, after = live_before(call), live_of(call)
    before["metadata"].setdefault("managedFields", [{"manager": "pulumi-kubernetes", "operation": "Update"}])
    path = path_of(before, before["metadata"]["name"])
    api = SimulatedApi({("GET", path): (200, before), ("PATCH", path): (200, after)})

    assert update(api, call) == call["response"]
    url, body = api.sent("PATCH")
    assert dict(url.params) == {
        "fieldManager": call["request"]["olds"]["__fieldManager"],
        "force": "true",
        "dryRun": "All",
    }
    assert body == call["request"]["news"]


@pytest.mark.parametrize("call", recorded("Update", "updated"))
def test_an_update_takes_over_what_the_creation_owned_and_does_not_force(call: Json) -> None:
    before, after = live_before(call), live_of(call)
    path = path_of(before, before["metadata"]["name"])
    api = SimulatedApi({("GET", path): (200, before), ("PATCH", path): (200, before)})
    api.after_apply = {("GET", path): (200, after), ("PATCH", path): (200, after)}
    revision = {"deployment.kubernetes.io/revision": "2"}
    meta = {"name": "r", "annotations": revision, "ownerReferences": [{"uid": after["metadata"]["uid"]}]}
    replica_set = {"metadata": meta, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
    api.answers["GET", "/apis/apps/v1/namespaces/slm/replicasets"] = (200, {"items": [replica_set]})

    assert update(api, call) == call["response"]
    take_over, apply = [request for request in api.requests if request.method == "PATCH"]
    owners = json.loads(take_over.content)[0]["value"]
    manager = call["request"]["olds"]["__fieldManager"]
    assert [(owner["manager"], owner["operation"]) for owner in owners] == [
        (manager, "Apply"),
        ("kube-controller-manager", "Update"),
    ]
    assert dict(apply.url.params) == {"fieldManager": manager, "force": "false"}


def read(api: SimulatedApi, call: Json) -> Json:
    request = provider_pb2.ReadRequest(
        id=call["request"]["id"],
        urn=call["urn"],
        properties=struct(call["request"]["properties"]),
        inputs=struct(call["request"]["inputs"]),
    )
    return as_dict(api.provider().Read(request, CONTEXT))


@pytest.mark.parametrize("call", recorded("Read", "refreshed"))
def test_a_refresh_finds_drift_and_deletion_as_recorded(call: Json) -> None:
    if "error" in call:
        live = {k: v for k, v in call["request"]["properties"].items() if not k.startswith("__")}
        api = SimulatedApi({("GET", path_of(live, live["metadata"]["name"])): (200, live)})
        api.answers["GET", "/apis/discovery.k8s.io/v1/namespaces/slm/endpointslices"] = (200, {"items": []})

        with pytest.raises(AbortedError, match=re.escape(call["error"])) as failure:
            read(api, call)

        assert failure.value.detail is not None
        assert failure.value.detail.id == call["request"]["id"]
        assert "Service does not target any Pods" in failure.value.detail.reasons[1]
        return
    api = SimulatedApi()
    if call["response"]:
        live = live_of(call)
        api.answers["GET", path_of(live, live["metadata"]["name"])] = (200, live)

    assert read(api, call) == call["response"]


@pytest.mark.parametrize("call", recorded("Delete"))
def test_a_deletion_takes_along_what_the_object_owns(call: Json) -> None:
    live = {k: v for k, v in call["request"]["properties"].items() if not k.startswith("__")}
    api = SimulatedApi({("DELETE", path_of(live, live["metadata"]["name"])): (200, {})})
    request = provider_pb2.DeleteRequest(
        id=call["request"]["id"], urn=call["urn"], properties=struct(call["request"]["properties"])
    )

    assert as_dict(api.provider().Delete(request, CONTEXT)) == call["response"]
    assert api.sent("DELETE")[1] == {"propagationPolicy": "Foreground"}
