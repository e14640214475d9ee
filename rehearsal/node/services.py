"""What one process of the node is: its command, what must be ready before it, and how its own readiness shows.

Plain data that travels to the supervisor as JSON. Which services there are is `plan`'s business.
"""

import contextlib
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Service:
    """One process.

    `ready` is `unix:PATH` or `tcp:HOST:PORT` (it accepts a connection), an https URL (it answers 200; the certificate
    is not looked at), `done` (it has ended with 0, and is not started again) or empty (it has started).
    `needs` are names of services that must be ready before it starts. `descriptors` are inherited.
    """

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    ready: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that the supervisor needs to know. `binds` maps a folder inside the node to one of this machine."""

    node: str
    folder: Path
    cgroup: str
    binds: Mapping[str, str]
    services: tuple[Service, ...]

    def to_json(self) -> str:
        """The plan as text for `from_json`."""
        return json.dumps({**asdict(self), "folder": str(self.folder)}, indent=1)

    @staticmethod
    def from_json(text: str) -> "Plan":
        """The plan that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        services = tuple(_service(**entry) for entry in data["services"])
        return Plan(data["node"], Path(data["folder"]), data["cgroup"], data["binds"], services)


def _service(
    name: str,
    argv: Sequence[str],
    needs: Sequence[str],
    ready: str,
    environment: Mapping[str, str],
    descriptors: Sequence[int],
) -> Service:
    return Service(name, tuple(argv), tuple(needs), ready, environment, tuple(descriptors))


def answers(ready: str) -> bool:
    """Whether the place that `Service.ready` names answers now. Blocks for `PROBE_SECONDS` at most."""
    kind, _, place = ready.partition(":")
    if kind == "https":
        return _answers_ok(ready)
    if kind == "unix":
        return _accepts(socket.AF_UNIX, place)
    host, _, port = place.rpartition(":")
    return _accepts(socket.AF_INET, (host, int(port)))


def _accepts(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as client:
        client.settimeout(PROBE_SECONDS)
        return client.connect_ex(address) == 0


def _answers_ok(url: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(url, timeout=PROBE_SECONDS, context=context) as answer,  # noqa: S310 - our own URL
    ):
        return answer.status == 200
    return False
