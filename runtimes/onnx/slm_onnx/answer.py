"""What a caller may see of the tokens that a model makes: text up to a stop text, and tool calls apart from it.

Pure: knows neither the model nor the wire. Reads Phi-4-mini's form of a tool call,
`<|tool_call|>[{"name": ..., "arguments": {...}}]<|/tool_call|>`.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

TOOL_CALL_OPEN = "<|tool_call|>"
TOOL_CALL_CLOSE = "<|/tool_call|>"


@dataclass(frozen=True)
class ToolCall:
    """A function that the model asks the caller to run; `arguments` is JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class ToolTokens:
    """The tokens around a tool call; -1 where the model has none."""

    open: int
    close: int


class StopFilter:
    """Passes text on up to the first of the stop texts; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The text that is certain not to be part of a stop text."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        held = self._held + text
        found = [at for stop in self._stops if (at := held.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return held[: min(found)]
        keep = max(_overlap(held, stop) for stop in self._stops)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held


class AnswerReader:
    """Reads one answer token by token. `functions` are the names that the caller offered as tools."""

    def __init__(self, *, stops: Sequence[str], functions: Collection[str], tokens: ToolTokens) -> None:
        self._filter = StopFilter(stops)
        self._functions = functions
        self._tokens = tokens
        self._call: list[str] | None = None
        self.tool_calls: list[ToolCall] = []

    @property
    def stopped(self) -> bool:
        """Whether a stop text came up: nothing after it is read."""
        return self._filter.stopped

    def feed(self, token: int, text: str) -> str:
        """The text that this token lets the caller see."""
        if token == self._tokens.open:
            # Without tools on offer a call means nothing to the caller: what is inside is text like any other.
            shown = self._end_call()
            self._call = [] if self._functions else None
            return shown
        if token == self._tokens.close:
            return self._end_call()
        if self._call is not None:
            self._call.append(text)
            return ""
        return self._filter.feed(text)

    def finish(self) -> str:
        """The rest of the text, once no more tokens come; a call that was not closed counts if it is whole."""
        return self._end_call() + self._filter.finish()

    def _end_call(self) -> str:
        if self._call is None:
            return ""
        text, self._call = "".join(self._call), None
        calls = parse_tool_calls(text, self._functions)
        if calls is None:
            return self._filter.feed(text)
        self.tool_calls += calls
        return ""


def parse_tool_calls(text: str, functions: Collection[str]) -> list[ToolCall] | None:
    """The calls in the text between the tool call's tokens; None if it is not a list of calls of these functions."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    entries = cast(list[Any], found if isinstance(found, list) else [found])
    calls = [_tool_call(entry, functions) for entry in entries]
    whole = [call for call in calls if call is not None]
    return whole if whole and len(whole) == len(calls) else None


def _tool_call(entry: Any, functions: Collection[str]) -> ToolCall | None:
    if not isinstance(entry, dict):
        return None
    fields = cast(dict[str, Any], entry)
    name = fields.get("name")
    arguments = fields.get("arguments", fields.get("parameters", {}))
    if not isinstance(name, str) or name not in functions or not isinstance(arguments, dict):
        return None
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
