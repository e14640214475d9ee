"""What happens to a resource between the engine and ARM: checked, compared, made, read, changed, deleted."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.azure.provider.arm import ArmClient
from rehearsal.azure.provider.schema import ObjectType, PropertyType, inputs_of
from rehearsal.azure.provider.translate import (
    RANDOM_NAME,
    from_id,
    preview,
    to_body,
    to_id,
    to_inputs,
    to_outputs,
)
from rehearsal.azure.provider.values import UNKNOWN, Properties, Secret, bare, has_unknown, mark
from rehearsal.azure.types import BY_TOKEN, ResourceType

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TENANT = "00000000-0000-0000-0000-000000000002"
INPUTS = "__inputs"
_CREDENTIALS_VERSION = "2025-09-01"
_SUFFIX_CHARACTERS = 8


class UnknownTypeError(Exception):
    """A resource type or function that this stand-in does not know."""


@dataclass
class Change:
    """What differs: paths to their kinds, and which of them replace the resource."""

    details: dict[str, str] = field(default_factory=dict[str, str])
    """add, delete or update, by path."""
    replaces: list[str] = field(default_factory=list[str])
    delete_first: bool = False


def type_of(urn: str) -> ResourceType:
    """The resource type in a URN.

    Raises:
        UnknownTypeError: if the rehearsal has none of this name.
    """
    token = urn.split("::")[2].rpartition("$")[2]
    if token not in BY_TOKEN:
        raise UnknownTypeError(f"the rehearsal knows no {token}: it has {', '.join(sorted(BY_TOKEN))}")
    return BY_TOKEN[token]


def check(
    urn: str, old: Properties, new: Properties, *, location: str, seed: bytes
) -> tuple[Properties, list[tuple[str, str]]]:
    """The inputs with names and location that the program left out; and what is wrong with them, by property."""
    kind, wanted = type_of(urn), inputs_of(type_of(urn).token)
    inputs = dict(new)
    if kind.name_parameter not in inputs:
        _name(kind, urn, old, inputs, seed)
    if "location" in wanted.properties and "location" not in inputs and location:
        inputs["location"] = location
    return inputs, list(_failures(bare(inputs), wanted, own={RANDOM_NAME}))


def _name(kind: ResourceType, urn: str, old: Properties, inputs: Properties, seed: bytes) -> None:
    name = kind.name_parameter
    stem = urn.rpartition("::")[2]
    digest = hashlib.sha256(seed or uuid.uuid4().bytes).hexdigest()
    if name in old and RANDOM_NAME in old:
        inputs[name] = old[name]
    elif kind.autoname == "uuid":
        inputs[name] = str(uuid.UUID(digest[:32]))
    elif kind.autoname == "copy":
        inputs[name] = stem
    else:
        inputs[name] = f"{stem}{digest[:_SUFFIX_CHARACTERS]}"
    if kind.autoname != "copy":
        inputs[RANDOM_NAME] = True


def _failures(value: Properties, wanted: ObjectType, *, own: set[str], place: str = "") -> Any:
    for name in sorted(wanted.required - value.keys()):
        yield f"{place}{name}", f"Missing required property '{name}'"
    for name, item in value.items():
        if name in own:
            continue
        if name not in wanted.properties:
            yield f"{place}{name}", f"property '{name}' is not known: remove it, or look for a typing error"
            continue
        yield from _item_failures(item, wanted.properties[name], f"{place}{name}")


def _item_failures(item: Any, wanted: PropertyType, place: str) -> Any:
    if item is UNKNOWN:
        return
    expected = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list}.get(wanted.name)
    if expected is not None and not isinstance(item, expected):
        whole = wanted.name == "integer" and isinstance(item, float) and item.is_integer()
        if not whole:
            yield place, f"a {wanted.name} is expected here, not {type(item).__name__}"
    elif wanted.name == "object" and isinstance(item, dict) and len(wanted.classes) == 1:
        yield from _failures(item, wanted.objects()[0], own=set(), place=f"{place}.")  # pyright: ignore[reportUnknownArgumentType]
    elif wanted.name == "array" and wanted.items is not None and isinstance(item, list):
        for number, one in enumerate(item):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _item_failures(one, wanted.items, f"{place}[{number}]")


def diff(urn: str, old_inputs: Properties, new: Properties, ignored: list[str]) -> Change:
    """How the program's inputs changed since the last time."""
    kind = type_of(urn)
    before, after = bare(old_inputs), bare(new)
    change = Change()
    for path, what in _differences(before, after):
        top = path.partition(".")[0].partition("[")[0]
        if top in ignored or top == RANDOM_NAME:
            continue
        change.details[path] = what
        if top in kind.parameters or _replaced_by(kind, path):
            change.replaces.append(path)
    # Without a name of its own making the new resource would be refused while the old one has its name.
    change.delete_first = bool(change.replaces) and RANDOM_NAME not in after and not _renamed(kind, before, after)
    return change


def _renamed(kind: ResourceType, before: Properties, after: Properties) -> bool:
    return any(before.get(name) != after.get(name) for name in kind.parameters)


def _replaced_by(kind: ResourceType, path: str) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in kind.replaces)


def _differences(before: Any, after: Any, place: str = "") -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        keys: list[str] = sorted(before.keys() | after.keys())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        for key in keys:
            path = f"{place}.{key}" if place else key
            if key not in before:
                yield path, "add"
            elif key not in after:
                yield path, "delete"
            else:
                yield from _differences(before[key], after[key], path)
    elif before is UNKNOWN or after is UNKNOWN or before != after:
        yield place, "update"


def create(urn: str, inputs: Properties, arm: ArmClient, *, dry_run: bool) -> tuple[str, Properties]:
    """Make a resource: its id and state. A dry run asks ARM nothing."""
    kind = type_of(urn)
    if dry_run or has_unknown(inputs):
        return "", _state(preview(kind, bare(inputs)), inputs)
    known = bare(inputs)
    resource = to_id(kind, SUBSCRIPTION, known)
    if arm.get(resource, kind.api_version) is not None:
        raise ValueError(f"cannot create already existing resource '{resource}'")
    body = arm.put(resource, kind.api_version, to_body(kind, known))
    return resource, _state(to_outputs(kind, body), inputs)


def update(urn: str, resource: str, inputs: Properties, arm: ArmClient, *, dry_run: bool) -> Properties:
    """Change a resource in place: its new state."""
    kind = type_of(urn)
    if dry_run or has_unknown(inputs):
        return _state(preview(kind, bare(inputs)), inputs)
    known = bare(inputs)
    there = arm.get(resource, kind.api_version)
    body = to_body(kind, known)
    _keep_parts(kind, body, known, there)
    return _state(to_outputs(kind, arm.put(resource, kind.api_version, body)), inputs)


def _keep_parts(kind: ResourceType, body: Properties, inputs: Properties, there: Properties | None) -> None:
    """What other resources own inside this one's body goes along as it is, or a PUT would delete it."""
    found: Mapping[str, Any] = (there or {}).get("properties") or {}
    for part in kind.parts:
        if part not in inputs and part in found:
            body.setdefault("properties", {})[part] = found[part]


def read(urn: str, resource: str, inputs: Properties, arm: ArmClient) -> tuple[Properties, Properties] | None:
    """A resource as it is: state and inputs; None if it is gone."""
    kind = type_of(urn)
    body = arm.get(resource, kind.api_version)
    if body is None:
        return None
    outputs = to_outputs(kind, body)
    actual = to_inputs(kind, outputs) | from_id(kind, resource)
    if inputs:
        # Only what the program says is compared: the rest are the service's own defaults. A write-only value stays.
        actual = {key: _as_said(inputs[key], actual.get(key, inputs[key])) for key in inputs}
    return _state(outputs, mark(actual, inputs)), mark(actual, inputs)


def _as_said(said: Any, actual: Any) -> Any:
    plain_said = bare(said)
    if isinstance(plain_said, dict) and isinstance(actual, dict):
        return {key: _as_said(value, actual.get(key, value)) for key, value in plain_said.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownArgumentType]
    return actual


def delete(urn: str, resource: str, arm: ArmClient) -> None:
    """Delete a resource and wait until it is gone."""
    arm.delete(resource, type_of(urn).api_version)


def invoke(token: str, arguments: Properties, arm: ArmClient) -> Properties:
    """The two functions that the program calls.

    Raises:
        UnknownTypeError: for any other.
    """
    match token:
        case "azure-native:authorization:getClientConfig":
            return {"clientId": "", "objectId": "", "subscriptionId": SUBSCRIPTION, "tenantId": TENANT}
        case "azure-native:containerservice:listManagedClusterUserCredentials":
            cluster = (
                f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{arguments['resourceGroupName']}"
                f"/providers/Microsoft.ContainerService/managedClusters/{arguments['resourceName']}"
            )
            answer = arm.post(f"{cluster}/listClusterUserCredential", _CREDENTIALS_VERSION)
            return {"kubeconfigs": Secret(answer["kubeconfigs"])}
        case _:
            raise UnknownTypeError(f"the rehearsal knows no function {token}")


def _state(outputs: Properties, inputs: Properties) -> Properties:
    """Outputs as they are kept: secret where the inputs were, with the inputs beside them."""
    return mark(outputs, inputs) | {INPUTS: inputs}
