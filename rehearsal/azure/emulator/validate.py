"""A PUT's body against the shape of its type: what ARM and its providers refuse before they look at anything else.

Owns unknown, missing, read-only and wrongly typed fields, enumerations and the models' own create-only fields. Does not
own rules between fields or resources (`kinds`).
"""

from collections.abc import Mapping
from typing import Any, cast

from rehearsal.azure.contract import Field, Kind, Shape, shape
from rehearsal.azure.emulator.errors import ArmError, bad_request

Body = dict[str, Any]

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "map": (dict,),
    "model": (dict,),
}
_UNKNOWN_CODES = {"microsoft.network": "InvalidRequestFormat", "microsoft.containerservice": "UnmarshalError"}


def validate(body: Body, wanted: Shape, stored: Body | None, namespace: str) -> Body:
    """The body without nulls and without read-only fields, ready to be stored.

    Raises:
        ArmError: 400 for the first thing that is wrong.
    """
    return _Validation(_UNKNOWN_CODES.get(namespace.lower(), "InvalidRequestContent")).model(
        body, wanted, stored or {}, "", creating=stored is None
    )


class _Validation:
    def __init__(self, unknown_code: str) -> None:
        self._unknown_code = unknown_code

    def model(self, body: Body, base: Shape, stored: Body, path: str, *, creating: bool) -> Body:
        wanted = base.of(body)
        kept: Body = {}
        for name, value in body.items():
            at = f"{path}.{name}".lstrip(".")
            one = wanted.fields.get(name)
            if one is None:
                raise self._unknown(name, wanted, at)
            if value is None:
                continue
            if one.read_only:
                self._repeat(at, value, stored.get(name))
                continue
            clean = self._value(value, one.kind, stored.get(name), at, creating=creating)
            self._fixed(one, clean, stored, at, creating=creating)
            kept[name] = clean
        for one in wanted.fields.values():
            if one.required and one.name not in kept:
                at = f"{path}.{one.name}".lstrip(".")
                raise bad_request("MissingRequiredProperty", f"The required property '{at}' is missing.", at)
        return kept

    def _unknown(self, name: str, wanted: Shape, at: str) -> ArmError:
        if self._unknown_code == "UnmarshalError":
            return bad_request(self._unknown_code, f'UnmarshalEntity encountered error: unknown field "{name}".', at)
        return bad_request(
            self._unknown_code,
            "The request content was invalid and could not be deserialized: "
            f"'Could not find member '{name}' on object of type '{wanted.name}'. Path '{at}'.'.",
            at,
        )

    @staticmethod
    def _repeat(at: str, value: Any, stored: Any) -> None:
        if value != stored:
            raise bad_request("PropertyReadOnly", f"The property '{at}' is read-only and cannot be set.", at)

    @staticmethod
    def _fixed(one: Field, value: Any, stored: Body, at: str, *, creating: bool) -> None:
        # Locations have an error of their own and are compared by their kind.
        if creating or not one.create_only or one.name == "location":
            return
        if one.name in stored and stored[one.name] != value:
            raise bad_request("PropertyChangeNotAllowed", f"Changing property '{at}' is not allowed.", at)

    def _value(self, value: Any, kind: Kind, stored: Any, at: str, *, creating: bool) -> Any:
        expected = _JSON_TYPES.get(kind.name)
        if expected is None:
            return value
        if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
            raise bad_request(
                "InvalidRequestContent",
                f"The request content was invalid: '{at}' must be of type {kind.name}, not {_name(value)}.",
                at,
            )
        if kind.choices:
            return self._choice(value, kind, at)
        if kind.name == "model":
            return self.model(cast(Body, value), shape(kind.model), _mapping(stored), at, creating=creating)
        if kind.name == "map" and kind.items is not None:
            known = _mapping(stored)
            return {
                key: self._value(item, kind.items, known.get(key), f"{at}.{key}", creating=creating)
                for key, item in cast(Body, value).items()
                if item is not None
            }
        if kind.name == "array" and kind.items is not None:
            return self._items(cast(list[Any], value), kind.items, stored, at, creating=creating)
        return value

    def _items(self, value: list[Any], kind: Kind, stored: Any, at: str, *, creating: bool) -> list[Any]:
        return [
            self._value(item, kind, _same(item, index, stored), f"{at}[{index}]", creating=creating)
            for index, item in enumerate(value)
        ]

    @staticmethod
    def _choice(value: Any, kind: Kind, at: str) -> Any:
        for choice in kind.choices:
            if choice.lower() == str(value).lower():
                return choice
        raise bad_request(
            "InvalidParameter",
            f"The value of parameter '{at}' is invalid. Supported values are: {', '.join(kind.choices)}.",
            at,
        )


def _same(item: Any, index: int, stored: Any) -> Any:
    """The stored item that a new one goes on from: the one of its name, or the one in its place."""
    items = cast(list[Any], stored) if isinstance(stored, list) else []
    name = _mapping(item).get("name")
    if name is not None:
        return next((one for one in items if _mapping(one).get("name") == name), None)
    return items[index] if index < len(items) else None


def _mapping(value: Any) -> Body:
    return cast(Body, value) if isinstance(value, dict) else {}


def _name(value: Any) -> str:
    # bool before int, which it is one of.
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "null")
