"""What is typed wrong, or cannot be done, is one sentence with a way out, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal import cli
from rehearsal.errors import RehearsalError
from rehearsal.lock import working

CHECKOUT = Path(__file__).parents[2]


def rehearse(state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"SLM_REHEARSAL_DIR": str(state), "PYTHONPATH": str(CHECKOUT)}
    argv = [sys.executable, "-m", "rehearsal.cli", *arguments]
    return subprocess.run(argv, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_an_unknown_stack_is_answered_with_those_there_are(tmp_path: Path) -> None:
    refused = rehearse(tmp_path, "prod")
    assert refused.returncode == 1
    assert "prod-gpu" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_wrong_depth_is_named(tmp_path: Path) -> None:
    refused = rehearse(tmp_path, "dev", "--depth", "deep")
    assert refused.returncode == 2
    assert "control" in refused.stderr


def test_every_stack_is_a_command() -> None:
    assert cli.STACKS == ["compare", "dev", "edge", "preview", "prod-cpu", "prod-gpu"]


def test_nothing_running_is_a_state_and_not_an_error(tmp_path: Path) -> None:
    asked = rehearse(tmp_path, "status", "--json")
    assert asked.returncode == 3
    assert '"stack": null' in asked.stdout


def test_down_without_anything_running_is_done_at_once(tmp_path: Path) -> None:
    assert rehearse(tmp_path / "none", "down").returncode == 0


def test_logs_of_nothing_say_how_to_start(tmp_path: Path) -> None:
    assert "rehearse dev" in rehearse(tmp_path, "logs").stderr


def test_two_commands_do_not_work_at_once(tmp_path: Path) -> None:
    with working(tmp_path, "rehearse dev"), pytest.raises(RehearsalError, match="rehearse dev"), working(tmp_path, "x"):
        pass


def test_the_command_that_takes_over_ends_the_other(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from rehearsal.lock import working\n"
            "with working(Path(sys.argv[1]), 'rehearse dev'):\n    print('held', flush=True); time.sleep(3600)",
            str(tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with working(tmp_path, "rehearse down", take_over=True):
            assert holder.wait() != 0
