"""A process is started once, found again by another command, and nobody else's process is ever ended."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.processes import Processes

FOREVER = [sys.executable, "-c", "import time; time.sleep(3600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path)
    yield found
    found.stop_all()


def test_a_second_start_finds_the_first(processes: Processes, tmp_path: Path) -> None:
    pid = processes.start("server", FOREVER)
    assert Processes(tmp_path).start("server", FOREVER) == pid


def test_another_command_ends_it(processes: Processes, tmp_path: Path) -> None:
    processes.start("server", FOREVER)
    Processes(tmp_path).stop("server")
    assert not processes.alive("server")
    assert processes.names() == []


def test_one_that_does_not_listen_is_ended_all_the_same(processes: Processes) -> None:
    processes.start("server", STUBBORN)
    processes.stop("server", grace_seconds=0.2)
    assert not processes.alive("server")


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "server.pid").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert not processes.alive("server")
    processes.stop("server")  # would end this very test


def test_a_half_written_record_is_no_process(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "server.pid").write_text('{"pid": ')
    assert not processes.alive("server")
    assert processes.start("server", FOREVER) > 0


def test_output_goes_to_the_log(processes: Processes) -> None:
    processes.start("speaker", [sys.executable, "-c", "print('ready', flush=True)"])
    while processes.alive("speaker"):
        pass
    assert processes.log("speaker").read_text() == "ready\n"


def test_a_missing_program_is_a_sentence(processes: Processes) -> None:
    with pytest.raises(RehearsalError, match="Cannot start server"):
        processes.start("server", ["/nonexistent/program"])
