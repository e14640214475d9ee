"""Who owns the fields of an object, and how an update takes them over.

Objects are created by a plain POST, so that the server writes down `pulumi-kubernetes` as the owner of their fields;
updates are applied by an owner of the resource's own. Before its first apply that owner takes the earlier entries
over, or every change would be a conflict with ourselves.
"""

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any, cast

from rehearsal.kubernetes.objects import PATCH_FORCE, annotation
from rehearsal.kubernetes.pods import items
from rehearsal.kubernetes.values import Properties

_OUR_UPDATES = frozenset({"pulumi-kubernetes", "pulumi-kubernetes.exe", "pulumi-resource-kubernetes"})
_TAKEN_OVER = frozenset(
    {("kubectl", "Apply"), ("kubectl", "Update"), ("before-first-apply", "Update")}
    | {(name, "Update") for name in _OUR_UPDATES}
)


def forced(inputs: Properties, live: Properties | None, *, preview: bool) -> bool:
    """Whether an apply may take fields from other owners."""
    if annotation(inputs, PATCH_FORCE) == "true":
        return True
    if (wish := os.environ.get("PULUMI_K8S_ENABLE_PATCH_FORCE")) is not None:
        return wish == "true"
    if not preview:
        return False
    # A dry run cannot take entries over first, so what an update would take over must not be in its way.
    entries = items(live, "metadata", "managedFields")
    return live is None or any(e.get("operation") == "Update" and e.get("manager") in _OUR_UPDATES for e in entries)


def take_over(live: Properties, manager: str) -> Sequence[Properties]:
    """The JSON patch that makes `manager` the owner of what earlier tools of the user owned; empty if none did."""
    entries = [copy.deepcopy(entry) for entry in items(live, "metadata", "managedFields")]
    taken = [entry for entry in entries if _is_taken(entry)]
    if not taken:
        return []
    kept = [entry for entry in entries if not _is_taken(entry)]
    own = next((e for e in kept if e.get("manager") == manager and e.get("operation") == "Apply"), None)
    if own is None:
        own = taken.pop(0)
        own.update(manager=manager, operation="Apply")
        kept.insert(0, own)
    for entry in taken:
        _merge(cast(Properties, own.setdefault("fieldsV1", {})), cast(Properties, entry.get("fieldsV1") or {}))
    version = cast(Properties, live["metadata"]).get("resourceVersion")
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]


def _is_taken(entry: Properties) -> bool:
    return not entry.get("subresource") and (entry.get("manager"), entry.get("operation")) in _TAKEN_OVER


def _merge(into: Properties, other: Properties) -> None:
    for key, value in other.items():
        found = into.setdefault(key, value)
        if isinstance(found, dict) and isinstance(value, dict) and found is not value:
            _merge(cast(Properties, found), cast(Properties, value))


def respect_ignored(inputs: Properties, live: Properties, manager: str, ignored: Iterable[str]) -> None:
    """Leave fields under `ignoreChanges` as they are in the cluster, in place.

    A field that somebody else owns is not sent at all; one that is ours keeps its live value. Paths into lists are
    left to the value in state, as in the real provider.
    """
    ours, theirs = _owned(live, manager)
    for text in ignored:
        path = text.split(".")
        if _owns(theirs, path) and not _owns(ours, path):
            _drop(inputs, path)
        elif (value := _value(live, path)) is not None:
            _put(inputs, path, value)


def _owned(live: Properties, manager: str) -> tuple[Properties, Properties]:
    ours: Properties = {}
    theirs: Properties = {}
    for entry in items(live, "metadata", "managedFields"):
        fields = copy.deepcopy(cast(Properties, entry.get("fieldsV1") or {}))
        _merge(ours if entry.get("manager") == manager else theirs, fields)
    return ours, theirs


def _owns(fields: Properties, path: Sequence[str]) -> bool:
    for part in path:
        found = fields.get(f"f:{part}")
        if not isinstance(found, dict):
            return False
        fields = cast(Properties, found)
    return True


def _value(obj: Any, path: Sequence[str]) -> Any:
    for part in path:
        obj = cast(Properties, obj).get(part) if isinstance(obj, dict) else None
    return obj


def _parent(obj: Properties, path: Sequence[str]) -> Properties | None:
    found = _value(obj, path[:-1]) if len(path) > 1 else obj
    return cast(Properties, found) if isinstance(found, dict) else None


def _drop(obj: Properties, path: Sequence[str]) -> None:
    if (parent := _parent(obj, path)) is not None:
        parent.pop(path[-1], None)


def _put(obj: Properties, path: Sequence[str], value: Any) -> None:
    if (parent := _parent(obj, path)) is not None:
        parent[path[-1]] = value
