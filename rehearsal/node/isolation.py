"""Runs a command in mount and process namespaces of its own, so that nothing it mounts or starts outlives it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehearsal.errors import RehearsalError

_LAST_LINES = 3


def run_isolated(argv: Sequence[str], purpose: str, *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run `argv` as root in its own namespaces with its output in `log`.

    Raises:
        RehearsalError: if it cannot start or fails; names the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *argv]
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                unshare,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                check=False,
            )
    except FileNotFoundError as error:
        raise RehearsalError(f"Cannot {purpose}: {error.filename} is missing", "Install util-linux") from error
    if done.returncode:
        last = " / ".join(log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])
        raise RehearsalError(f"Cannot {purpose}: {last}", f"The whole output is in {log}")
