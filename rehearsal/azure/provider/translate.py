"""Between azure-native's properties and ARM's bodies.

azure-native lifts everything in a body's `properties` to the top, in nested objects too, and writes maps whose values
say nothing (user-assigned identities) as lists of their keys. Owns both directions and what can be said in a preview.
"""

from collections.abc import Mapping
from typing import Any, cast

from rehearsal.azure.contract import Field, Kind, Shape, shape
from rehearsal.azure.provider.schema import ObjectType, PropertyType, inputs_of, outputs_of
from rehearsal.azure.provider.values import UNKNOWN, Properties, bare
from rehearsal.azure.types import ResourceType

RANDOM_NAME = "__createBeforeDelete"
"""The mark that the real provider leaves in inputs whose name it made up, so that a replacement can come first."""
API_VERSION = "azureApiVersion"
_INNER = "properties"
_RENAMED = {"expires": "exp", "notBefore": "nbf", "iPAddressOrRange": "value"}
"""The properties that azure-native names otherwise than the wire does; dashes are a rule (`wire_name`)."""
_SDK_NAMES = {wire: name for name, wire in _RENAMED.items()}


# --- inputs to bodies -------------------------------------------------------------------------------------------------


def to_body(kind: ResourceType, inputs: Properties) -> Properties:
    """The body of a PUT. Inputs are bare and known."""
    own = {RANDOM_NAME, API_VERSION, *kind.parameters}
    return _to_model({key: value for key, value in inputs.items() if key not in own}, kind.request)


def _to_model(value: Properties, base: Shape) -> Properties:
    wanted = base.of(value)
    body: Properties = {}
    for name, item in value.items():
        container, one = place(wanted, name)
        if one is None:
            body[name] = item  # ARM says what it thinks of it
        elif container:
            body.setdefault(container, {})[one.name] = _to_wire(item, one.kind)
        else:
            body[one.name] = _merge(body.get(one.name), _to_wire(item, one.kind))
    return body


def _merge(before: Any, value: Any) -> Any:
    """`properties` may be made piece by piece and given as well."""
    if isinstance(before, dict) and isinstance(value, dict):
        return cast(Properties, before) | cast(Properties, value)
    return value


def place(wanted: Shape, name: str) -> tuple[str, Field | None]:
    """Where a property stands in a body: the container (or none) and the field."""
    direct = _field(wanted, name)
    inner = wanted.fields.get(_INNER)
    nested = _field(shape(inner.kind.model), name) if inner is not None and inner.kind.model is not None else None
    if nested is not None and (direct is None or direct.read_only):
        return _INNER, nested
    return "", direct


def _field(wanted: Shape, name: str) -> Field | None:
    """The field of a property: of its own name, of the name that azure-native changed, or of one with dashes."""
    for wire in (name, _RENAMED.get(name, name), _dashed(name)):
        if (found := wanted.fields.get(wire)) is not None:
            return found
    return None


def _dashed(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


def _sdk_name(wire: str, wanted: ObjectType) -> str:
    """A field's name in the SDK, the opposite of `_field`."""
    if wire in wanted.properties:
        return wire
    first, *rest = wire.split("-")
    camel = first + "".join(word.capitalize() for word in rest)
    return camel if rest else _SDK_NAMES.get(wire, wire)


def _to_wire(value: Any, kind: Kind) -> Any:
    if kind.name == "model" and isinstance(value, dict):
        return _to_model(cast(Properties, value), shape(kind.model))
    if kind.name == "map" and kind.items is not None:
        if isinstance(value, list):
            return {str(key): dict[str, Any]() for key in cast(list[Any], value)}
        if isinstance(value, dict):
            return {key: _to_wire(item, kind.items) for key, item in cast(Properties, value).items()}
    if kind.name == "array" and kind.items is not None and isinstance(value, list):
        return [_to_wire(item, kind.items) for item in cast(list[Any], value)]
    return value


# --- bodies to outputs ------------------------------------------------------------------------------------------------


def to_outputs(kind: ResourceType, body: Properties) -> Properties:
    """What a program sees of a body."""
    return _flat(body, outputs_of(kind.token)) | {API_VERSION: kind.api_version}


def _flat(body: Properties, wanted: ObjectType) -> Properties:
    found = dict(body)
    inner = found.get(_INNER)
    if _INNER not in wanted.properties and isinstance(inner, dict):
        del found[_INNER]
        found = cast(Properties, inner) | found
    named = {_sdk_name(key, wanted): value for key, value in found.items()}
    return {key: _to_output(value, wanted.properties[key]) for key, value in named.items() if key in wanted.properties}


def _to_output(value: Any, wanted: PropertyType) -> Any:
    if wanted.name == "object" and isinstance(value, dict):
        return _flat(cast(Properties, value), wanted.objects()[0] if len(wanted.classes) == 1 else _best(value, wanted))
    if wanted.items is not None and isinstance(value, list):
        return [_to_output(item, wanted.items) for item in cast(list[Any], value)]
    if wanted.items is not None and isinstance(value, dict):
        return {key: _to_output(item, wanted.items) for key, item in cast(Properties, value).items()}
    return value


def _best(value: Any, wanted: PropertyType) -> ObjectType:
    """Of a union, the object that has the most of a value's properties."""
    keys = set(cast(Properties, value))
    return max(wanted.objects(), key=lambda one: len(keys & one.properties.keys()))


def preview(kind: ResourceType, inputs: Properties) -> Properties:
    """What is known of the outputs before ARM was asked: what the program says, and nothing else."""
    known = _preview(inputs, outputs_of(kind.token))
    return known | {API_VERSION: kind.api_version}


def _preview(inputs: Properties, wanted: ObjectType) -> Properties:
    return {
        key: _preview_value(inputs[key], one) if key in inputs else UNKNOWN for key, one in wanted.properties.items()
    }


def _preview_value(value: Any, wanted: PropertyType) -> Any:
    if wanted.name == "object" and len(wanted.classes) == 1 and isinstance(value, dict):
        return _preview(cast(Properties, value), wanted.objects()[0])
    if wanted.name == "map" and isinstance(value, list):
        return UNKNOWN  # identities: their ids come with what Entra knows of them
    return value


# --- outputs to inputs ------------------------------------------------------------------------------------------------


def to_inputs(kind: ResourceType, outputs: Mapping[str, Any]) -> Properties:
    """What a program would have to say to get these outputs: all that is not read-only."""
    wanted = inputs_of(kind.token)
    found = _project(bare(outputs), wanted)
    return {key: value for key, value in found.items() if key not in (*kind.parameters, API_VERSION)}


def _project(outputs: Properties, wanted: ObjectType) -> Properties:
    return {
        key: _project_value(value, wanted.properties[key])
        for key, value in outputs.items()
        if key in wanted.properties and value is not None
    }


def _project_value(value: Any, wanted: PropertyType) -> Any:
    if wanted.name == "object" and isinstance(value, dict):
        return _project(cast(Properties, value), _best(value, wanted))
    if wanted.name == "array" and isinstance(value, dict):
        return sorted(cast(Properties, value))
    if wanted.items is not None and isinstance(value, list):
        return [_project_value(item, wanted.items) for item in cast(list[Any], value)]
    if wanted.items is not None and isinstance(value, dict):
        return {key: _project_value(item, wanted.items) for key, item in cast(Properties, value).items()}
    return value


# --- ids --------------------------------------------------------------------------------------------------------------


def to_id(kind: ResourceType, subscription: str, inputs: Properties) -> str:
    """A resource's id from the inputs that are in its path."""
    path = kind.path.replace("{subscriptionId}", subscription)
    for name in kind.parameters:
        path = path.replace(f"{{{name}}}", str(inputs[name]).strip("/"))
    return path


def from_id(kind: ResourceType, resource: str) -> Properties:
    """The inputs that are in a resource's id.

    Raises:
        ValueError: if it is not an id of this type.
    """
    if kind.path.startswith("/{scope}"):
        scope, _, name = resource.rpartition("/providers/Microsoft.Authorization/roleAssignments/")
        if not scope or not name:
            raise ValueError(f"{resource} is not the id of a {kind.token}: it has the form {kind.path}")
        return {"scope": scope, "roleAssignmentName": name}
    wanted, given = kind.path.split("/"), resource.split("/")
    fixed = [(one, other) for one, other in zip(wanted, given, strict=False) if not one.startswith("{")]
    if len(wanted) != len(given) or any(one.lower() != other.lower() for one, other in fixed):
        raise ValueError(f"{resource} is not the id of a {kind.token}: it has the form {kind.path}")
    found = {one[1:-1]: other for one, other in zip(wanted, given, strict=True) if one.startswith("{")}
    return {name: found[name] for name in kind.parameters}
