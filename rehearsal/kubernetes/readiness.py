"""When an object counts as ready, for each kind that has an answer to that.

Owns the conditions, as one look at the cluster. Owns no waiting: that is `waiting`. Kinds without an entry here are
ready as soon as the server has them.

Not checked:
- a Service counts its ready endpoints at once; the real provider watches them for ten seconds more.
- an Ingress is ready with its address; that its backends exist is not looked at.
- ReplicationControllers, ResourceQuotas and `pulumi.com/waitFor` conditions are not waited for.
- a pod that cannot be scheduled is named in the error, where the real provider only shows it while it waits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.objects import annotation, name_of, namespace_of
from rehearsal.kubernetes.pods import at, condition, items, owned_by, problem, problems
from rehearsal.kubernetes.values import Properties

_REVISION = "deployment.kubernetes.io/revision"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Readiness:
    """One look at an object."""

    ready: bool
    progress: str = ""
    """What is being waited for, for the person who watches."""
    problems: Sequence[str] = ()
    """What is wrong, should it stay as it is."""
    failed: bool = False
    """It cannot become ready any more."""


READY = Readiness(ready=True)
Check = Callable[[Api, Properties], Readiness]
"""Looks at a live object."""


def _count(obj: Properties, *path: str) -> int:
    found = at(obj, *path)
    return found if isinstance(found, int) else 0


def _observed(obj: Properties) -> bool:
    return at(obj, "metadata", "generation") == at(obj, "status", "observedGeneration")


def _deployment(api: Api, live: Properties) -> Readiness:
    if not _observed(live):
        return Readiness(False, "Waiting for the controller to see the Deployment")
    namespace, revision = namespace_of(live), annotation(live, _REVISION)
    replica_sets = [found for found in api.find("apps/v1", "ReplicaSet", namespace) if owned_by(found, live)]
    current = next((found for found in replica_sets if annotation(found, _REVISION) == revision), None)
    wanted = _count(current or live, "spec", "replicas")
    have = _count(current or {}, "status", "readyReplicas")
    available = condition(live, "Available").get("status") == "True"
    progressing = condition(live, "Progressing")
    rolled_out = progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"
    unbound = _unbound_claims(api, live)
    ready = current is not None and available and have >= wanted and (rolled_out or revision == "1")
    if ready and not unbound:
        return READY
    pods = [] if current is None else [pod for pod in api.find("v1", "Pod", namespace) if owned_by(pod, current)]
    found = [
        *_unmet_conditions(live, "Progressing", "Available"),
        *([f'Failed to bind PersistentVolumeClaim(s): "{",".join(unbound)}"'] if unbound else []),
        *_too_few_pods(available, first=revision == "1", live=have >= wanted, rolled_out=rolled_out),
        *problems(pods),
    ]
    return Readiness(False, f"Waiting for app ReplicaSet to be available ({have}/{wanted} Pods available)", found)


def _unmet_conditions(live: Properties, *kinds: str) -> list[str]:
    unmet = [found for kind in kinds if (found := condition(live, kind)).get("status") not in (None, "True")]
    return [f"[{found.get('reason')}] {found.get('message')}" for found in unmet]


def _too_few_pods(available: bool, *, first: bool, live: bool, rolled_out: bool) -> list[str]:
    if not available:
        return ["Minimum number of live Pods was not attained"]
    if first and not live:
        return ["Minimum number of Pods to consider the application live was not attained"]
    if not first and not rolled_out:
        return ["Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live"]
    return []


def _unbound_claims(api: Api, workload: Properties) -> list[str]:
    volumes = items(workload, "spec", "template", "spec", "volumes")
    used = {name for volume in volumes if (name := at(volume, "persistentVolumeClaim", "claimName"))}
    if not used:
        return []
    claims = api.find("v1", "PersistentVolumeClaim", namespace_of(workload))
    return [name_of(claim) for claim in claims if name_of(claim) in used and at(claim, "status", "phase") != "Bound"]


def _stateful_set(api: Api, live: Properties) -> Readiness:
    wanted, have = _count(live, "spec", "replicas"), _count(live, "status", "readyReplicas")
    current, target = at(live, "status", "currentRevision"), at(live, "status", "updateRevision")
    on_delete = at(live, "spec", "updateStrategy", "type") == "OnDelete"
    all_there = have == wanted == _count(live, "status", "replicas")
    rolled_out = on_delete or current == target
    if _observed(live) and all_there and rolled_out:
        return READY
    found = [] if all_there else [f"{have} out of {wanted} replicas succeeded readiness checks"]
    if not rolled_out:
        found.append(f'StatefulSet controller failed to advance from revision "{current}" to revision "{target}"')
    pods = [pod for pod in api.find("v1", "Pod", namespace_of(live)) if owned_by(pod, live)]
    progress = f"Waiting for StatefulSet to create Pods ({have}/{wanted} Pods ready)"
    return Readiness(False, progress, [*found, *problems(pods)])


def _daemon_set(api: Api, live: Properties) -> Readiness:
    wanted = _count(live, "status", "desiredNumberScheduled")
    have, updated = _count(live, "status", "numberReady"), _count(live, "status", "updatedNumberScheduled")
    if _observed(live) and have >= wanted and updated >= wanted:
        return READY
    pods = [pod for pod in api.find("v1", "Pod", namespace_of(live)) if owned_by(pod, live)]
    return Readiness(False, f"Waiting for DaemonSet ({have}/{wanted} Pods ready)", problems(pods))


def _job(api: Api, live: Properties) -> Readiness:
    failure = condition(live, "Failed")
    if failure.get("status") == "True":
        return Readiness(
            False,
            problems=[f"[{failure.get('reason')}] {failure.get('message')}", *_job_pods(api, live)],
            failed=True,
        )
    if condition(live, "Complete").get("status") == "True":
        return READY
    if at(live, "spec", "suspend") is True:
        return Readiness(False, "Waiting for the Job, which is suspended")
    counts = " | ".join(f"{key.title()}: {_count(live, 'status', key)}" for key in ("active", "succeeded", "failed"))
    return Readiness(False, f"Waiting for Job to succeed ({counts})", _job_pods(api, live))


def _job_pods(api: Api, live: Properties) -> list[str]:
    pods = api.find("v1", "Pod", namespace_of(live), labels=f"batch.kubernetes.io/job-name={name_of(live)}")
    return problems(pods)


def _pod(api: Api, live: Properties) -> Readiness:
    done = at(live, "status", "phase") == "Succeeded" or condition(live, "Ready").get("status") == "True"
    text = problem(live)
    return READY if done else Readiness(False, "Waiting for Pod to be ready", [text] if text else [])


def _service(api: Api, live: Properties) -> Readiness:
    kind = at(live, "spec", "type") or "ClusterIP"
    addressed = kind != "LoadBalancer" or bool(items(live, "status", "loadBalancer", "ingress"))
    unselective = kind == "ExternalName" or at(live, "spec", "clusterIP") == "None"
    targeted = unselective or _has_endpoints(api, live)
    found: list[str] = []
    if not targeted:
        found.append(
            "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not "
            "match labels on any Pods"
        )
    if not addressed:
        found.append("Service was not allocated an IP address; does your cloud provider support this?")
    if not found:
        return READY
    doing = "Attempting to allocate IP address to Service" if targeted else "Finding Pods to direct traffic to"
    return Readiness(False, doing, found)


def _has_endpoints(api: Api, service: Properties) -> bool:
    labels = f"kubernetes.io/service-name={name_of(service)}"
    slices = api.find("discovery.k8s.io/v1", "EndpointSlice", namespace_of(service), labels=labels)
    return any(
        at(endpoint, "conditions", "ready") is not False for found in slices for endpoint in items(found, "endpoints")
    )


def _claim(api: Api, live: Properties) -> Readiness:
    phase = at(live, "status", "phase")
    if phase == "Bound" or (phase == "Pending" and _binds_late(api, live)):
        return READY
    return Readiness(False, "Waiting for PersistentVolumeClaim to be bound", [f"status.phase currently at: {phase}"])


def _binds_late(api: Api, claim: Properties) -> bool:
    """Whether the claim's class waits for a pod that uses it, which may well come after this."""
    wanted = at(claim, "spec", "storageClassName")
    for storage_class in api.find("storage.k8s.io/v1", "StorageClass"):
        chosen = name_of(storage_class) == wanted if wanted else annotation(storage_class, _DEFAULT_CLASS) == "true"
        if chosen:
            return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    return False


def _volume(api: Api, live: Properties) -> Readiness:
    phase: Any = at(live, "status", "phase")
    return READY if phase in ("Available", "Bound") else Readiness(False, "Waiting for PersistentVolume", [str(phase)])


def _ingress(api: Api, live: Properties) -> Readiness:
    if items(live, "status", "loadBalancer", "ingress"):
        return READY
    return Readiness(False, "Waiting for an address", ["Ingress was not given a hostname or an IP address"])


def _secret(api: Api, live: Properties) -> Readiness:
    ready = live.get("type") != "kubernetes.io/service-account-token" or bool(live.get("data"))
    return READY if ready else Readiness(False, "Waiting for the token", ["The token was not filled in"])


CHECKS: Mapping[tuple[str, str], Check] = {
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("batch/v1", "Job"): _job,
    ("networking.k8s.io/v1", "Ingress"): _ingress,
    ("v1", "PersistentVolume"): _volume,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "Pod"): _pod,
    ("v1", "Secret"): _secret,
    ("v1", "Service"): _service,
}
"""The kinds that are waited for."""

READ_TOO = frozenset({"DaemonSet", "Deployment", "StatefulSet", "Job", "Ingress", "Pod", "Service"})
"""The kinds whose readiness a refresh reports too."""


def look(api: Api, live: Properties) -> Readiness:
    """Whether an object is ready; always so for a kind that nothing is known of."""
    check = CHECKS.get((str(live.get("apiVersion", "")), str(live.get("kind", ""))))
    return READY if check is None else check(api, live)
