"""One command at a time works on a rehearsal; another is told who works, or ends that one first."""

import fcntl
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rehearsal.errors import RehearsalError

TAKE_OVER_SECONDS = 90
"""How long an interrupted command may take to leave things in order; the engine finishes the step that it is in."""


@contextmanager
def working(folder: Path, what: str, *, take_over: bool = False) -> Generator[None]:
    """Hold the folder's lock. With `take_over` the command that holds it is asked to end first.

    Raises:
        RehearsalError: if another command works, or does not end when asked.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+") as lock:
        if not _taken(lock):
            holder = _holder(lock)
            if not take_over:
                raise RehearsalError(
                    f"Another command is at work here: {holder[1]} (process {holder[0]})",
                    "Wait for it, or end it with `./scripts/rehearse down`",
                )
            _end(lock, holder)
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()} {what}")
        lock.flush()
        yield


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: TextIO) -> tuple[int, str]:
    lock.seek(0)
    pid, _, what = lock.read().partition(" ")
    return int(pid or 0), what or "a command that just started"


def _end(lock: TextIO, holder: tuple[int, str]) -> None:
    """Ask the holder to end. Whoever holds the lock lives, so the pid is its own."""
    if holder[0]:
        with suppress(ProcessLookupError):
            os.kill(holder[0], signal.SIGTERM)
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while not _taken(lock):
        if time.monotonic() > deadline:
            raise RehearsalError(
                f"{holder[1]} (process {holder[0]}) does not end", f"End it with `kill {holder[0]}` and try again"
            )
        time.sleep(0.1)
