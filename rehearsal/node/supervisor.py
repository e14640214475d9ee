"""The node's first process: sets its world up, then starts and keeps its services. When it ends, they all end.

It runs as PID 1 of the node's own namespaces, so the kernel ends every process and takes every mount and link away
with it. It starts a service when what it needs is ready, starts a dead one again after a growing pause, reaps orphans,
and writes what it knows to `status.json`. What the services are is given to it.

    python -m rehearsal.node.supervisor PLAN.json
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.node import world
from rehearsal.node.services import Plan, Service, answers

TICK_SECONDS = 0.05
"""How often readiness is looked at while something is starting; nothing is polled after that."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A service that lived this long is forgiven its earlier deaths."""
LOG_BYTES = 8 * 1024 * 1024
"""A log that is larger when its service starts is set aside, once."""


@dataclass
class _Entry:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    state: str = "waiting"
    started_at: float = 0.0
    ready_at: float | None = None
    restarts: int = 0
    failures: int = 0
    not_before: float = 0.0
    last_exit: int | None = None

    @property
    def settled(self) -> bool:
        return self.state in ("ready", "done")


class Supervisor:
    """The services of one plan, kept until the process is told to end."""

    def __init__(self, plan: Plan) -> None:
        self._folder = plan.folder
        self._entries = {service.name: _Entry(service) for service in plan.services}
        self._began = time.monotonic()
        self._written = ""
        self._ending = False

    def run(self) -> None:
        """Keep the services until SIGTERM. Returns with all of them still running: the namespace ends them."""
        wake = self._signals()
        while not self._ending:
            self._reap()
            for entry in self._entries.values():
                self._advance(entry)
            self._write_status()
            select.select([wake], [], [], self._pause())
            _drain(wake)

    def _signals(self) -> int:
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, _noticed)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        return read

    def _end(self, *_: object) -> None:
        self._ending = True

    def _advance(self, entry: _Entry) -> None:
        now = time.monotonic()
        needed = (self._entries[name] for name in entry.service.needs)
        if entry.state == "waiting" and now >= entry.not_before and all(other.settled for other in needed):
            self._start(entry)
        ready = entry.service.ready
        if entry.state == "starting" and ready != "done" and (ready == "" or answers(ready)):
            entry.state, entry.ready_at = "ready", time.monotonic()

    def _start(self, entry: _Entry) -> None:
        service = entry.service
        log = self._folder / "logs" / f"{service.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        entry.started_at = time.monotonic()
        try:
            with log.open("ab") as output:
                entry.process = subprocess.Popen(
                    service.argv,
                    env={**os.environ, **service.environment},
                    pass_fds=service.descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            print(f"{service.name} cannot start: {error}", flush=True)
            self._ended(entry, code=127)
            return
        entry.state = "starting"

    def _reap(self) -> None:
        """Collect every child that has ended, the orphans included that the kernel gave to PID 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for entry in self._entries.values():
                if entry.process is not None and entry.process.pid == pid:
                    entry.process.returncode = os.waitstatus_to_exitcode(status)
                    self._ended(entry, entry.process.returncode)

    def _ended(self, entry: _Entry, code: int) -> None:
        now = time.monotonic()
        entry.process, entry.last_exit = None, code
        if entry.service.ready == "done" and code == 0:
            entry.state, entry.ready_at = "done", now
            return
        entry.failures = 1 if now - entry.started_at > STEADY_SECONDS else entry.failures + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (entry.failures - 1), LONGEST_PAUSE_SECONDS)
        entry.state, entry.ready_at, entry.not_before = "waiting", None, now + pause
        entry.restarts += 1
        print(f"{entry.service.name} ended with {code}; it starts again in {pause:.1f} s", flush=True)

    def _pause(self) -> float | None:
        return None if all(entry.settled for entry in self._entries.values()) else TICK_SECONDS

    def _write_status(self) -> None:
        text = json.dumps({name: self._status(entry) for name, entry in self._entries.items()}, indent=1)
        if text != self._written:
            file = self._folder / "status.json"
            temporary = file.with_suffix(".new")
            temporary.write_text(text)
            temporary.replace(file)
            self._written = text

    def _status(self, entry: _Entry) -> Mapping[str, Any]:
        return {
            "state": entry.state,
            "pid": entry.process.pid if entry.process else None,
            "restarts": entry.restarts,
            "last_exit": entry.last_exit,
            "ready_after_seconds": round(entry.ready_at - self._began, 2) if entry.ready_at else None,
        }


def _noticed(*_: object) -> None:
    """A child ended: the wake-up descriptor has said so, this only keeps Python from ignoring the signal."""


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def main(argv: Sequence[str]) -> int:
    """Set the node's world up and keep its services."""
    plan = Plan.from_json(Path(argv[0]).read_text())
    world.set_up(plan)
    Supervisor(plan).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
