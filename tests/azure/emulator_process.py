"""The emulator as a process of its own, for tests that kill it or give it to others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from rehearsal.paths import CHECKOUT
from tests.azure.support import version_of

Body = dict[str, Any]


class EmulatorProcess:
    """One emulator; it keeps folder, port and token when it is started again."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.socket = folder / "arm.sock"
        self.token_file = folder / "token"
        self.log = folder / "log"
        self._arguments = arguments
        self._port = "0"
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        file = self.folder / "endpoint"
        file.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "rehearsal.azure.emulator", "--state", str(self.folder), "--port", self._port]
        argv += ["--uds", str(self.socket), "--token-file", str(self.token_file), *self._arguments]
        with self.log.open("a") as output:
            environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
            self._process = subprocess.Popen(argv, stdout=output, stderr=output, env=environment)
        while not file.exists():
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.endpoint = file.read_text()
        self._port = str(httpx.URL(self.endpoint).port)
        self.headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        self.client = httpx.Client(base_url=self.endpoint, headers=self.headers, trust_env=False, timeout=30)

    def request(self, method: str, path: str, body: Body | None = None) -> httpx.Response:
        """A request to ARM with the api-version that azure-native sends."""
        return self.client.request(method, path, params={"api-version": version_of(path)}, json=body)

    def get(self, path: str) -> Body:
        """A resource that is there."""
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, gently or not."""
        self.client.close()
        self._process.send_signal(number)
        self._process.wait()
