"""A process is started once, found again by another command, and nobody else's process is ever ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.processes import Processes, end_session

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


def test_a_session_is_ended_with_the_groups_that_it_made() -> None:
    child = "import os, time; os.setpgid(0, 0); print(os.getpid(), flush=True); time.sleep(3600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True) as first:
        assert first.stdout is not None
        grandchild = int(first.stdout.readline())
        first.kill()
        first.wait()
        end_session(first.pid)
        while Path(f"/proc/{grandchild}/stat").exists() and _state(grandchild) != "Z":
            pass


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
