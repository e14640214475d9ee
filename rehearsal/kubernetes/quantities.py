"""Kubernetes' quantities in the one form in which the API server writes them back.

`1000m` comes back as `1` and `0.5Gi` as `512Mi`. Written otherwise in a program, such a value would look changed at
every preview; so inputs are brought to the server's form first. Knows only the fields that the built-in kinds have.
"""

import re
from decimal import Decimal
from typing import Any, cast

_NUMBER = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_MAPS = frozenset({"limits", "requests", "hard", "capacity", "podFixed"})
_SINGLE = frozenset({"sizeLimit", "averageValue", "divisor"})
_FREE_TEXT = frozenset({"data", "binaryData", "stringData", "annotations", "labels", "matchLabels", "nodeSelector"})


def canonical(text: str) -> str:
    """The server's form of a quantity; anything that is not one (or has an exponent) is returned as it is."""
    match = _NUMBER.match(text)
    if match is None:
        return text
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY[1:]:
        return _binary(number * 1024 ** _BINARY.index(suffix))
    return _decimal(number.scaleb(_DECIMAL[suffix]))


def _decimal(value: Decimal) -> str:
    for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value() and (scaled != 0 or power == 0):
            return f"{int(scaled)}{suffix}"
    return str(value)


def _binary(value: Decimal) -> str:
    if value != value.to_integral_value() or abs(value) < 1024:
        return _decimal(value)
    index = max(power for power in range(len(_BINARY)) if value % 1024**power == 0)
    return f"{int(value / 1024**index)}{_BINARY[index]}"


def with_canonical_quantities(value: Any) -> Any:
    """A copy of a built-in object with its resource requests, limits, sizes and quotas in the server's form."""
    if isinstance(value, list):
        return [with_canonical_quantities(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    return {key: _field(key, item) for key, item in cast(dict[str, Any], value).items()}


def _field(key: str, value: Any) -> Any:
    if key in _MAPS and isinstance(value, dict):
        amounts = cast(dict[str, Any], value)
        return {name: _amount(amount) for name, amount in amounts.items()}
    if key in _SINGLE:
        return _amount(value)
    if key in _FREE_TEXT:
        return value
    return with_canonical_quantities(value)


def _amount(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return canonical(str(value))
    return canonical(value) if isinstance(value, str) else with_canonical_quantities(value)
