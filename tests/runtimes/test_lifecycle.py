"""From loading to the last answer: what is accepted is answered whole, and nothing is made for a caller who is gone."""

import asyncio
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from slm_onnx import worker as worker_module
from slm_onnx.app import create_app
from slm_onnx.genai import Model
from slm_onnx.settings import ServerSettings
from slm_onnx.worker import Worker

from tests.runtimes.conftest import MODEL, NAME, Running, events, serving, start, streamed, text_of, user

FOREVER = 7000
"""Tokens; what a test ends is nowhere near them."""
CHAT = "/v1/chat/completions"
IN_FLIGHT = "slm_requests_in_flight"
CANCELLED = 'slm_request_duration_seconds_count{{outcome="cancelled",route="{}"}}'


def asking(tokens: int = FOREVER, text: str = "Hello") -> dict[str, Any]:
    return {"messages": user(text), "temperature": 0, "max_tokens": tokens}


@pytest.fixture
def endless(endless_folder: Path) -> Iterator[Running]:
    with serving(endless_folder, MAX_LENGTH="8000", MAX_QUEUE="1", SHUTDOWN_SECONDS="600") as running:
        yield running


@contextmanager
def streaming(client: httpx.Client, body: dict[str, Any]) -> Generator[Iterator[dict[str, Any]]]:
    """A stream of which the first text has come."""
    with client.stream("POST", CHAT, json=body | {"stream": True}) as response:
        chunks = events(response)
        next(chunks)
        next(chunks)
        yield chunks


def test_a_caller_who_hangs_up_stops_the_stream(endless: Running) -> None:
    with endless.client() as client, streaming(client, asking()):
        assert endless.metric(IN_FLIGHT) == 1
    endless.wait_until_idle()
    assert endless.metric(CANCELLED.format("chat")) == 1
    assert endless.metric("slm_generated_tokens_total") < FOREVER


@pytest.mark.parametrize(
    ("route", "path", "body"),
    [("chat", CHAT, asking()), ("reasoning", "/reasoning", {"prompt": "Hello", "max_length": FOREVER})],
)
def test_a_caller_who_hangs_up_stops_a_whole_answer(
    endless: Running, route: str, path: str, body: dict[str, Any]
) -> None:
    impatient = httpx.Client(base_url=endless.url, timeout=0.5, trust_env=False)
    with impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(path, json=body)
    endless.wait_until_idle()
    assert endless.metric(CANCELLED.format(route)) == 1
    assert endless.metric("slm_generated_tokens_total") < FOREVER


def test_a_long_prompt_is_given_up_and_holds_nobody_up(endless: Running) -> None:
    body = asking(tokens=10, text="0 " * 3900)
    impatient = httpx.Client(base_url=endless.url, timeout=0.5, trust_env=False)
    with impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(CHAT, json=body)
    endless.wait_until_idle()
    # It was amid the prefill: the server answered, and heard the caller go, while the model read.
    assert endless.metric(CANCELLED.format("chat")) == 1
    assert endless.metric("slm_generated_tokens_total") == 0


def test_a_full_queue_refuses_and_says_when_to_come_back(endless: Running) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(endless.client())
        stack.enter_context(streaming(client, asking()))
        waiting = stack.enter_context(client.stream("POST", CHAT, json=asking() | {"stream": True}))
        assert waiting.status_code == 200
        assert endless.metric("slm_requests_waiting") == 1
        for path, body in ((CHAT, asking()), (CHAT, asking() | {"stream": True}), ("/reasoning", {"prompt": "Hello"})):
            refused = client.post(path, json=body)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["code"] == "queue_full"
        assert client.get("/health").status_code == 200
    endless.wait_until_idle()
    assert endless.metric('slm_requests_refused_total{reason="queue_full"}') == 3


def test_who_waits_is_answered_when_the_turn_comes_and_forgotten_when_gone(endless: Running) -> None:
    with endless.client() as client:
        with streaming(client, asking()):
            with client.stream("POST", CHAT, json=asking() | {"stream": True}):
                assert endless.metric("slm_requests_waiting") == 1
            endless.wait_for("slm_requests_waiting", 0)
            answers: list[str] = []
            next_one = threading.Thread(target=lambda: answers.append(text_of(streamed(client, asking(tokens=5)))))
            next_one.start()
            endless.wait_for("slm_requests_waiting", 1)
        next_one.join()
    assert answers[0]
    assert endless.metric(CANCELLED.format("chat")) == 2


def test_sigterm_lets_running_answers_end_whole(endless: Running) -> None:
    tokens = 1500
    with endless.client() as client, streaming(client, asking(tokens)) as chunks:
        endless.process.send_signal(signal.SIGTERM)
        while (ready := client.get("/health/ready")).status_code == 200:
            pass
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert client.get("/health/live").status_code == 200
        refused = client.post(CHAT, json=asking())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_draining")
        assert refused.headers["retry-after"]
        assert list(chunks)[-1]["choices"][0]["finish_reason"] == "length"
    assert endless.process.wait() == 0


def test_sigterm_waits_no_longer_than_it_may(endless_folder: Path) -> None:
    with serving(endless_folder, MAX_LENGTH="8000", SHUTDOWN_SECONDS="0") as running, running.client() as client:
        with client.stream("POST", CHAT, json=asking() | {"stream": True}) as response:
            lines = (line for line in response.iter_lines() if line)
            next(lines)
            running.process.send_signal(signal.SIGTERM)
            last = list(lines)[-1]
        assert "shut down" in last
        assert '"error"' in last
        assert running.process.wait() == 0


def test_nothing_is_ready_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_is_slow = threading.Event()

    def slow_model(folder: Path, threads: int) -> Model:
        disk_is_slow.wait()
        return Model(folder, threads)

    monkeypatch.setattr(worker_module, "Model", slow_model)
    loading = Worker(ServerSettings(model_path=MODEL, model_name=NAME), pytest.fail)

    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(loading))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            for path in ("/health", "/health/ready"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["status"]) == (503, "loading")
            assert (await client.get("/health/live")).status_code == 200
            refused = await client.post(CHAT, json=asking())
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            disk_is_slow.set()
            while (await client.get("/health")).status_code != 200:
                await asyncio.sleep(0.01)
            assert (await client.post(CHAT, json=asking(tokens=2))).status_code == 200

    loading.start()
    try:
        asyncio.run(ask())
    finally:
        disk_is_slow.set()
        loading.stop()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"MODEL_PATH": "/nowhere"}, 1, "no model in /nowhere"),
        ({"MODEL_PATH": ""}, 2, "MODEL_PATH"),
        ({"PORT": "many"}, 2, "PORT"),
        ({"MAX_LENGTH": "0"}, 2, "MAX_LENGTH"),
        ({"MAX_QUEUE": "-1"}, 2, "MAX_QUEUE"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(changes: dict[str, str], code: int, words: str) -> None:
    process, _ = start(MODEL, **changes)
    _, said = process.communicate()
    assert process.returncode == code
    assert words in said
    assert "Traceback" not in said


def test_a_damaged_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "genai_config.json").write_text('{"model": {"eos_token_id": 1, "context_length": 10}}')
    process, _ = start(tmp_path)
    _, said = process.communicate()
    assert (process.returncode, "Traceback" in said) == (1, False)
