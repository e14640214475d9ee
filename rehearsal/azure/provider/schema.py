"""azure-native's own view of its resources: the names and types of inputs and outputs, read from the Python SDK.

Owns the reading. The SDK keeps its types in private corners (`pulumi._types`), which is why this module is the only one
that looks there.
"""

import importlib
import inspect
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin

# The SDK loads its modules when an attribute is first asked for, and hands out half-loaded ones to a second thread.
_reading = threading.RLock()
_types: Any = importlib.import_module("pulumi._types")
_SCALARS: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True)
class PropertyType:
    """The type of a property: `name` is string, integer, number, boolean, array, map, object or any."""

    name: str
    items: "PropertyType | None" = None
    """Of an array's items or a map's values."""
    classes: tuple[Any, ...] = ()
    """The SDK's classes of an object; more than one for a union."""

    def objects(self) -> list["ObjectType"]:
        """What an object may be."""
        return [object_type(one) for one in self.classes]


@dataclass(frozen=True)
class ObjectType:
    """The properties of an object, under the names that the engine sees."""

    properties: Mapping[str, PropertyType] = field(default_factory=dict[str, PropertyType])
    required: frozenset[str] = frozenset()


def inputs_of(token: str) -> ObjectType:
    """What a program can set of a resource type."""
    with _reading:
        return _inputs_of(token)


@cache
def _inputs_of(token: str) -> ObjectType:
    module, name = _module(token)
    # Where `SubnetArgs` is the type of a property, the resource's own arguments are `SubnetInitArgs`.
    return object_type(getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args"))


def outputs_of(token: str) -> ObjectType:
    """What a program can read of a resource type."""
    with _reading:
        return _outputs_of(token)


@cache
def _outputs_of(token: str) -> ObjectType:
    module, name = _module(token)
    hints: dict[str, Any] = _types.resource_types(getattr(module, name))
    return ObjectType({key: _property(hint) for key, hint in hints.items()})


def _module(token: str) -> tuple[Any, str]:
    _, module, name = token.split(":")
    return importlib.import_module(f"pulumi_azure_native.{module}"), name


def object_type(of: Any) -> ObjectType:
    """The properties of one of the SDK's input or output classes."""
    with _reading:
        return _object_type(of)


@cache
def _object_type(of: Any) -> ObjectType:
    if _types.is_output_type(of):
        hints: dict[str, Any] = _types.output_type_types(of)
        return ObjectType({key: _property(hint) for key, hint in hints.items()})
    names: dict[str, str] = _types.input_type_py_to_pulumi_names(of)
    hints = _types.input_type_types(of)
    parameters = inspect.signature(of.__init__).parameters
    required = {
        names[name]
        for name, parameter in parameters.items()
        if name in names and parameter.default is inspect.Parameter.empty
    }
    return ObjectType({key: _property(hint) for key, hint in hints.items()}, frozenset(required))


def _property(hint: Any) -> PropertyType:
    options = _options(hint)
    classes = tuple(one for one in options if _is_object(one))
    if classes:
        return PropertyType("object", classes=classes)
    for one in options:
        origin, arguments = get_origin(one), get_args(one)
        if origin in (list, Sequence):
            return PropertyType("array", items=_property(arguments[0]))
        if origin in (dict, Mapping):
            return PropertyType("map", items=_property(arguments[1]))
    scalars = [one for one in options if one in _SCALARS]
    if scalars:
        return PropertyType(_SCALARS[scalars[0]])
    enums = [one for one in options if isinstance(one, type) and issubclass(one, Enum)]
    return PropertyType("string") if enums else PropertyType("any")


def _options(hint: Any) -> list[Any]:
    """What a type may be, without `None`, `Awaitable` and `Output`."""
    module: str = getattr(get_origin(hint) or hint, "__module__", "")
    if hint is type(None) or module.startswith("pulumi.") or "Awaitable" in str(get_origin(hint) or hint):
        return []
    if get_origin(hint) in (list, dict, Sequence, Mapping) or not get_args(hint):
        return [hint]
    return [option for one in get_args(hint) for option in _options(one)]


def _is_object(one: Any) -> bool:
    return isinstance(one, type) and (_types.is_input_type(one) or _types.is_output_type(one))
