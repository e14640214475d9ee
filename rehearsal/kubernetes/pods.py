"""What keeps a pod from being ready, in words for the person who waits for it.

A pure function of the pod's status; it asks neither the cluster's events nor the container's log.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from rehearsal.kubernetes.objects import name_of, namespace_of
from rehearsal.kubernetes.values import Properties

_STARTING = frozenset({"ContainerCreating", "PodInitializing"})


def at(obj: Any, *path: str) -> Any:
    """A value inside nested maps, or None."""
    for key in path:
        obj = cast(Properties, obj).get(key) if isinstance(obj, dict) else None
    return obj


def items(obj: Any, *path: str) -> Sequence[Properties]:
    """A list of maps inside nested maps; empty if it is not there."""
    found = at(obj, *path)
    return cast(list[Properties], found) if isinstance(found, list) else []


def condition(obj: Properties, kind: str) -> Properties:
    """A status condition; an empty map if the object does not have it yet."""
    nothing: Properties = {}
    return next((found for found in items(obj, "status", "conditions") if found.get("type") == kind), nothing)


def owned_by(obj: Properties, owner: Properties) -> bool:
    """Whether an object was made for another."""
    uid = at(owner, "metadata", "uid")
    return uid is not None and any(
        reference.get("uid") == uid for reference in items(obj, "metadata", "ownerReferences")
    )


def problems(pods: Iterable[Properties]) -> list[str]:
    """A line for each pod that is not ready and says why."""
    return [text for pod in pods if (text := problem(pod))]


def problem(pod: Properties) -> str:
    """Why one pod is not ready; "" if it is, or if nothing is wrong yet."""
    if at(pod, "status", "phase") == "Succeeded" or condition(pod, "Ready").get("status") == "True":
        return ""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _line(pod, scheduled, [])
    statuses = [*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses")]
    causes = [cause for status in statuses for cause in _container_problems(status)]
    initialized = condition(pod, "Initialized")
    unmet = initialized if initialized.get("status") == "False" else condition(pod, "Ready")
    return _line(pod, unmet, causes)


def _line(pod: Properties, unmet: Properties, causes: Sequence[str]) -> str:
    namespace = namespace_of(pod)
    name = name_of(pod) if namespace in ("", "default") else f"{namespace}/{name_of(pod)}"
    text = str(unmet["message"]) if unmet.get("reason") and unmet.get("message") else ""
    both = text + "\n".join(causes)
    return f"[Pod {name}]: {both}" if both else ""


def _container_problems(status: Properties) -> Iterable[str]:
    if status.get("ready"):
        return
    waiting = at(status, "state", "waiting")
    if waiting and waiting.get("reason") not in _STARTING:
        yield f"[{waiting.get('reason')}] {_shorter(waiting.get('message', ''))}"
    ended = at(status, "state", "terminated")
    if ended and ended.get("reason") and ended.get("exitCode") != 0:
        yield _ended(status, ended)
    last = at(status, "lastState", "terminated")
    if last:
        yield (
            f'container "{status.get("name")}" terminated at {last.get("finishedAt")} '
            f"({last.get('reason')}: exit code {last.get('exitCode')})"
        )
        if last.get("message"):
            yield str(last["message"])


def _ended(status: Properties, ended: Properties) -> str:
    if ended.get("message"):
        return f"[{ended['reason']}] {_shorter(ended['message'])}"
    return f'container "{status.get("name")}" completed with exit code {ended.get("exitCode")}'


def _shorter(message: Any) -> str:
    return str(message).removesuffix(": manifest unknown")
