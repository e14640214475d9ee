"""A stop text never shows, and a tool call is read whole or shown as text."""

import itertools
import json

import pytest
from slm_onnx.answer import AnswerReader, StopFilter, ToolTokens

OPEN, CLOSE, TEXT = 7, 8, 1
TOKENS = ToolTokens(OPEN, CLOSE)
CALL = '[{"name": "area", "arguments": {"radius": 5}}]'


def cut(text: str, stops: list[str], sizes: list[int]) -> str:
    """What a filter lets through of a text that comes in pieces of these sizes, in turn."""
    stop_filter = StopFilter(stops)
    turn, shown, at = itertools.cycle(sizes), "", 0
    while at < len(text):
        size = next(turn)
        shown += stop_filter.feed(text[at : at + size])
        at += size
    return shown + ("" if stop_filter.stopped else stop_filter.finish())


@pytest.mark.parametrize("sizes", [[1], [2], [3, 1], [5], [100]])
@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two", ["twofold"], "one two"),
        ("aaab", ["aab"], "a"),
        ("ababac", ["abac"], "ab"),
        ("STOP", ["STOP"], ""),
        ("😀 end\n\n", ["\n\n"], "😀 end"),
        ("abcd", ["bcx", "c"], "ab"),
        ("nothing", [], "nothing"),
    ],
)
def test_text_ends_before_the_first_stop_text(text: str, stops: list[str], shown: str, sizes: list[int]) -> None:
    assert cut(text, stops, sizes) == shown


def test_what_may_become_a_stop_text_is_held_back() -> None:
    stop_filter = StopFilter(["###"])
    assert [stop_filter.feed(part) for part in ("a#", "#", "b")] == ["a", "", "##b"]


def read(parts: list[tuple[int, str]], functions: set[str], stops: list[str] | None = None) -> tuple[str, AnswerReader]:
    """What a reader shows of these tokens, and the reader."""
    reader = AnswerReader(stops=stops or [], functions=functions, tokens=TOKENS)
    shown = "".join(reader.feed(token, text) for token, text in parts)
    return shown + reader.finish(), reader


@pytest.mark.parametrize("markers", [("", ""), ("<|tool_call|>", "<|/tool_call|>")])
def test_a_tool_call_is_no_text_whether_its_tokens_are_special_or_not(markers: tuple[str, str]) -> None:
    parts = [(OPEN, markers[0]), *((TEXT, character) for character in CALL), (CLOSE, markers[1])]
    shown, reader = read(parts, {"area"})
    assert shown == ""
    (call,) = reader.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("area", {"radius": 5})


def test_text_before_a_tool_call_is_shown() -> None:
    shown, reader = read([(TEXT, "Let me see. "), (OPEN, ""), (TEXT, CALL), (CLOSE, "")], {"area"})
    assert shown == "Let me see. "
    assert len(reader.tool_calls) == 1


def test_several_calls_are_read_in_their_order() -> None:
    calls = json.dumps([{"name": "area", "arguments": {"radius": n}} for n in (1, 2)])
    _, reader = read([(OPEN, ""), (TEXT, calls), (CLOSE, "")], {"area"})
    assert [json.loads(call.arguments)["radius"] for call in reader.tool_calls] == [1, 2]


def test_a_call_that_is_not_closed_counts_if_it_is_whole() -> None:
    _, reader = read([(OPEN, ""), (TEXT, CALL)], {"area"})
    assert len(reader.tool_calls) == 1


@pytest.mark.parametrize(
    "text",
    [
        CALL[:-4],
        "no JSON",
        "[]",
        "[1]",
        '{"name": ["area"], "arguments": {}}',
        '[{"name": "other", "arguments": {}}]',
        '[{"name": "area", "arguments": [5]}]',
        CALL[:-1] + ", 5]",
    ],
)
def test_what_is_no_call_of_an_offered_function_is_text(text: str) -> None:
    shown, reader = read([(OPEN, ""), (TEXT, text), (CLOSE, "")], {"area"})
    assert (shown, reader.tool_calls) == (text, [])


def test_without_tools_on_offer_everything_is_text() -> None:
    shown, reader = read([(OPEN, "<|tool_call|>"), (TEXT, CALL), (CLOSE, "<|/tool_call|>")], set())
    assert (shown, reader.tool_calls) == (CALL, [])
