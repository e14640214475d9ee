"""`/v1/chat/completions` answers as OpenAI's API does, and rightly."""

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.runtimes.conftest import NAME, PROMPTS, Running, streamed, text_of, user

PLAIN = [prompt for prompt in PROMPTS["prompts"] if "tool" not in prompt]
(CIRCLE,) = (prompt for prompt in PROMPTS["prompts"] if "tool" in prompt)
LONG = next(prompt for prompt in PLAIN if prompt["id"] == "train")
HELLO: dict[str, Any] = {"model": NAME, "messages": user("Hello"), "temperature": 0}


def messages(prompt: dict[str, Any]) -> list[dict[str, str]]:
    system = [{"role": "system", "content": prompt["system"]}] if "system" in prompt else []
    return [*system, *user(prompt["prompt"])]


def chat(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    return client.post("/v1/chat/completions", json=body).raise_for_status().json()


def error(response: httpx.Response) -> dict[str, Any]:
    found = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["message"]
    return found


@pytest.mark.parametrize("prompt", PLAIN, ids=lambda prompt: prompt["id"])
def test_the_guides_prompts_are_answered_rightly(client: httpx.Client, prompt: dict[str, Any]) -> None:
    answer = chat(client, {"model": NAME, "messages": messages(prompt), "temperature": 0})
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == prompt["fixture_answer"]
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("temperature", [0, 1.9])
@pytest.mark.parametrize("prompt", [PLAIN[0], PLAIN[1]], ids=lambda prompt: prompt["id"])
def test_a_streamed_answer_is_the_whole_one(client: httpx.Client, prompt: dict[str, Any], temperature: float) -> None:
    body = {"model": NAME, "messages": messages(prompt), "temperature": temperature, "seed": 11, "max_tokens": 150}
    whole = chat(client, body)
    chunks = streamed(client, body | {"stream_options": {"include_usage": True}})
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]


def test_chunks_are_in_openais_order_and_shape(client: httpx.Client) -> None:
    chunks = streamed(client, HELLO | {"max_tokens": 3})
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    for chunk in chunks:
        assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", NAME)
        assert "usage" not in chunk


def test_usage_is_null_until_the_last_chunk(client: httpx.Client) -> None:
    chunks = streamed(client, HELLO | {"max_tokens": 3, "stream_options": {"include_usage": True}})
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


@pytest.mark.parametrize("stream", [False, True])
def test_openais_own_client_reads_answers_and_tool_calls(server: Running, stream: bool) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused") as openai:
        ask: Any = openai.chat.completions.create
        question: dict[str, Any] = {
            "model": NAME,
            "messages": user(CIRCLE["prompt"]),
            "tools": [CIRCLE["tool"]],
            "temperature": 0,
        }
        if stream:
            deltas: list[Any] = [chunk.choices[0].delta for chunk in ask(**question, stream=True)]
            (calls,) = (delta.tool_calls for delta in deltas if delta.tool_calls)
        else:
            choice = ask(**question).choices[0]
            assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
            calls = choice.message.tool_calls
        call: Any = calls.pop()
        assert not calls
        assert call.id.startswith("call_")
        assert (call.function.name, json.loads(call.function.arguments)) == ("calculate_circle_area", {"radius": 5})


def test_a_tools_result_is_answered(client: httpx.Client) -> None:
    question = user(CIRCLE["prompt"])
    body: dict[str, Any] = {"messages": question, "tools": [CIRCLE["tool"]], "temperature": 0}
    asked = chat(client, body)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": "78.54"}
    answer = chat(client, body | {"messages": [*question, asked, result]})["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert answer["message"]["content"] == CIRCLE["fixture_tool_result_answer"]


def test_a_streamed_tool_call_comes_whole_before_the_end(client: httpx.Client) -> None:
    chunks = streamed(client, {"messages": user(CIRCLE["prompt"]), "tools": [CIRCLE["tool"]], "temperature": 0})
    assert text_of(chunks) == ""
    assert [call["index"] for call in chunks[-2]["choices"][0]["delta"]["tool_calls"]] == [0]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_tools_that_may_not_be_used_are_not_offered(client: httpx.Client) -> None:
    body = {"messages": user(CIRCLE["prompt"]), "tools": [CIRCLE["tool"]], "tool_choice": "none", "temperature": 0}
    assert chat(client, body)["choices"][0]["message"]["content"] == CIRCLE["fixture_answer"]


@pytest.mark.parametrize("stop", ["100", ["never said", "100"], ["km/h. The"]])
def test_a_stop_text_never_shows(client: httpx.Client, stop: str | list[str]) -> None:
    body = {"messages": messages(LONG), "temperature": 0, "stop": stop}
    whole, chunks = chat(client, body)["choices"][0], streamed(client, body)
    found = LONG["fixture_answer"].index(stop if isinstance(stop, str) else stop[-1])
    assert whole["message"]["content"] == LONG["fixture_answer"][:found]
    assert text_of(chunks) == whole["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"] == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_has_no_more_tokens_than_asked_for(client: httpx.Client, field: str) -> None:
    answer = chat(client, {"messages": messages(LONG), "temperature": 0, field: 5})
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"
    assert LONG["fixture_answer"].startswith(answer["choices"][0]["message"]["content"])


def test_a_seed_makes_a_wild_answer_again(client: httpx.Client) -> None:
    texts = [
        chat(client, HELLO | {"temperature": 2, "seed": seed, "max_tokens": 30})["choices"][0]["message"]["content"]
        for seed in (5, 5, 6, 7, 8)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_content_may_come_in_parts(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": text} for text in (LONG["prompt"][:20], LONG["prompt"][20:])]
    body = {"messages": [{"role": "user", "content": parts}], "temperature": 0}
    assert chat(client, body)["choices"][0]["message"]["content"] == LONG["fixture_answer"]


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    refused = client.post("/v1/chat/completions", json=HELLO | {"model": "gpt-unknown"})
    assert refused.status_code == 404
    assert (error(refused)["code"], error(refused)["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "poet", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user"}]}, "messages.0.user.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, None),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop.0"),
        ({"seed": "lucky"}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, None),
        ({"n": 2}, None),
        ({"logprobs": True}, None),
        ({"tool_choice": "required"}, None),
        ({"response_format": {"type": "json_object"}}, None),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, wrong: dict[str, Any], param: str | None) -> None:
    refused = client.post("/v1/chat/completions", json=HELLO | wrong)
    assert refused.status_code == 422
    assert error(refused)["type"] == "invalid_request_error"
    if param is not None:
        assert error(refused)["param"] == param
    else:
        assert str(next(iter(wrong))) in str(error(refused))


@pytest.mark.parametrize("content", [b"", b"{bad", b"[1", b"\xff\xfe", b'{"messages": ' + b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(client: httpx.Client, content: bytes) -> None:
    refused = client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422)
    assert error(refused)["type"] == "invalid_request_error"


@pytest.mark.parametrize(("route", "field"), [("/v1/chat/completions", "messages"), ("/reasoning", "prompt")])
def test_a_prompt_that_is_too_long_is_refused_with_the_numbers(client: httpx.Client, route: str, field: str) -> None:
    text = "0 " * 5000
    refused = client.post(route, json={"messages": user(text)} if field == "messages" else {"prompt": text})
    assert refused.status_code == 400
    found = error(refused)
    assert (found["code"], found["param"]) == ("context_length_exceeded", field)
    assert "4096" in found["message"]


def test_half_a_surrogate_pair_is_answered(client: httpx.Client) -> None:
    content = b'{"messages": [{"role": "user", "content": "Hi \\ud800"}], "temperature": 0, "max_tokens": 3}'
    answer = client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200
