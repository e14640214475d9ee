"""Property values as this provider handles them: with marks of secrets and unknowns, or bare.

The marks themselves, and their form on the wire, are the engine's and are read in `rehearsal.kubernetes.values`.
"""

from collections.abc import Mapping
from typing import Any, cast

from rehearsal.kubernetes.values import UNKNOWN, Properties, Secret, Unknown, from_struct, has_unknown, to_struct

__all__ = ["UNKNOWN", "Properties", "Secret", "Unknown", "bare", "from_struct", "has_unknown", "mark", "to_struct"]


def bare(value: Any) -> Any:
    """A copy without secret marks and without nulls. Unknowns stay."""
    if isinstance(value, Secret):
        return bare(value.value)
    if isinstance(value, Mapping):
        items = cast(Mapping[str, Any], value).items()
        return {key: bare(item) for key, item in items if item is not None}
    if isinstance(value, list):
        return [bare(item) for item in cast(list[Any], value)]
    return value


def mark(outputs: Any, inputs: Any) -> Any:
    """A copy of outputs in which everything is secret that is secret in the inputs, place by place."""
    if isinstance(inputs, Secret):
        return outputs if isinstance(outputs, Secret) else Secret(bare(outputs))
    if isinstance(outputs, dict) and isinstance(inputs, dict):
        given = cast(Properties, inputs)
        return {key: mark(item, given.get(key)) for key, item in cast(Properties, outputs).items()}
    if isinstance(outputs, list) and isinstance(inputs, list):
        # The service may change the order, so that one secret makes the whole list secret.
        items = cast(list[Any], inputs)
        return Secret(bare(outputs)) if _holds_secret(items) else cast(Any, outputs)
    return cast(Any, outputs)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(_holds_secret(item) for item in cast(Properties, value).values())
    return isinstance(value, list) and any(_holds_secret(item) for item in cast(list[Any], value))
