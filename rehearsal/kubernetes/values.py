"""Property values as the engine sends them, and as Kubernetes understands them.

Owns the two marks that the engine adds to plain JSON (secrets and unknowns), the numbers of protobuf (all of them
doubles), and the spelling of `x-kubernetes-*` keys in state. Knows nothing of Kubernetes' kinds, except that what a
Secret holds is secret whatever the program says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import json_format, struct_pb2

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's public mark, not a secret
UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

# The only keys with dashes that the typed SDKs know by another name.
_DASHED = {
    f"x-kubernetes-{name}": f"x_kubernetes_{name.replace('-', '_')}"
    for name in (
        "embedded-resource",
        "int-or-string",
        "list-map-keys",
        "list-type",
        "map-type",
        "preserve-unknown-fields",
        "validations",
    )
}
_UNDERSCORED = {underscored: dashed for dashed, underscored in _DASHED.items()}


class Unknown:
    """A value that is known only after the update; there is one, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in state and masks on screen. Its text form never shows the value."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(...)"


Properties = dict[str, Any]


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Read properties; secrets become `Secret`, unknowns `UNKNOWN`, whole numbers `int`.

    Raises:
        ValueError: for assets, archives and resource references, which no Kubernetes object can hold.
    """
    return cast(Properties, _read(json_format.MessageToDict(struct)))


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return _read_map(cast(dict[str, Any], value))
    if isinstance(value, list):
        return [_read(item) for item in cast(list[Any], value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if value == UNKNOWN_MARK else value


def _read_map(value: dict[str, Any]) -> Any:
    signature = value.get(SIGNATURE_KEY)
    if signature is None:
        return {key: _read(item) for key, item in value.items()}
    if signature != SECRET_SIGNATURE:
        raise ValueError("assets, archives and references to resources cannot be part of a Kubernetes object")
    return Secret(_read(value.get("value")))


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write properties for the engine."""
    return json_format.ParseDict(cast(dict[str, Any], _write(properties)), struct_pb2.Struct())


def _write(value: Any) -> Any:
    if isinstance(value, Secret):
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": _write(value.value)}
    if isinstance(value, Unknown):
        return UNKNOWN_MARK
    if isinstance(value, Mapping):
        return {key: _write(item) for key, item in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list):
        return [_write(item) for item in cast(list[Any], value)]
    return value


def _rewrite(value: Any, keys: Mapping[str, str], scalar: Callable[[Any], Any]) -> Any:
    """A copy with other keys; `scalar` is asked for everything that is no map and no list."""
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {keys.get(key, key): _rewrite(item, keys, scalar) for key, item in items}
    if isinstance(value, list):
        return [_rewrite(item, keys, scalar) for item in cast(list[Any], value)]
    return scalar(value)


def plain(properties: Properties) -> Properties:
    """A copy without secret marks and with Kubernetes' own spelling of keys. Unknowns stay."""

    def bare(value: Any) -> Any:
        return _rewrite(value.value, _UNDERSCORED, bare) if isinstance(value, Secret) else value

    return cast(Properties, _rewrite(properties, _UNDERSCORED, bare))


def in_state_spelling(properties: Properties) -> Properties:
    """A copy with the keys of the typed SDKs (`x_kubernetes_...`), as they stand in Pulumi's state."""
    return cast(Properties, _rewrite(properties, _DASHED, lambda value: value))


def has_unknown(value: Any) -> bool:
    """Whether a value is unknown or holds an unknown anywhere."""
    return _any(value, lambda item: isinstance(item, Unknown))


def has_secret(value: Any) -> bool:
    """Whether a value is secret or holds a secret anywhere."""
    return _any(value, lambda item: isinstance(item, Secret))


def _any(value: Any, test: Callable[[Any], bool]) -> bool:
    if test(value):
        return True
    if isinstance(value, Secret):
        return _any(value.value, test)
    if isinstance(value, dict):
        return any(_any(item, test) for item in cast(dict[str, Any], value).values())
    return isinstance(value, list) and any(_any(item, test) for item in cast(list[Any], value))


def mark_secrets(outputs: Properties, inputs: Mapping[str, Any]) -> None:
    """Make secret in `outputs`, in place, what is secret in `inputs`, and all that a Kubernetes Secret holds.

    Maps are compared key by key, so that one secret does not hide a whole object; a list with a secret anywhere
    becomes secret as a whole, because its order may change on the way.
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
        return
    for key, given in inputs.items():
        if key not in outputs:
            continue
        found = outputs[key]
        if isinstance(found, dict) and isinstance(given, dict):
            mark_secrets(cast(Properties, found), cast(Properties, given))
        elif not isinstance(found, Secret) and has_secret(given):
            outputs[key] = Secret(found)
