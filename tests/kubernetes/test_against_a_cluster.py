"""The provider's operations in front of a real API server, without the engine."""

import threading

import pytest

from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.lifecycle import Lifecycle, Options, RefusedError, UnfinishedError
from rehearsal.kubernetes.values import Properties

pytestmark = pytest.mark.cluster


def urn(kind: str, name: str = "it") -> str:
    return f"urn:pulumi:dev::test::kubernetes:{kind}::{name}"


CONFIG_MAP = urn("core/v1:ConfigMap")
DEPLOYMENT = urn("apps/v1:Deployment")


def config_map(name: str, value: str) -> Properties:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}}


def deployment(name: str, *, replicas: int = 1, timeout_seconds: int = 60, **pod: object) -> Properties:
    labels = {"app": name}
    spec = {"containers": [{"name": "c", "image": "slm.invalid/c:1"}], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"pulumi.com/timeoutSeconds": str(timeout_seconds)},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@pytest.fixture
def lifecycle(cluster: Api) -> Lifecycle:
    return Lifecycle(cluster, Options())


def make(lifecycle: Lifecycle, of: str, obj: Properties) -> tuple[str, Properties]:
    return lifecycle.create(of, obj, preview=False, timeout=0)


def change(lifecycle: Lifecycle, of: str, state: Properties, obj: Properties, *ignored: str) -> Properties:
    return lifecycle.update(of, state, obj, ignored=ignored, preview=False, timeout=0)


def test_a_field_that_somebody_else_took_is_a_conflict_with_advice(lifecycle: Lifecycle, cluster: Api) -> None:
    _, state = make(lifecycle, CONFIG_MAP, config_map("contested", "ours"))
    cluster.apply(config_map("contested", "theirs"), manager="somebody", force=True, dry_run=False)

    with pytest.raises(UnfinishedError) as failure:
        change(lifecycle, CONFIG_MAP, state, config_map("contested", "ours again"))

    assert 'conflict with "somebody"' in str(failure.value)
    assert "Server-Side Apply field conflict detected" in str(failure.value)
    assert failure.value.state["data"] == {"key": "theirs"}


def test_an_annotation_forces_the_conflict(lifecycle: Lifecycle, cluster: Api) -> None:
    _, state = make(lifecycle, CONFIG_MAP, config_map("forced", "ours"))
    cluster.apply(config_map("forced", "theirs"), manager="somebody", force=True, dry_run=False)
    wanted = config_map("forced", "ours again")
    wanted["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}

    assert change(lifecycle, CONFIG_MAP, state, wanted)["data"] == {"key": "ours again"}


def test_replicas_that_an_autoscaler_sets_stay_when_they_are_ignored(lifecycle: Lifecycle, cluster: Api) -> None:
    _, state = make(lifecycle, DEPLOYMENT, deployment("scaled"))
    scaled = deployment("scaled", replicas=2)
    minimal = {**scaled, "spec": {"replicas": 2}}
    cluster.apply(minimal, manager="autoscaler", force=True, dry_run=False)

    wanted = deployment("scaled", terminationGracePeriodSeconds=5)
    after = change(lifecycle, DEPLOYMENT, state, wanted, "spec.replicas")

    assert after["spec"]["replicas"] == 2
    assert after["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5


def test_a_rollout_is_waited_for(lifecycle: Lifecycle, cluster: Api) -> None:
    _, state = make(lifecycle, DEPLOYMENT, deployment("rolled"))

    after = change(lifecycle, DEPLOYMENT, state, deployment("rolled", terminationGracePeriodSeconds=5))

    assert after["status"]["updatedReplicas"] == after["status"]["readyReplicas"] == 1
    assert after["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


def test_a_pod_that_cannot_be_placed_is_named_with_the_schedulers_words(lifecycle: Lifecycle) -> None:
    with pytest.raises(UnfinishedError) as failure:
        make(lifecycle, DEPLOYMENT, deployment("lost", timeout_seconds=2, nodeSelector={"gpu": "none"}))

    assert "Minimum number of live Pods was not attained" in failure.value.reasons
    assert any("[Pod lost-" in reason and "didn't match" in reason for reason in failure.value.reasons)


def test_a_cancelled_wait_ends_at_once_and_keeps_the_object_in_state(cluster: Api) -> None:
    cancelled = threading.Event()
    lifecycle = Lifecycle(cluster, Options(), cancelled=cancelled, progress=lambda of, text: cancelled.set())

    with pytest.raises(UnfinishedError, match="was cancelled") as failure:
        make(lifecycle, DEPLOYMENT, deployment("cancelled", nodeSelector={"gpu": "none"}))

    assert failure.value.identity == "default/cancelled"


def test_an_unready_object_is_made_when_it_is_not_to_be_waited_for(lifecycle: Lifecycle) -> None:
    obj = deployment("unawaited", nodeSelector={"gpu": "none"})
    obj["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}

    identity, _ = make(lifecycle, DEPLOYMENT, obj)

    assert identity == "default/unawaited"


def test_a_failed_job_fails_at_once(lifecycle: Lifecycle) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "failing", "namespace": "default"},
        "spec": {
            "activeDeadlineSeconds": 1,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {"gpu": "none"},
                    "containers": [{"name": "c", "image": "slm.invalid/c:1"}],
                }
            },
        },
    }

    with pytest.raises(UnfinishedError) as failure:
        make(lifecycle, urn("batch/v1:Job"), job)

    assert any("[DeadlineExceeded]" in reason for reason in failure.value.reasons)


def test_a_claim_waits_for_its_volume_unless_its_class_waits_for_a_pod(lifecycle: Lifecycle, cluster: Api) -> None:
    for name, mode in (("late", "WaitForFirstConsumer"), ("early", "Immediate")):
        storage_class = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "slm.example/none",
            "volumeBindingMode": mode,
        }
        cluster.create(storage_class, dry_run=False)

    def claim(name: str) -> Properties:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name,
                "namespace": "default",
                "annotations": {"pulumi.com/timeoutSeconds": "1"},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": name,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }

    of = urn("core/v1:PersistentVolumeClaim")
    assert make(lifecycle, of, claim("late"))[0] == "default/late"
    with pytest.raises(UnfinishedError, match="'early' timed out"):
        make(lifecycle, of, claim("early"))


def test_a_service_waits_for_an_address_and_for_pods(lifecycle: Lifecycle) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "public",
            "namespace": "default",
            "annotations": {"pulumi.com/timeoutSeconds": "1"},
        },
        "spec": {"type": "LoadBalancer", "selector": {"app": "nobody"}, "ports": [{"port": 80}]},
    }

    with pytest.raises(UnfinishedError) as failure:
        make(lifecycle, urn("core/v1:Service"), service)

    assert any(reason.startswith("Service does not target any Pods") for reason in failure.value.reasons)
    assert any("not allocated an IP address" in reason for reason in failure.value.reasons)


def test_an_import_reads_inputs_from_the_cluster(lifecycle: Lifecycle, cluster: Api) -> None:
    cluster.create(config_map("imported", "value"), dry_run=False)

    found = lifecycle.read(CONFIG_MAP, "default/imported", {}, {})

    assert found is not None
    assert found.inputs == config_map("imported", "value")
    change = lifecycle.diff(found.state, found.inputs, [])
    assert not change.details


def test_an_imported_secret_is_secret(lifecycle: Lifecycle, cluster: Api) -> None:
    meta = {"name": "imported", "namespace": "default"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": "not-a-real-key"}}
    cluster.create(secret, dry_run=False)

    found = lifecycle.read(urn("core/v1:Secret"), "default/imported", {}, {})

    assert found is not None
    assert "bm90LWEtcmVhbC1rZXk=" not in repr((found.state, found.inputs))


def test_a_custom_resource_without_its_definition_is_refused_with_the_fix(cluster: Api) -> None:
    cancelled = threading.Event()
    # The provider tries again for half a minute; being called off ends that with the same error.
    lifecycle = Lifecycle(cluster, Options(), cancelled=cancelled, progress=lambda of, text: cancelled.set())
    gadget = {"apiVersion": "no.example/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": "default"}}

    with pytest.raises(RefusedError, match="Verify that any required CRDs have been created"):
        make(lifecycle, urn("no.example/v1:Gadget"), gadget)


def test_a_deletion_waits_until_the_object_is_gone(lifecycle: Lifecycle, cluster: Api) -> None:
    identity, state = make(lifecycle, DEPLOYMENT, deployment("doomed"))

    lifecycle.delete(DEPLOYMENT, identity, state, timeout=0)

    pods = cluster.find("v1", "Pod", "default", labels="app=doomed")
    assert pods == []
    assert lifecycle.read(DEPLOYMENT, identity, state, deployment("doomed")) is None
    lifecycle.delete(DEPLOYMENT, identity, state, timeout=0)  # gone already: nothing to do


def test_an_object_that_does_not_go_is_told_and_kept_in_state(lifecycle: Lifecycle, cluster: Api) -> None:
    obj = config_map("held", "value")
    obj["metadata"]["finalizers"] = ["slm.example/hold"]
    identity, state = make(lifecycle, CONFIG_MAP, obj)

    with pytest.raises(UnfinishedError) as failure:
        lifecycle.delete(CONFIG_MAP, identity, state, timeout=1)

    assert 'Timed out waiting for deletion of v1/ConfigMap "held"' in failure.value.reasons
    cluster.patch(obj, [{"op": "remove", "path": "/metadata/finalizers"}])
