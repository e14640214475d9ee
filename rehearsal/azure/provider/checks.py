"""What a program says about a resource, completed and examined before anything is asked.

Owns names and locations that are left out, and the examination against the SDK's types. Refuses nothing that depends on
what is in Azure.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

from rehearsal.azure.provider.schema import ObjectType, PropertyType, inputs_of
from rehearsal.azure.provider.translate import API_VERSION, RANDOM_NAME
from rehearsal.azure.provider.values import UNKNOWN, Properties, Secret, bare
from rehearsal.azure.types import ResourceType

Failure = tuple[str, str]
"""The property and the reason."""

_SUFFIX_CHARACTERS = 8
_SECRET_INPUTS = {"azure-native:keyvault:Secret": ("properties", "value")}
"""Inputs that are secret whatever the program says of them."""
_OWN = frozenset({RANDOM_NAME, API_VERSION})
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "map": (dict, list),
    "object": (dict,),
}


def complete(
    kind: ResourceType, stem: str, old: Properties, new: Properties, *, seed: bytes, location: Callable[[], Any]
) -> Properties:
    """The inputs with what the program left out: the resource's name, its location, the api-version.

    `stem` is the resource's name in the program, `location` is asked only if it is needed.
    """
    inputs = {key: value for key, value in new.items() if value is not None}
    if kind.name_parameter not in inputs:
        _name(kind, stem, old, inputs, seed)
    if "location" in inputs_of(kind.token).properties and "location" not in inputs:
        found = old["location"] if "location" in old else location()
        if found:
            inputs["location"] = found
    inputs.setdefault(API_VERSION, kind.api_version)
    if path := _SECRET_INPUTS.get(kind.token):
        inputs = _hide(inputs, path)
    return inputs


def _name(kind: ResourceType, stem: str, old: Properties, inputs: Properties, seed: bytes) -> None:
    name = kind.name_parameter
    digest = hashlib.sha256(seed or uuid.uuid4().bytes).hexdigest()
    if name in old:
        inputs[name] = old[name]
        if RANDOM_NAME in old:
            inputs[RANDOM_NAME] = old[RANDOM_NAME]
        return
    match kind.autoname:
        case "uuid":
            inputs[name] = str(uuid.UUID(digest[:32]))
        case "copy":
            inputs[name] = stem
        case _:
            inputs[name] = f"{stem}{digest[:_SUFFIX_CHARACTERS]}"
    if kind.autoname != "copy":
        inputs[RANDOM_NAME] = True


def _hide(inputs: Properties, path: tuple[str, ...]) -> Properties:
    """The inputs with a secret mark at a path, unless there is one on the way already."""
    first, *rest = path
    value: Any = inputs.get(first)
    if value is None or isinstance(value, Secret):
        return inputs
    if rest:
        return inputs | {first: _hide(cast(Properties, value), tuple(rest))} if isinstance(value, dict) else inputs
    return inputs | {first: value if value is UNKNOWN else Secret(value)}


def failures(kind: ResourceType, inputs: Properties) -> list[Failure]:
    """What is wrong with the inputs; nothing is said of values that are not known yet."""
    wanted = inputs_of(kind.token)
    given = {key: value for key, value in bare(inputs).items() if key not in _OWN}
    found = list(_object(given, wanted, ""))
    if "location" in wanted.properties and _needs_location(kind) and "location" not in given:
        fix = "set it, or configure it with 'pulumi config set azure-native:location <value>'"
        found.append(("location", f"missing required property 'location': {fix}"))
    if kind.name_parameter not in given:
        found.append((kind.name_parameter, f"missing required property '{kind.name_parameter}'"))
    return found


def _needs_location(kind: ResourceType) -> bool:
    field = kind.request.fields.get("location")
    return field is not None and field.required


def _object(value: Properties, wanted: ObjectType, place: str) -> Iterator[Failure]:
    for name in sorted(wanted.required - value.keys()):
        yield f"{place}{name}", f"missing required property '{place}{name}'"
    for name, item in value.items():
        one = wanted.properties.get(name)
        if one is None:
            yield f"{place}{name}", f"unknown property '{place}{name}': remove it, or look for a typing error"
        else:
            yield from _value(item, one, f"{place}{name}")


def _value(item: Any, wanted: PropertyType, place: str) -> Iterator[Failure]:
    expected = _PYTHON_TYPES.get(wanted.name)
    if item is UNKNOWN or expected is None:
        return
    is_number_as_boolean = isinstance(item, bool) and bool not in expected
    if not isinstance(item, expected) or is_number_as_boolean:
        yield place, f"'{place}' should be of type '{wanted.name}' but got {_named(item)}"
    elif wanted.name == "object":
        yield from _one_of(cast(Properties, item), wanted, place)
    elif wanted.items is not None and isinstance(item, list):
        for number, one in enumerate(cast(list[Any], item)):
            yield from _value(one, wanted.items, f"{place}[{number}]")
    elif wanted.items is not None:
        for key, one in cast(Properties, item).items():
            yield from _value(one, wanted.items, f"{place}.{key}")


def _one_of(item: Properties, wanted: PropertyType, place: str) -> Iterator[Failure]:
    """Of a union, the object that finds the least wrong speaks."""
    found = [list(_object(item, one, f"{place}.")) for one in wanted.objects()]
    yield from min(found, key=len)


def _named(item: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return next((name for kind, name in names.items() if isinstance(item, kind)), "an object")
