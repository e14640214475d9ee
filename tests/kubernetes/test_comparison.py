"""What changes in place, what replaces, and what is no change at all."""

import copy
from typing import Any

import pytest
from pulumi.runtime.proto.provider_pb2 import PropertyDiff

from rehearsal.kubernetes.diff import Change, Mutability, compare, replacing_fields
from rehearsal.kubernetes.objects import clean_inputs, prune
from rehearsal.kubernetes.quantities import canonical
from rehearsal.kubernetes.values import UNKNOWN, Properties


def obj(version: str, kind: str, autonamed: bool = True, **fields: Any) -> Properties:
    annotations = {"pulumi.com/autonamed": "true"} if autonamed else {}
    meta = {"name": "it", "namespace": "slm", "annotations": annotations}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **fields}


def changed(before: Properties, after: Properties, *ignored: str, mutability: Mutability | None = None) -> Change:
    replacing = replacing_fields(after, mutability or Mutability())
    return compare(before, prune(before, before), after, replacing=replacing, ignored=ignored)


@pytest.mark.parametrize(
    ("version", "kind", "before", "after", "replaces"),
    [
        ("v1", "Service", {"clusterIP": "None"}, {"clusterIP": "10.0.0.1"}, ["spec.clusterIP"]),
        ("v1", "Service", {"type": "ClusterIP"}, {"type": "LoadBalancer"}, []),
        ("v1", "PersistentVolumeClaim", {"storageClassName": "a"}, {"storageClassName": "b"},
         ["spec.storageClassName"]),
        ("v1", "PersistentVolumeClaim", {"resources": {"requests": {"storage": "1Gi"}}},
         {"resources": {"requests": {"storage": "2Gi"}}}, []),
        ("v1", "PersistentVolumeClaim", {"accessModes": ["ReadWriteOnce"]}, {"accessModes": ["ReadWriteMany"]},
         ["spec.accessModes[0]"]),
        ("apps/v1", "StatefulSet", {"serviceName": "a"}, {"serviceName": "b"}, ["spec.serviceName"]),
        ("apps/v1", "StatefulSet", {"replicas": 1}, {"replicas": 2}, []),
        ("apps/v1", "StatefulSet", {"volumeClaimTemplates": [{"spec": {"a": 1}}]},
         {"volumeClaimTemplates": [{"spec": {"a": 2}}]}, ["spec.volumeClaimTemplates[0].spec.a"]),
        ("batch/v1", "Job", {"template": {"spec": {"containers": [{"image": "a"}]}}},
         {"template": {"spec": {"containers": [{"image": "b"}]}}}, ["spec.template.spec.containers[0].image"]),
        ("batch/v1", "Job", {"ttlSecondsAfterFinished": 1}, {"ttlSecondsAfterFinished": 2}, []),
        ("v1", "Pod", {"containers": [{"image": "a"}]}, {"containers": [{"image": "b"}]}, ["spec.containers[0].image"]),
        ("apps/v1", "Deployment", {"selector": {"matchLabels": {"a": "b"}}}, {}, ["spec.selector"]),
    ],
)  # fmt: skip
def test_fields_that_a_cluster_keeps_as_they_are_replace_the_object(
    version: str, kind: str, before: Properties, after: Properties, replaces: list[str]
) -> None:
    change = changed(obj(version, kind, spec=before), obj(version, kind, spec=after))

    assert change.details
    assert change.replaces == replaces


def test_a_new_name_or_namespace_replaces() -> None:
    before, after = obj("v1", "ConfigMap"), obj("v1", "ConfigMap")
    after["metadata"]["namespace"] = "other"

    assert changed(before, after).replaces == ["metadata.namespace"]


@pytest.mark.parametrize(("autonamed", "first"), [(True, False), (False, True)])
def test_only_an_object_of_the_same_name_must_go_before_its_replacement(autonamed: bool, first: bool) -> None:
    before, after = (obj("v1", "ConfigMap", autonamed, data={"a": value}) for value in "xy")

    assert changed(before, after).delete_before_replace is first


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_data_changes_in_place_where_the_provider_is_told_so(kind: str) -> None:
    before, after = (obj("v1", kind, data={"a": value}) for value in "xy")
    mutable = Mutability(config_maps=True, secrets=True)

    assert changed(before, after).replaces == ["data.a"]
    assert changed(before, after, mutability=mutable).replaces == []
    assert changed(before, {**after, "immutable": True}, mutability=mutable).replaces == ["data.a"]


def test_ignored_changes_are_no_changes() -> None:
    before = obj("apps/v1", "Deployment", spec={"replicas": 1, "paused": False})
    after = obj("apps/v1", "Deployment", spec={"replicas": 2, "paused": True})

    assert list(changed(before, after, "spec.replicas").details) == ["spec.paused"]


def test_an_unknown_value_is_a_change() -> None:
    before, after = obj("v1", "Service", spec={"a": "x"}), obj("v1", "Service", spec={"a": UNKNOWN, "b": UNKNOWN})

    details = changed(before, after).details

    assert {path: found.kind for path, found in details.items()} == {
        "spec.a": PropertyDiff.UPDATE,
        "spec.b": PropertyDiff.ADD,
    }


def test_what_an_element_of_a_list_loses_is_a_change() -> None:
    before = obj("apps/v1", "Deployment", spec={"containers": [{"name": "c", "env": [{"name": "A"}], "tty": True}]})
    after = obj("apps/v1", "Deployment", spec={"containers": [{"name": "c", "env": []}]})

    details = changed(before, after).details

    assert {path: found.kind for path, found in details.items()} == {
        "spec.containers[0].env[0]": PropertyDiff.DELETE,
        "spec.containers[0].tty": PropertyDiff.DELETE,
    }


def test_what_the_server_filled_in_is_no_change() -> None:
    inputs = obj("v1", "Service", spec={"selector": {"a": "b"}, "ports": [{"port": 80}]})
    live = copy.deepcopy(inputs)
    live["spec"] |= {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}

    change = compare(live, prune(live, inputs), inputs, replacing=replacing_fields(inputs, Mutability()))

    assert not change.details


@pytest.mark.parametrize(
    ("written", "canonical_form"),
    [
        ("1000m", "1"), ("0.5", "500m"), ("1.5", "1500m"), ("100m", "100m"), ("2", "2"), ("1000", "1k"),
        ("1024Mi", "1Gi"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"), ("12Gi", "12Gi"), ("1024Ki", "1Mi"),
        ("0", "0"), ("1500M", "1500M"), ("1e3", "1e3"), ("many", "many"), ("25%", "25%"),
    ],
)  # fmt: skip
def test_quantities_take_the_servers_form(written: str, canonical_form: str) -> None:
    assert canonical(written) == canonical_form


def test_texts_that_look_like_quantities_stay_as_they_are() -> None:
    config_map = obj("v1", "ConfigMap", data={"limits": "1000m", "divisor": "1000"})
    custom = obj("keda.sh/v1", "ScaledObject", spec={"limits": {"cpu": "1000m"}})

    assert clean_inputs(config_map)["data"] == {"limits": "1000m", "divisor": "1000"}
    assert clean_inputs(custom)["spec"] == {"limits": {"cpu": "1000m"}}
