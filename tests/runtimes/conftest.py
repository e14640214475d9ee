"""A real server process over the fixture model, and over one that never ends an answer by itself."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtimes" / "onnx"
FIXTURE = ROOT / "rehearsal" / "fixture"
MODEL = FIXTURE / "model" / "onnx"
NAME = "phi-4-mini-instruct"
PROMPTS: dict[str, Any] = json.loads((FIXTURE / "prompts.json").read_text())
UNUSED_TOKEN = 1087
"""The last of the padding in the fixture's vocabulary."""


@dataclass(frozen=True)
class Running:
    """A server process that is ready."""

    process: subprocess.Popen[str]
    url: str

    def client(self) -> httpx.Client:
        """A client of this server, without a time limit of its own."""
        return httpx.Client(base_url=self.url, timeout=None, trust_env=False)

    def metric(self, sample: str) -> float:
        """A sample of the metrics page by its name with labels; 0 where it has not come up yet."""
        with self.client() as client:
            page = client.get("/metrics").raise_for_status().text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_for(self, sample: str, value: float) -> None:
        """Wait until a sample has a value."""
        while self.metric(sample) != value:
            time.sleep(0.02)

    def wait_until_idle(self) -> None:
        """Wait until no request is in flight."""
        self.wait_for("slm_requests_in_flight", 0)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process that runs the package from the checkout."""
    return os.environ | {"PYTHONPATH": str(PACKAGE), "ORT_DISABLE_TELEMETRY": "1"} | changes


def start(folder: Path, **changes: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server process over a model folder."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {"MODEL_PATH": str(folder), "MODEL_NAME": NAME, "HOST": "127.0.0.1", "PORT": str(port), "THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "slm_onnx"], env=environment(**settings | changes), stderr=subprocess.PIPE, text=True
    )
    return process, f"http://127.0.0.1:{port}"


@contextmanager
def serving(folder: Path, **changes: str) -> Generator[Running]:
    """A server process that is ready; it is ended at the end of the block."""
    process, url = start(folder, **changes)
    with process:
        try:
            wait_until_ready(process, url)
            yield Running(process, url)
        finally:
            process.kill()


def wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    """Wait for a server that lives to say that it is ready."""
    while True:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """A server of the fixture model."""
    with serving(MODEL) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Running) -> Iterator[httpx.Client]:
    """A client of that server."""
    with server.client() as open_client:
        yield open_client


@pytest.fixture(scope="session")
def endless_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture model with an end-of-turn token that it never makes: an answer ends at its limit alone."""
    folder = tmp_path_factory.mktemp("endless") / "model"
    shutil.copytree(MODEL, folder)
    file = folder / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["eos_token_id"] = [UNUSED_TOKEN]
    file.write_text(json.dumps(config))
    return folder


def user(text: str) -> list[dict[str, str]]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream up to its `[DONE]`, which must be its last."""
    lines = (line for line in response.iter_lines() if line)
    for line in lines:
        assert line.startswith("data: ")
        if line == "data: [DONE]":
            assert list(lines) == []
            return
        yield json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without [DONE]")


def streamed(client: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    """All events of a streamed chat."""
    with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as response:
        response.raise_for_status()
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(events(response))


def text_of(chunks: list[dict[str, Any]]) -> str:
    """The text that the chunks make together."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
