"""What an update would change, and whether it can be made in place.

A pure comparison of the live object, cut down to the shape of the old inputs, with the new inputs. It follows JSON
merge patch (lists are compared element by element, by position) and the provider's own list of fields that a cluster
refuses to change. It asks no server: what the server would refuse shows in the dry run of the update.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pulumi.runtime.proto import provider_pb2

from rehearsal.kubernetes.objects import AUTONAMED, annotation, name_of, namespace_of
from rehearsal.kubernetes.values import Properties, Unknown

Kind = provider_pb2.PropertyDiff.Kind
_REPLACING = {
    provider_pb2.PropertyDiff.ADD: provider_pb2.PropertyDiff.ADD_REPLACE,
    provider_pb2.PropertyDiff.DELETE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    provider_pb2.PropertyDiff.UPDATE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}
_REPLACED = frozenset(_REPLACING.values())


class _Missing:
    """Told apart from None, which is a value."""


_MISSING = _Missing()
Path = tuple[str | int, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_IDENTITY = ("metadata.name", "metadata.namespace")
_POD_FIELDS = _words(
    "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork "
    "hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority priorityClassName "
    "readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount serviceAccountName "
    "shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"
)
_CONTAINER_FIELDS = _words(
    "args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources securityContext "
    "stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
_VOLUME_SOURCES = _words(
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs "
    "hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)

_IMMUTABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "DaemonSet"): ("spec.selector",),
    ("apps/v1", "Deployment"): ("spec.selector",),
    ("apps/v1", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch/v1", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): ("parameters", "provisioner"),
    ("v1", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("v1", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("v1", "Pod"): (
        *(f"spec.{name}" for name in _POD_FIELDS),
        *(f"spec.{kind}[*].{name}" for kind in ("containers", "initContainers") for name in _CONTAINER_FIELDS),
    ),
    ("v1", "ResourceQuota"): ("spec.scopes",),
    ("v1", "Service"): ("spec.clusterIP",),
}


@dataclass(frozen=True)
class Mutability:
    """Kinds that a provider may be told to change in place although it replaces them otherwise."""

    config_maps: bool = False
    secrets: bool = False


@dataclass(frozen=True)
class Change:
    """The result of a comparison; empty `details` mean that nothing changes."""

    details: Mapping[str, provider_pb2.PropertyDiff]
    replaces: Sequence[str]
    delete_before_replace: bool


def replacing_fields(obj: Properties, mutability: Mutability) -> tuple[str, ...]:
    """The fields of an object whose change needs a new object, as paths with `[*]` for any element of a list."""
    kind = (str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
    fixed = obj.get("immutable") is True
    if kind == ("v1", "ConfigMap"):
        return _IDENTITY if mutability.config_maps and not fixed else (*_IDENTITY, "binaryData", "data")
    if kind == ("v1", "Secret"):
        mutable = mutability.secrets and not fixed
        return (*_IDENTITY, "type") if mutable else (*_IDENTITY, "type", "stringData", "data")
    return (*_IDENTITY, *_IMMUTABLE.get(kind, ()))


def compare(
    live: Properties, pruned: Properties, new: Properties, *, replacing: Iterable[str], ignored: Iterable[str] = ()
) -> Change:
    """Compare the live object, cut down to what the old inputs said, with new inputs."""
    comparison = _Comparison([_parse(path) for path in replacing])
    patch = _merge_patch(pruned, new)
    comparison.maps((), patch, pruned, new, in_list=False)
    skipped = [_parse(path) for path in ignored]
    details = {
        _text(path): found
        for path, found in comparison.found.items()
        if not any(_covers(pattern, path) for pattern in skipped)
    }
    replaces = sorted(path for path, found in details.items() if _replaces(path, found))
    named = bool(name_of(new)) and annotation(new, AUTONAMED) != "true"
    same = name_of(new) == name_of(live) and namespace_of(new) == namespace_of(live)
    return Change(details, replaces, bool(replaces) and named and same)


def _replaces(path: str, found: provider_pb2.PropertyDiff) -> bool:
    return found.kind in _REPLACED or (found.kind == provider_pb2.PropertyDiff.DELETE and path == "metadata")


def _merge_patch(old: Properties, new: Properties) -> Properties:
    """RFC 7386: what to lay over `old` to get `new`. An unknown stands as None, as it would in JSON."""
    patch: Properties = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = _without_unknowns(value)
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if inner := _merge_patch(cast(Properties, old[key]), cast(Properties, value)):
                patch[key] = inner
        elif value != old[key]:
            patch[key] = _without_unknowns(value)
    return patch


def _without_unknowns(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_unknowns(item) for key, item in cast(Properties, value).items()}
    if isinstance(value, list):
        return [_without_unknowns(item) for item in cast(list[Any], value)]
    return None if isinstance(value, Unknown) else value


@dataclass
class _Comparison:
    replacing: Sequence[Path]
    found: dict[Path, provider_pb2.PropertyDiff] = field(default_factory=dict[Path, provider_pb2.PropertyDiff])

    def maps(self, path: Path, patch: Properties, old: Properties, new: Properties, *, in_list: bool) -> None:
        for key, value in patch.items():
            self._value((*path, key), value, old.get(key, _MISSING), new.get(key, _MISSING), in_list)
        if in_list:
            # A list is patched as a whole, so that what an element loses is not in the patch.
            for key in old.keys() - patch.keys():
                self._value((*path, key), None, old[key], new.get(key, _MISSING), in_list)

    def _lists(self, path: Path, patch: list[Any], old: list[Any], new: list[Any]) -> None:
        for index in range(max(len(patch), len(old))):
            value = patch[index] if index < len(patch) else None
            before = old[index] if index < len(old) else _MISSING
            after = new[index] if index < len(new) else None
            self._value((*path, index), value, before, after, True)

    def _value(self, path: Path, value: Any, old: Any, new: Any, in_list: bool) -> None:
        if new is _MISSING and (value is not None or old is _MISSING):
            return
        if isinstance(value, dict) and isinstance(old, dict):
            inner = cast(Properties, new) if isinstance(new, dict) else {}
            self.maps(path, cast(Properties, value), cast(Properties, old), inner, in_list=in_list)
        elif isinstance(value, list) and isinstance(old, list):
            after = cast(list[Any], new) if isinstance(new, list) else []
            self._lists(path, cast(list[Any], value), cast(list[Any], old), after)
        else:
            self._leaf(path, value, old, new)

    def _leaf(self, path: Path, value: Any, old: Any, new: Any) -> None:
        deleted = value is None and not isinstance(new, Unknown)
        if deleted:
            kind = provider_pb2.PropertyDiff.DELETE
        elif old is _MISSING:
            kind = provider_pb2.PropertyDiff.ADD
        elif value is not None and value == old and type(value) is type(old):
            return
        else:
            kind = provider_pb2.PropertyDiff.UPDATE
        if any(_touches(pattern, path, value) for pattern in self.replacing):
            kind = _REPLACING[kind]
        self.found[path] = provider_pb2.PropertyDiff(kind=kind, inputDiff=deleted)


def _touches(pattern: Path, path: Path, value: Any) -> bool:
    """Whether a change of `value` at `path` changes something that the pattern names."""
    if _covers(pattern, path):
        return True
    return len(pattern) > len(path) and _covers(path, pattern[: len(path)]) and _holds(value, pattern[len(path) :])


def _holds(value: Any, rest: Path) -> bool:
    if not rest:
        return True
    if rest[0] == "*":
        return isinstance(value, list) and any(_holds(item, rest[1:]) for item in cast(list[Any], value))
    found = cast(Properties, value) if isinstance(value, dict) else {}
    return rest[0] in found and _holds(found[rest[0]], rest[1:])


def _covers(pattern: Path, path: Path) -> bool:
    """Whether `path` is what the pattern names or lies inside it. `*` stands for any element on either side."""
    if len(pattern) > len(path):
        return False
    return all(a == b or "*" in (a, b) for a, b in zip(pattern, path, strict=False))


def _parse(text: str) -> Path:
    """Read a property path: `spec.containers[0].image`, `metadata.annotations["a.b/c"]`, `spec.containers[*]`."""
    parts: list[str | int] = []
    for quoted, index, name in re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|([^.\[\]]+)', text):
        if name:
            parts.append(name)
        elif index:
            parts.append("*" if index == "*" else int(index))
        else:
            parts.append(quoted.replace('\\"', '"'))
    return tuple(parts)


def _text(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.search(r'[."\[\]]', part):
            text += '["{}"]'.format(part.replace('"', '\\"'))
        else:
            text += f".{part}" if text else part
    return text
