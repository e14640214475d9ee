"""What differs between two versions of a resource's inputs, and what that means.

Owns the detailed diff, the decision between update and replacement, and the way in which a refresh brings changes that
were made in Azure back into the inputs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from rehearsal.azure.provider.translate import API_VERSION, RANDOM_NAME
from rehearsal.azure.provider.values import UNKNOWN, Properties, Secret, bare
from rehearsal.azure.types import ResourceType

_INDEX = re.compile(r"\[\d+\]")


@dataclass
class Change:
    """What differs: `details` maps a property's path to add, delete or update."""

    details: dict[str, str] = field(default_factory=dict[str, str])
    replaces: list[str] = field(default_factory=list[str])
    delete_first: bool = False
    """Whether the old resource has to go first, because the new one has the same name."""


def compare(kind: ResourceType, before: Properties, after: Properties) -> Change:
    """How a program's inputs changed since the last time."""
    change = Change()
    for path, what in _differences(bare(before), bare(after), ""):
        if path in (RANDOM_NAME, API_VERSION) or _same_location(path, before, after):
            continue
        change.details[path] = what
        if _forces_replacement(kind, path):
            change.replaces.append(path)
    # A name that the provider made up is made up anew for the replacement, which can then come first.
    change.delete_first = bool(change.replaces) and not before.get(RANDOM_NAME)
    return change


def _same_location(path: str, before: Properties, after: Properties) -> bool:
    """`West Europe` and `westeurope` are one location."""
    if path != "location":
        return False
    values = [bare(one.get("location")) for one in (before, after)]
    texts = {value.lower().replace(" ", "") for value in values if isinstance(value, str)}
    return all(isinstance(value, str) for value in values) and len(texts) == 1


def _forces_replacement(kind: ResourceType, path: str) -> bool:
    plain = _INDEX.sub("", path)
    return any(plain == one or plain.startswith(f"{one}.") for one in (*kind.parameters, *kind.replaces))


def _differences(before: Any, after: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast(Properties, before), cast(Properties, after)
        for key in [*old, *(key for key in new if key not in old)]:
            path = f"{place}.{key}" if place else key
            yield from _pair(old, new, key, path)
    elif isinstance(before, list) and isinstance(after, list):
        old_items = dict(enumerate(cast(list[Any], before)))
        new_items = dict(enumerate(cast(list[Any], after)))
        for index in range(max(len(old_items), len(new_items))):
            yield from _pair(old_items, new_items, index, f"{place}[{index}]")
    elif before is UNKNOWN or after is UNKNOWN or before != after:
        yield place, "update"


def _pair(old: dict[Any, Any], new: dict[Any, Any], key: Any, path: str) -> Iterator[tuple[str, str]]:
    if key not in old:
        yield path, "add"
    elif key not in new:
        yield path, "delete"
    else:
        yield from _differences(old[key], new[key], path)


def drifted(inputs: Any, before: Any, after: Any) -> Any:
    """The inputs with what changed between two states of Azure, and nothing else: its defaults stay out of them.

    What did not change keeps its form, secret marks included.
    """
    if before == after:
        return inputs
    said: Any = inputs.value if isinstance(inputs, Secret) else inputs
    if isinstance(said, dict) and isinstance(before, dict) and isinstance(after, dict):
        merged = _drifted_map(cast(Properties, said), cast(Properties, before), cast(Properties, after))
    elif isinstance(said, list) and isinstance(before, list) and isinstance(after, list):
        merged = _drifted_list(cast(list[Any], said), cast(list[Any], before), cast(list[Any], after))
    else:
        merged = after
    return Secret(bare(merged)) if isinstance(inputs, Secret) else merged


def _drifted_map(said: Properties, before: Properties, after: Properties) -> Properties:
    result = {key: value for key, value in said.items() if key not in before or key in after}
    for key, value in after.items():
        if key not in before:
            result[key] = value
        elif before[key] != value:
            result[key] = drifted(said[key], before[key], value) if key in said else value
    return result


def _drifted_list(said: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    known = min(len(said), len(before))
    return [drifted(said[i], before[i], value) if i < known else value for i, value in enumerate(after)]
