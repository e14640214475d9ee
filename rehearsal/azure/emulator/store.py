"""The emulator's state on disk: one JSON file that is only ever replaced whole.

Owns durability (temporary file, fsync, rename; mode 0600, because a vault's values are in it). Does not own meaning.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError

Body = dict[str, Any]


@dataclass
class Record:
    """A resource as ARM would answer it, and what only its service knows."""

    id: str
    type: str
    body: Body
    created_at: float
    """Seconds since the epoch."""
    private: Body = field(default_factory=dict[str, Any])
    operation: str = ""
    """The operation in progress, if any."""


@dataclass
class Operation:
    """A long-running operation; it ends when its time has come, whether anybody asks or not."""

    id: str
    resource: str
    """The resource's key."""
    deletes: bool
    ready_at: float
    """Seconds since the epoch."""
    status: str = "InProgress"
    error: Body | None = None


@dataclass
class State:
    """Everything that outlives the process."""

    resources: dict[str, Record] = field(default_factory=dict[str, Record])
    operations: dict[str, Operation] = field(default_factory=dict[str, Operation])
    secrets: dict[str, dict[str, Body]] = field(default_factory=dict[str, dict[str, Body]])
    """By vault's name, then by secret's name: `versions` (newest last), `deleted_at`."""
    deleted_vaults: dict[str, Body] = field(default_factory=dict[str, Body])
    faults: list[Body] = field(default_factory=list[Body])
    signing_key: str = ""


class Store:
    """The state and its file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "state.json"
        self.state = self._load()

    def _load(self) -> State:
        if not self._file.exists():
            return State()
        try:
            found = json.loads(self._file.read_text())
            return State(
                resources={key: Record(**value) for key, value in found.pop("resources").items()},
                operations={key: Operation(**value) for key, value in found.pop("operations").items()},
                **found,
            )
        except (ValueError, TypeError, KeyError) as error:
            raise RehearsalError(
                f"The Azure emulator cannot read its state in {self._file}",
                "Forget the rehearsal with `./scripts/rehearse down --wipe` and start it again",
            ) from error

    def save(self) -> None:
        """Write the state. When this returns, it survives the process and the machine."""
        write_atomically(self._file, json.dumps(asdict(self.state)))


def write_atomically(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner alone."""
    temporary = file.with_suffix(".tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
