"""`/reasoning` keeps the guide's contract, and answers its prompts rightly."""

from typing import Any

import httpx
import pytest

from tests.runtimes.conftest import NAME, PROMPTS

ONNX = [prompt for prompt in PROMPTS["prompts"] if prompt["runtime"] == "onnx"]


def body(prompt: dict[str, Any], **changes: Any) -> dict[str, Any]:
    asked = {"prompt": prompt["prompt"], "task_type": prompt["task"], "max_length": prompt["max_length"]}
    return asked | {"temperature": 0} | changes


@pytest.mark.parametrize("prompt", ONNX, ids=lambda prompt: prompt["id"])
def test_the_guides_prompts_are_answered_rightly(client: httpx.Client, prompt: dict[str, Any]) -> None:
    answer = client.post("/reasoning", json=body(prompt)).raise_for_status().json()
    assert answer["generated_text"] == prompt["fixture_answer"]
    assert all(value.lower() in answer["generated_text"].lower() for value in prompt["check"])
    assert (answer["task_type"], answer["model"]) == (prompt["task"], NAME)
    assert answer["inference_time"] > 0
    assert answer["prompt_tokens"] > 0
    assert set(answer) == {
        "generated_text",
        "task_type",
        "inference_time",
        "model",
        "prompt_tokens",
        "completion_tokens",
    }


def test_a_prompt_and_nothing_else_is_enough(client: httpx.Client) -> None:
    answer = client.post("/reasoning", json={"prompt": "Hello"}).raise_for_status().json()
    assert answer["task_type"] == "reasoning"
    assert answer["generated_text"]


def test_max_length_bounds_the_answer(client: httpx.Client) -> None:
    answer = client.post("/reasoning", json=body(ONNX[0], max_length=4)).raise_for_status().json()
    assert answer["completion_tokens"] == 4
    assert ONNX[0]["fixture_answer"].startswith(answer["generated_text"])


def test_max_length_beyond_the_models_is_capped(client: httpx.Client) -> None:
    answer = client.post("/reasoning", json=body(ONNX[0], max_length=10**9)).raise_for_status().json()
    assert answer["generated_text"] == ONNX[0]["fixture_answer"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"prompt": None},
        {"prompt": ["a"]},
        {"task_type": "poetry"},
        {"max_length": 0},
        {"max_length": "100"},
        {"temperature": "hot"},
        {"temperature": -0.1},
    ],
)
def test_a_wrong_field_is_the_callers_error(client: httpx.Client, wrong: dict[str, Any]) -> None:
    refused = client.post("/reasoning", json=body(ONNX[0]) | wrong)
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", next(iter(wrong)))
