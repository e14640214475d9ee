"""The model's answers are right, by value; streamed and whole answers are the same; OpenAI's own client reads them."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import DefaultHttpxClient, OpenAI

from tests.endpoints.conftest import Stack

PROMPTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "rehearsal" / "fixture" / "prompts.json").read_text()
)["prompts"]
ONNX = [prompt for prompt in PROMPTS if prompt["runtime"] == "onnx"]
CHATS = [prompt for prompt in PROMPTS if "tool" not in prompt]
ASSERTIONS = {
    "fibonacci": "assert list(fibonacci(10))[:7] == [0, 1, 1, 2, 3, 5, 8] or fibonacci(10) == 55",
    "gcd": "f = globals().get('gcd') or globals()['euclidean_gcd']; assert f(48, 18) == 6 and f(7, 13) == 1",
}
CODE_MEMORY_BYTES = 512 * 2**20
CODE_CPU_SECONDS = 10


def chat(prompt: dict[str, Any]) -> list[dict[str, str]]:
    """The messages of one of the guide's requests."""
    system = [{"role": "system", "content": prompt["system"]}] if prompt.get("system") else []
    return [*system, {"role": "user", "content": prompt["prompt"]}]


def assert_right(prompt: dict[str, Any], answer: str) -> None:
    """Every value that the right answer must hold is in it, and code does what it should."""
    missing = [value for value in prompt["check"] if value.lower() not in answer.lower().replace(",", "")]
    assert not missing, f"{missing} not in {answer!r}"
    for name, assertion in ASSERTIONS.items():
        if prompt["task"] == "coding" and f"def {name}" in answer:
            run_code(answer.split("```")[1].removeprefix("python"), assertion)


def run_code(code: str, assertion: str) -> None:
    """Run generated code with its assertion in a process of its own: no files, little memory, little time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (CODE_MEMORY_BYTES, CODE_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CODE_CPU_SECONDS, CODE_CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}\n{assertion}"],
        preexec_fn=limit,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("prompt", CHATS, ids=lambda prompt: prompt["id"])
def test_the_guides_questions_are_answered_rightly(client: httpx.Client, model: str, prompt: dict[str, Any]) -> None:
    body = {"model": model, "messages": chat(prompt), "temperature": 0, "max_tokens": 250}
    answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert_right(prompt, answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("prompt", ONNX, ids=lambda prompt: prompt["id"])
def test_the_reasoning_route_keeps_the_guides_contract(client: httpx.Client, prompt: dict[str, Any]) -> None:
    body = {
        "prompt": prompt["prompt"],
        "task_type": prompt["task"],
        "max_length": prompt["max_length"],
        "temperature": 0,
    }
    answer = client.post("/reasoning", json=body).raise_for_status().json()
    assert {"generated_text", "task_type", "inference_time", "model", "prompt_tokens", "completion_tokens"} <= set(
        answer
    )
    assert answer["task_type"] == prompt["task"]
    assert answer["inference_time"] > 0
    assert_right(prompt, answer["generated_text"])


def test_an_unknown_task_is_the_callers_error(client: httpx.Client) -> None:
    assert client.post("/reasoning", json={"prompt": "Hello", "task_type": "poetry"}).status_code in (400, 422)


@pytest.mark.parametrize("prompt", CHATS[:3], ids=lambda prompt: prompt["id"])
def test_a_streamed_answer_is_the_whole_answer(client: httpx.Client, model: str, prompt: dict[str, Any]) -> None:
    body = {"model": model, "messages": chat(prompt), "temperature": 0, "max_tokens": 120}
    whole = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    chunks = list(streamed(client, body | {"stream": True, "stream_options": {"include_usage": True}}))
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]


def test_no_stream_is_cut(stack: Stack, model: str) -> None:
    """A proxy that stops reading a request when the answer starts cuts a few in a hundred: one would not show it."""
    body = {"model": model, "messages": chat(CHATS[0]), "temperature": 0, "max_tokens": 20, "stream": True}
    for _ in range(60):
        with stack.client(stack.api_key) as newcomer:
            assert list(streamed(newcomer, body))


def test_openais_client_reads_the_stream(stack: Stack, model: str) -> None:
    with (
        DefaultHttpxClient(verify=stack.trust, trust_env=False) as transport,
        OpenAI(base_url=f"{stack.endpoint}/v1", api_key=stack.api_key, http_client=transport) as openai,
    ):
        messages: Any = chat(CHATS[0])
        stream = openai.chat.completions.create(
            model=model, messages=messages, stream=True, temperature=0, max_tokens=200
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert_right(CHATS[0], text)


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client: httpx.Client, model: str) -> None:
    body = {"model": model, "messages": chat(CHATS[0]), "temperature": 0, "max_tokens": 200, "stop": ["100"]}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "100" not in choice["message"]["content"]


def test_an_answer_is_no_longer_than_asked_for(client: httpx.Client, model: str) -> None:
    body = {"model": model, "messages": chat(CHATS[0]), "temperature": 0, "max_tokens": 5}
    answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_seed_makes_an_answer_again(client: httpx.Client, model: str) -> None:
    body = {"model": model, "messages": chat(CHATS[0]), "temperature": 1.5, "seed": 7, "max_tokens": 40}
    first, second = (client.post("/v1/chat/completions", json=body).raise_for_status().json() for _ in range(2))
    assert first["choices"][0]["message"]["content"] == second["choices"][0]["message"]["content"]


def streamed(client: httpx.Client, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The chunks of a streamed answer, to its `[DONE]`."""
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line == "data: [DONE]":
                return
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without [DONE]")
