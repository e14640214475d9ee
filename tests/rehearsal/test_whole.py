"""The README's first command, for real: from nothing to an answer, again without a change, and away without a trace.

Takes root and a few minutes; its state is in a folder of its own, so a rehearsal of the checkout's goes on beside it.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

CHECKOUT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="a real node needs root; the other tests do not"),
]


class Rehearsal:
    """The command line with a state folder of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"SLM_REHEARSAL_DIR": str(self.state)}
        argv = [str(CHECKOUT / "scripts" / "rehearse"), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def pulumi(self, *arguments: str) -> str:
        variables = self.status()["pulumi_env"]
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=CHECKOUT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    found = Rehearsal(tmp_path_factory.mktemp("whole") / "state")
    yield found
    found.run("down", "--wipe")


@pytest.fixture(scope="module")
def first(rehearsal: Rehearsal) -> "subprocess.CompletedProcess[str]":
    """The first run; its output says why if it failed."""
    done = rehearsal.run("dev")
    assert done.returncode == 0, done.stderr
    return done


def test_it_ends_with_the_right_answer_and_says_who_gave_it(first: "subprocess.CompletedProcess[str]") -> None:
    assert "2.4 hours" in first.stdout
    assert "fixture" in first.stdout
    assert re.search(r"\d+ passed", first.stderr)


def test_no_key_is_printed(first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal) -> None:
    key = Path(rehearsal.status()["api_key_file"]).read_text()
    assert key not in first.stdout + first.stderr
    for file in rehearsal.state.glob("dev/pulumi/backend/**/*.json"):
        assert key not in file.read_text()


def test_a_plain_pulumi_works_against_it(first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal) -> None:
    endpoint = rehearsal.pulumi("stack", "output", "endpoint", "-s", "dev").strip()
    assert re.fullmatch(r"https://[-a-z0-9]+\.westeurope\.cloudapp\.azure\.com", endpoint)


def test_a_second_run_changes_nothing(first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal) -> None:
    again = rehearsal.run("dev")
    assert again.returncode == 0, again.stderr
    log = (rehearsal.state / "dev/logs/up.log").read_text()
    assert re.search(r"\d+ unchanged", log)
    assert not re.search(r"\d+ (created|updated|deleted|replaced)", log)


def test_the_checkouts_stack_file_stays_as_it_was(first: "subprocess.CompletedProcess[str]") -> None:
    text = (CHECKOUT / "stacks/Pulumi.dev.yaml").read_text()
    assert "encryptionsalt" not in text
    assert "secure:" not in text


def test_another_stack_is_refused_while_this_one_runs(
    first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal
) -> None:
    refused = rehearsal.run("dev", "--depth", "control")
    assert refused.returncode == 1
    assert "rehearse down" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_destroy_leaves_azure_and_the_cluster_empty(
    first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal
) -> None:
    file = rehearsal.state / "dev/pulumi/Pulumi.dev.yaml"
    rehearsal.pulumi("destroy", "--yes", "--skip-preview", "-s", "dev", "--config-file", str(file))
    variables = rehearsal.status()["pulumi_env"]
    token = Path(variables["SLM_ARM_TOKEN_FILE"]).read_text()
    groups = httpx.get(
        f"{variables['SLM_ARM_ENDPOINT']}/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups",
        params={"api-version": "2024-03-01"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert groups.raise_for_status().json()["value"] == []


def test_after_a_destroy_it_comes_up_again(first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal) -> None:
    again = rehearsal.run("dev")
    assert again.returncode == 0, again.stderr
    assert "2.4 hours" in again.stdout


def test_afterwards_nothing_runs(first: "subprocess.CompletedProcess[str]", rehearsal: Rehearsal) -> None:
    assert rehearsal.run("down").returncode == 0
    assert rehearsal.status()["stack"] is None
    running = subprocess.run(["pgrep", "-f", str(rehearsal.state)], capture_output=True, text=True, check=False)
    assert running.stdout == ""
    assert str(rehearsal.state) not in Path("/proc/mounts").read_text()
