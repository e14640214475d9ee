"""The shape of ARM's bodies, read from Microsoft's own azure-mgmt models.

Owns the reading of both generations of these models (`rest_field` and `_attribute_map`) into one small description:
which fields there are, of which type, which are required, read-only, write-only or settable at creation only. Does not
own any service's rules beyond that; those are in the emulator's kinds.
"""

import importlib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

_SCALARS: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
_OLD_SCALARS = {"str": "string", "bool": "boolean", "int": "integer", "float": "number", "object": "any"}


@dataclass(frozen=True)
class Kind:
    """The type of a value: `name` is string, integer, number, boolean, array, map, model or any."""

    name: str
    choices: tuple[str, ...] = ()
    """The values of an enumeration, as the service spells them."""
    items: "Kind | None" = None
    """The type of an array's items or of a map's values."""
    model: Any = None
    """The model's class, to be read with `shape`; a `Shape` for containers that have no class."""


@dataclass(frozen=True)
class Field:
    """One field of a body, under its wire name."""

    name: str
    kind: Kind
    required: bool = False
    read_only: bool = False
    create_only: bool = False
    write_only: bool = False


@dataclass(frozen=True)
class Shape:
    """The fields of a body or of a part of one."""

    name: str
    fields: Mapping[str, Field]
    discriminator: str = ""
    """The field that says which of `variants` a value is."""
    variants: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def of(self, value: Mapping[str, Any]) -> "Shape":
        """The variant that a value is, or this shape where it has none."""
        chosen = self.variants.get(str(value.get(self.discriminator, "")))
        return self if chosen is None else shape(chosen)


def model(path: str) -> Any:
    """The class at `module:Name`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def shape(of: Any) -> Shape:
    """The shape of a model's class; a `Shape` is its own."""
    return of if isinstance(of, Shape) else _class_shape(of)


@cache
def _class_shape(of: Any) -> Shape:
    if hasattr(of, "_attribute_map"):
        return _old_shape(of)
    hints = _hints(of)
    found: dict[str, Field] = {}
    discriminator = ""
    for cls in reversed(of.__mro__):
        for name, rest in _attributes(cls):
            if type(rest).__name__ == "_RestField":
                one = _field(name, rest, hints[name])
                found[one.name] = one
                # A variant fixes its own discriminator to one value; only the base chooses by it.
                if rest._is_discriminator and cls is of and of.__mapping__:
                    discriminator = one.name
    variants = cast(dict[str, Any], of.__mapping__) if discriminator else {}
    return Shape(of.__name__, found, discriminator, variants)


def _hints(of: Any) -> dict[str, Any]:
    # The generated modules import their own package for type checkers alone.
    models = importlib.import_module(of.__module__.rsplit(".", 1)[0])
    return get_type_hints(of, localns={"_models": models})


def _field(attribute: str, rest: Any, annotation: Any) -> Field:
    visibility: list[str] = rest._visibility or ["read", "create", "update"]
    writable = "create" in visibility or "update" in visibility
    return Field(
        name=rest._rest_name_input or attribute,
        # A time is text on the wire, except where the model says that it is a number of seconds.
        kind=Kind("integer") if rest._format == "unix-timestamp" else _kind(annotation),
        required=writable and type(None) not in get_args(annotation),
        read_only=not writable,
        create_only=writable and "update" not in visibility,
        write_only="read" not in visibility,
    )


def _kind(annotation: Any) -> Kind:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        options = [option for option in arguments if option is not type(None)]
        enums = [option for option in options if isinstance(option, type) and issubclass(option, Enum)]
        return _kind((enums or options)[0])
    if origin is list:
        return Kind("array", items=_kind(arguments[0]))
    if origin is dict:
        return Kind("map", items=_kind(arguments[1]))
    if origin is Literal:
        return Kind("string", choices=tuple(str(getattr(value, "value", value)) for value in arguments))
    if annotation is Any or annotation is object:
        return Kind("any")
    return _class_kind(annotation)


def _class_kind(annotation: Any) -> Kind:
    if annotation in _SCALARS:
        return Kind(_SCALARS[annotation])
    if issubclass(annotation, Enum):
        return Kind("string", choices=tuple(str(choice.value) for choice in annotation))
    if hasattr(annotation, "_attr_to_rest_field") or hasattr(annotation, "__mapping__") or _has_fields(annotation):
        return Kind("model", model=annotation)
    return Kind("string")  # dates, durations and bytes are strings on the wire


def _has_fields(annotation: Any) -> bool:
    return any(type(value).__name__ == "_RestField" for cls in annotation.__mro__ for _, value in _attributes(cls))


def _attributes(cls: Any) -> list[tuple[str, Any]]:
    return list(cast(dict[str, Any], vars(cls)).items())


# --- the older generation: names with dots stand for containers that have no class of their own ---


def _old_shape(of: Any) -> Shape:
    attributes = cast(dict[str, dict[str, str]], of._attribute_map)
    rules = cast(dict[str, dict[str, Any]], of._validation)
    top: dict[str, Field] = {}
    inner: dict[str, dict[str, Field]] = {}
    for attribute, entry in attributes.items():
        container, _, name = entry["key"].rpartition(".")
        rule = rules.get(attribute, {})
        one = Field(
            name=name,
            kind=_old_kind(of, entry["type"]),
            required=bool(rule.get("required")) and not rule.get("readonly"),
            read_only=bool(rule.get("readonly")),
        )
        (inner.setdefault(container, {}) if container else top)[name] = one
    for container, fields in inner.items():
        kind = Kind("model", model=Shape(f"{of.__name__}.{container}", fields))
        required = any(one.required for one in fields.values())
        top[container] = Field(name=container, kind=kind, required=required)
    return Shape(of.__name__, top)


def _old_kind(of: Any, name: str) -> Kind:
    if name.startswith("["):
        return Kind("array", items=_old_kind(of, name[1:-1]))
    if name.startswith("{"):
        return Kind("map", items=_old_kind(of, name[1:-1]))
    found = getattr(importlib.import_module(of.__module__.rsplit(".", 1)[0]), name, None)
    if found is not None and hasattr(found, "_attribute_map"):
        return Kind("model", model=found)
    return Kind(_OLD_SCALARS.get(name, "string"))
