"""What the server is told by its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """A variable is missing or makes no sense; the message says which, and what to set."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """One server of one model folder.

    `max_length` counts the tokens of prompt and answer together; `max_queue` the requests that wait while one runs;
    `threads` those that compute.
    """

    model_path: Path
    model_name: str
    host: str = "0.0.0.0"  # noqa: S104 (in a container; the network policy says who reaches it)
    port: int = 8080
    max_length: int = 4096
    max_queue: int = 16
    threads: int = 1
    shutdown_seconds: int = 30

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServerSettings":
        """Read MODEL_PATH, MODEL_NAME, HOST, PORT, MAX_LENGTH, MAX_QUEUE, THREADS and SHUTDOWN_SECONDS.

        Raises:
            SettingsError: for a missing or a senseless one.
        """
        path = environment.get("MODEL_PATH")
        if not path:
            raise SettingsError("MODEL_PATH is not set. Set it to the folder that holds genai_config.json")
        return cls(
            model_path=Path(path),
            model_name=environment.get("MODEL_NAME") or Path(path).name,
            host=environment.get("HOST") or cls.host,
            port=_number(environment, "PORT", cls.port, at_most=65_535),
            max_length=_number(environment, "MAX_LENGTH", cls.max_length),
            max_queue=_number(environment, "MAX_QUEUE", cls.max_queue, at_least=0),
            threads=_number(environment, "THREADS", len(os.sched_getaffinity(0))),
            shutdown_seconds=_number(environment, "SHUTDOWN_SECONDS", cls.shutdown_seconds, at_least=0),
        )


def _number(
    environment: Mapping[str, str], name: str, default: int, *, at_least: int = 1, at_most: int = 1_000_000
) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not at_least <= int(text) <= at_most:
        raise SettingsError(f"{name} is `{text}`. Set it to a whole number from {at_least} to {at_most}")
    return int(text)
