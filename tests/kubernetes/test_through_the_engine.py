"""The provider as the engine uses it, in front of a real API server: one stack, from nothing to nothing.

The tests of this module build on each other, in their order: each starts from the state that the last one left.
"""

import threading

import pytest

from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.waiting import Waiter
from tests.kubernetes.conftest import KEY, Engine

pytestmark = [pytest.mark.engine, pytest.mark.cluster]


def in_cluster(cluster: Api, version: str, kind: str) -> dict[str, dict[str, object]]:
    return {str(found["metadata"]["name"]): found for found in cluster.find(version, kind, "slm")}


def exists(cluster: Api, version: str, kind: str, name: str) -> bool:
    return name in [found["metadata"]["name"] for found in cluster.find(version, kind)]


def test_a_preview_changes_nothing(engine: Engine, cluster: Api) -> None:
    done = engine.operate("preview")

    assert done.returncode == 0, done.stdout
    assert "15 to create" in done.stdout
    assert not exists(cluster, "v1", "Namespace", "slm")
    assert KEY not in done.stdout


def test_what_the_server_would_refuse_is_refused_in_the_preview(engine: Engine, cluster: Api) -> None:
    # A dry run needs the namespace, which is there from the first update on.
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "slm"}}, dry_run=False)
    engine.set("bad", "true")
    done = engine.operate("preview")
    engine.set("bad", "false")

    assert done.returncode != 0
    assert 'ConfigMap "Not_A_Name" is invalid' in done.stdout


def test_an_object_that_exists_is_not_taken_over(engine: Engine, cluster: Api) -> None:
    done = engine.up()

    assert done.returncode != 0
    assert 'namespaces "slm" already exists' in done.stdout
    assert "Adopting a resource into Pulumi" in done.stdout
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "slm"}}
    cluster.delete(namespace, "slm", propagation="Foreground")
    Waiter(cluster, threading.Event(), print).until_gone(namespace, "slm", {}, timeout=0)


def test_everything_is_created_and_ready(engine: Engine, cluster: Api) -> None:
    done = engine.up()

    assert done.returncode == 0, done.stdout
    (deployment,) = in_cluster(cluster, "apps/v1", "Deployment").values()
    assert deployment["status"]["readyReplicas"] == 1  # type: ignore[index]
    (job,) = in_cluster(cluster, "batch/v1", "Job").values()
    assert job["status"]["succeeded"] == 1  # type: ignore[index]
    assert len(in_cluster(cluster, "slm.example/v1", "Widget")) == 1


def test_no_secret_is_plain_in_state_or_on_screen(engine: Engine, cluster: Api) -> None:
    state = engine.state()

    assert KEY not in state
    assert "bm90LWEtcmVhbC1rZXktNTUyMQ==" not in state
    assert "client-key-data" not in state
    (secret,) = [found for name, found in in_cluster(cluster, "v1", "Secret").items() if name.startswith("keys-")]
    assert secret["data"] == {"api-key": "bm90LWEtcmVhbC1rZXktNTUyMQ=="}


def test_a_second_update_changes_nothing(engine: Engine, cluster: Api) -> None:
    done = engine.up("--expect-no-changes")

    assert done.returncode == 0, done.stdout
    assert "15 unchanged" in done.stdout


def test_an_update_in_place_keeps_the_object(engine: Engine, cluster: Api) -> None:
    before = engine.resources()
    engine.set("step", "2")

    done = engine.up()

    assert done.returncode == 0, done.stdout
    after = engine.resources()
    for name in ("Deployment/server", "Namespace/slm", "Widget/widget", "Service/server"):
        assert after[name]["id"] == before[name]["id"], name
    assert after["Deployment/server"]["outputs"]["status"]["readyReplicas"] == 2
    owners = after["Deployment/server"]["outputs"]["metadata"]["managedFields"]
    ours = after["Deployment/server"]["outputs"]["__fieldManager"]
    assert [owner["manager"] for owner in owners if owner["operation"] == "Apply"] == [ours]


def test_a_changed_config_map_is_replaced(engine: Engine, cluster: Api) -> None:
    found = in_cluster(cluster, "v1", "ConfigMap")

    steps = {name.split("-")[0]: each["data"] for name, each in found.items() if name != "kube-root-ca.crt"}
    assert steps == {"settings": {"step": "2"}, "fixed": {"step": "2"}}


def test_what_cannot_change_is_replaced(engine: Engine, cluster: Api) -> None:
    before = engine.resources()
    engine.set("step", "3")

    done = engine.up()

    assert done.returncode == 0, done.stdout
    after = engine.resources()
    for name in ("Deployment/server", "Job/weights"):
        assert after[name]["id"] != before[name]["id"], name
    assert len(in_cluster(cluster, "apps/v1", "Deployment")) == 1
    assert len(in_cluster(cluster, "batch/v1", "Job")) == 1


def test_a_deployment_that_does_not_get_ready_says_why_and_stays_in_state(engine: Engine, cluster: Api) -> None:
    engine.set("stuck", "true")

    done = engine.up()

    assert done.returncode != 0
    assert "'stuck' timed out waiting to be Ready" in done.stdout
    assert "node(s) didn't match Pod's node affinity/selector" in done.stdout
    assert engine.resources()["Deployment/stuck"]["id"] == "slm/stuck"


def test_what_leaves_the_program_leaves_the_cluster(engine: Engine, cluster: Api) -> None:
    engine.set("stuck", "false")

    done = engine.up()

    assert done.returncode == 0, done.stdout
    assert "stuck" not in in_cluster(cluster, "apps/v1", "Deployment")


def test_a_refresh_notices_drift_and_deletion(engine: Engine, cluster: Api) -> None:
    resources = engine.resources()
    policy = resources["NetworkPolicy/deny"]["id"].split("/")[1]
    meta = {"namespace": "slm"}
    cluster.delete(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta},
        policy,
        propagation="Foreground",
    )
    fixed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "fixed"}}
    cluster.patch(fixed, [{"op": "replace", "path": "/data/step", "value": "by hand"}])

    done = engine.operate("refresh", "--yes", "--skip-preview")

    assert done.returncode == 0, done.stdout
    after = engine.resources()
    assert "NetworkPolicy/deny" not in after
    assert after["ConfigMap/fixed"]["outputs"]["data"] == {"step": "by hand"}


def test_an_update_mends_what_a_refresh_found(engine: Engine, cluster: Api) -> None:
    done = engine.up()

    assert done.returncode == 0, done.stdout
    assert len(in_cluster(cluster, "networking.k8s.io/v1", "NetworkPolicy")) == 1
    assert in_cluster(cluster, "v1", "ConfigMap")["fixed"]["data"] == {"step": "3"}


def test_a_destroyed_stack_leaves_nothing(engine: Engine, cluster: Api) -> None:
    done = engine.operate("destroy", "--yes", "--skip-preview")

    assert done.returncode == 0, done.stdout
    assert engine.resources() == {}
    assert not exists(cluster, "v1", "Namespace", "slm")
    assert not exists(cluster, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.slm.example")
