"""A hub with a small model of random bytes, which can lie, refuse and stop half way.

Not checked:
- The hub's own protocol: it is the rehearsal's (`rehearsal.fixture.hub`), whose own tests hold it to the real client.
"""

import asyncio
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rehearsal.fixture import hub
from tests.runtimes.conftest import environment

REPOSITORY = "microsoft/tiny-onnx"
REVISION = "0123456789abcdef0123456789abcdef01234567"
SUBFOLDER = "cpu/int4"
LARGE = f"{SUBFOLDER}/model.onnx.data"
LARGE_BYTES = 32 * 2**20
"""The client writes in blocks of 10 MiB: half of this is more than one."""
TOKEN = "hf_the-right-one"


class Hub:
    """The application; it keeps the ranges that were asked for, and does to one path what the test wants."""

    def __init__(self, application: ASGIApp) -> None:
        self.ranges: dict[str, list[str | None]] = {}
        self.requests = 0
        self.half_sent = threading.Event()
        self.stop_half_way_at: str | None = None
        self.spoil: str | None = None
        self.url = ""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.requests += 1
        path: str = scope["path"]
        if scope["method"] == "GET" and "/resolve/" in path:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.ranges.setdefault(path.rpartition("/")[2], []).append(headers.get("range"))
            if self.stop_half_way_at is not None and path.endswith(self.stop_half_way_at):
                send = self._half(send)
            if self.spoil is not None and path.endswith(self.spoil):
                send = self._spoilt(send)
        await self._application(scope, receive, send)

    def _half(self, send: Send) -> Send:
        sent = 0

        async def half(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                if sent > LARGE_BYTES // 2:
                    self.half_sent.set()
                    # Until the client is gone.
                    await asyncio.Event().wait()
            await send(message)

        return half

    @staticmethod
    def _spoilt(send: Send) -> Send:
        async def spoilt(message: Message) -> None:
            if message["type"] == "http.response.body":
                body = bytes(message.get("body", b""))
                message = {**message, "body": body[:-1] + bytes([body[-1] ^ 1]) if body else b""}
            await send(message)

        return spoilt


def repository(folder: Path, *, fixture: bool) -> hub.Repository:
    """A repository with a model in its subfolder, a marker if it is a fixture, and files that nobody wants."""
    contents = {
        "README.md": b"a card",
        "gpu/model.onnx": b"for another device",
        f"{SUBFOLDER}/genai_config.json": b"{}",
        f"{SUBFOLDER}/parts/empty.txt": b"",
        LARGE: random.Random(0).randbytes(LARGE_BYTES),
    }
    if fixture:
        contents[f"{SUBFOLDER}/slm-fixture.json"] = b"{}"
    files: dict[str, Path] = {}
    for name, content in contents.items():
        files[name] = folder / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(content)
    return hub.Repository(REPOSITORY, REVISION, files)


@contextmanager
def running(served: hub.Repository, token: str | None = None) -> Generator[Hub]:
    """A hub behind a real socket."""
    recorder = Hub(hub.application([served], token))
    config = uvicorn.Config(recorder, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield recorder
        finally:
            server.should_exit = True
            thread.join()


def arguments(destination: Path, **changes: str) -> list[str]:
    """The weights job's command line."""
    options = {"repository": REPOSITORY, "revision": REVISION, "subfolder": SUBFOLDER, "format": "int4-cpu"} | changes
    command = [sys.executable, "-m", "slm_onnx.weights", "--destination", str(destination)]
    return [*command, *(part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value))]


def job_environment(endpoint: str) -> dict[str, str]:
    """The job's environment: no token of the user's, and a home that it cannot write to."""
    mine = {name: value for name, value in environment().items() if not name.startswith("HF_")}
    return mine | {"HF_ENDPOINT": endpoint, "HOME": "/nonexistent"}


def run(endpoint: str, destination: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the weights job to its end."""
    return subprocess.run(
        arguments(destination, **changes),
        env=job_environment(endpoint),
        capture_output=True,
        text=True,
        check=False,
    )
