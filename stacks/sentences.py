"""What is wrong with a stack file, in sentences: where, the cause and the fix.

Owns the words for what pydantic finds by itself. Does not own the rules between fields, which bring their own sentence
(`stacks.settings`).
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

_TAGGED = {"servers": 2, "cluster": 1}
"""How deep pydantic puts the kind that a section was read as, which is no key of the file."""


def sentences(error: ValidationError, keys: Collection[str]) -> Iterator[str]:
    """One for each thing that is wrong; `keys` are all that a stack file knows."""
    for problem in error.errors(include_url=False):
        yield f"{_place(problem)}: {_cause(problem, keys)}"


def _place(problem: Mapping[str, Any]) -> str:
    """The path of keys as the file has them."""
    steps = list(problem["loc"])
    depth = _TAGGED.get(str(steps[0])) if steps else None
    if depth is not None and len(steps) > depth:
        del steps[depth]
    if problem["type"].startswith("union_tag"):
        steps.append(_discriminator(problem))
    return ".".join(str(step) for step in steps if step != "[key]") or "slm:settings"


def _cause(problem: Mapping[str, Any], keys: Collection[str]) -> str:
    message, limits = str(problem["msg"]), problem.get("ctx", {})
    given = _shown(problem.get("input"))
    match problem["type"]:
        case "extra_forbidden":
            return _unknown_key(str(problem["loc"][-1]), keys)
        case "missing" | "union_tag_not_found":
            return "this key is missing: add it"
        case "value_error":
            return message.removeprefix("Value error, ")
        case "greater_than_equal":
            return f"{given} is too small: use at least {limits['ge']}"
        case "greater_than":
            return f"{given} is too small: use more than {limits['gt']}"
        case "less_than_equal":
            return f"{given} is too large: use at most {limits['le']}"
        case "literal_error":
            return f"{given} is none of the choices: use {limits['expected']}"
        case "union_tag_invalid":
            return f"`{limits['tag']}` is none of the choices: use one of {limits['expected_tags']}"
        case "too_short":
            return "at least one entry is needed here: add one"
        case kind:
            return f"{given} is of the wrong kind: write {_wanted(kind)}"


def _wanted(kind: str) -> str:
    """What a type error asks for."""
    words = {
        "int": "a whole number, without quotes",
        "float": "a number, without quotes",
        "bool": "true or false, without quotes",
        "string": "text, in quotes if it looks like a number",
        "tuple": "a list, such as [a, b]",
    }
    return words.get(kind.partition("_")[0], "keys with values, indented below this one")


def _shown(given: object) -> str:
    """What the file has, as long as it is short."""
    match given:
        case None:
            return "nothing"
        case bool():
            return str(given).lower()
        case str() | int() | float():
            return f"`{given}`"
        case _:
            return "what is here"


def _discriminator(problem: Mapping[str, Any]) -> str:
    return str(problem["ctx"]["discriminator"]).strip("'")


def _unknown_key(key: str, keys: Collection[str]) -> str:
    if key in keys:
        return "this key belongs to another kind of section: remove it here"
    close = difflib.get_close_matches(key, keys, n=1)
    return f"there is no such key{f'; did you mean `{close[0]}`?' if close else ': remove it'}"
