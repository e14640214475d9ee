"""`python -m slm_onnx`: serve the model folder that the environment names, until SIGTERM and the last answer."""

import logging
import os
import sys
import time
from types import FrameType

import uvicorn

from slm_onnx.app import create_app
from slm_onnx.settings import ServerSettings, SettingsError
from slm_onnx.worker import Worker

CLOSE_SECONDS = 5
"""For the last bytes of the last answers, once nothing is generated any more."""


class DrainingServer(uvicorn.Server):
    """Listens on after SIGTERM, so that probes read 503, until what was accepted is answered or the time is up."""

    def __init__(self, config: uvicorn.Config, worker: Worker) -> None:
        super().__init__(config)
        self._worker = worker
        self._drain_until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the draining, a second one ends it."""
        if self._drain_until is not None:
            self.should_exit = True
            return
        self._worker.drain()
        self._drain_until = time.monotonic() + self._worker.settings.shutdown_seconds

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second by uvicorn; true ends the server."""
        if self._drain_until is not None and (self._worker.idle or time.monotonic() >= self._drain_until):
            # What still runs is stopped, and its callers are told, before the connections are closed.
            self._worker.cancel_all()
            return True
        return await super().on_tick(counter)


def main() -> int:
    """Serve; 0 after a signal, 1 if the model cannot be served, 2 for a wrong environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = ServerSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"Error: {error}.\n")
        return 2
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        server.should_exit = True

    worker = Worker(settings, fail)
    config = uvicorn.Config(
        create_app(worker),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    server = DrainingServer(config, worker)
    server.run()
    for message in failures:
        sys.stderr.write(f"Error: {message}.\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
