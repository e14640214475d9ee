"""The rehearsal's long-running processes: started once, found again, ended by their own identity.

A process is known by its pid *and* its start time, so that a pid which the system gave to somebody else is never
signalled. Does not own what the processes do or whether they are ready.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rehearsal.errors import RehearsalError


@dataclass(frozen=True)
class _Identity:
    pid: int
    started: int
    """Clock ticks since boot, field 22 of /proc/PID/stat: no two processes share pid and start."""


class Processes:
    """Processes recorded in a folder: `NAME.pid` says who, `logs/NAME.log` what they printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> int:
        """Start a process in a session of its own, or return the pid of the one that runs already."""
        if (running := self._identity(name)) is not None:
            return running.pid
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    argv,
                    env=env,
                    cwd=cwd,
                    pass_fds=pass_fds,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise RehearsalError(
                f"Cannot start {name}: {error}", "Run the command again; it installs what is missing"
            ) from error
        process.returncode = 0  # It outlives this object, and this command, by design: nobody waits for it here.
        started = _started(process.pid)
        if started is not None:
            self._file(name).write_text(json.dumps(asdict(_Identity(process.pid, started))))
        return process.pid

    def alive(self, name: str) -> bool:
        """Whether the process that was started under this name still runs."""
        return self._identity(name) is not None

    def stop(self, name: str, grace_seconds: float = 10) -> None:
        """Ask a process to end, and end its whole session if it has not after the grace."""
        identity = self._identity(name)
        if identity is not None:
            _signal(identity.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace_seconds
            while self._identity(name) is not None and time.monotonic() < deadline:
                time.sleep(0.05)
            if self._identity(name) is not None:
                _signal(identity.pid, signal.SIGKILL)
        self._file(name).unlink(missing_ok=True)

    def stop_all(self) -> None:
        """End everything that was started from this folder, the youngest first."""
        for name in reversed(self.names()):
            self.stop(name)

    def names(self) -> list[str]:
        """Every process recorded here, the oldest first, running or not."""
        files = sorted(self._folder.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns)
        return [file.stem for file in files]

    def log(self, name: str) -> Path:
        """Where a process writes its output."""
        return self._folder / "logs" / f"{name}.log"

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    def _identity(self, name: str) -> _Identity | None:
        try:
            identity = _Identity(**json.loads(self._file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return identity if _started(identity.pid) == identity.started else None


def end_session(session: int) -> None:
    """End what is left of a session, whatever process groups it has made. A session's number is its first process' pid,
    which the system gives to nobody else while the session has members."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, ProcessLookupError):
            pid = int(entry.name)
            if os.getsid(pid) == session:
                os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> int | None:
    """When a living process started; None for one that is gone or waits to be reaped."""
    with contextlib.suppress(ChildProcessError, PermissionError):
        os.waitpid(pid, os.WNOHANG)  # reaps our own child; a stranger's is init's business
    try:
        # The command, in parentheses, may hold spaces: fields are counted behind it.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(rest[18])


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
