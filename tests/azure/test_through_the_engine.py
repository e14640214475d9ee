"""The provider as the engine uses it, in front of the emulator as a process: one stack, from nothing to nothing.

The tests of this module build on each other, in their order: each starts from the state that the last one left.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.azure import SUBSCRIPTION_ID
from rehearsal.language.launchers import write_launchers
from rehearsal.paths import CHECKOUT, cache_dir
from rehearsal.toolchain.build import Toolchain
from tests.azure.emulator_process import EmulatorProcess

pytestmark = pytest.mark.engine

STACK = "dev"
PLANTED = "sk-planted-value-7d1c0f"
KUBECONFIG = "apiVersion: v1\nkind: Config\nusers: [{name: not-a-real-user}]\n"


@dataclass
class Engine:
    """One stack of the test's program, and the emulator that it is deployed to."""

    pulumi: Path
    folder: Path
    environment: dict[str, str]
    emulator: EmulatorProcess

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.pulumi, *arguments, "-s", STACK, "--non-interactive"],
            cwd=self.folder / "program",
            env=self.environment,
            input=stdin,
            text=True,
            capture_output=True,
        )

    def up(self, *options: str) -> str:
        """What an `up` that succeeds prints."""
        done = self.run("up", "--yes", "--skip-preview", *options)
        assert done.returncode == 0, done.stdout
        assert PLANTED not in done.stdout
        return done.stdout

    def set(self, key: str, value: str, *options: str) -> None:
        done = self.run("config", "set", key, *options, stdin=value)
        assert done.returncode == 0, done.stderr

    def state(self) -> str:
        return self.run("stack", "export").stdout

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources in state, by the program's name."""
        found: list[dict[str, Any]] = json.loads(self.state())["deployment"].get("resources") or []
        return {one["urn"].rpartition("::")[2]: one for one in found}

    def outputs(self, name: str) -> dict[str, Any]:
        return self.resources()[name]["outputs"]

    def in_azure(self, name: str) -> dict[str, Any]:
        """A resource of the program as the emulator has it."""
        return self.emulator.get(self.resources()[name]["id"])

    def requests(self) -> list[str]:
        return self.emulator.log.read_text().splitlines()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    emulator = EmulatorProcess(folder / "azure", "--delay", "0.2", "--kubeconfig", str(kubeconfig))
    write_launchers(folder / "bin", Path(sys.executable), CHECKOUT, only_missing=False)
    for name in ("home", "backend"):
        (folder / name).mkdir()
    environment = {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "HOME": str(folder / "home"),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "not-a-real-passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "SLM_ARM_ENDPOINT": emulator.endpoint,
        "SLM_ARM_TOKEN_FILE": str(emulator.token_file),
    }
    # A copy: the engine writes the stack's file beside the program.
    shutil.copytree(Path(__file__).parent / "program", folder / "program")
    pulumi = Toolchain(cache_dir(), print).ensure(["pulumi"])["pulumi"]
    engine = Engine(pulumi, folder, environment, emulator)
    try:
        assert engine.run("stack", "init").returncode == 0
        engine.set("planted", PLANTED, "--secret")
        engine.set("azure-native:location", "westeurope")
        yield engine
    finally:
        emulator.end()


def test_a_preview_of_everything_asks_azure_nothing(engine: Engine) -> None:
    done = engine.run("preview")
    assert done.returncode == 0, done.stdout
    assert "+ 14 to create" in done.stdout
    assert engine.requests() == []
    assert PLANTED not in done.stdout


def test_an_up_makes_everything(engine: Engine) -> None:
    engine.up()
    group = engine.in_azure("group")
    assert group["name"].startswith("group")
    assert group["location"] == "westeurope"
    assert engine.in_azure("cluster")["properties"]["provisioningState"] == "Succeeded"
    assert engine.in_azure("cpu")["name"] == "cpu"
    assert engine.outputs("registry")["loginServer"] == "slmdevone.azurecr.io"
    assert engine.in_azure("credential")["properties"]["issuer"] == "https://kubernetes.default.svc"


def test_a_second_up_changes_nothing(engine: Engine) -> None:
    before = len(engine.requests())
    assert "14 unchanged" in engine.up("--expect-no-changes")
    assert [line for line in engine.requests()[before:] if not line.startswith(("GET", "POST"))] == []


def test_no_planted_value_is_in_plain_state(engine: Engine) -> None:
    state = engine.state()
    for value in (PLANTED, KUBECONFIG, "not-a-real-user"):
        for form in (value, base64.b64encode(value.encode()).decode()):
            assert form not in state
    assert base64.b64encode(KUBECONFIG.encode()).decode()[:40] not in state


def test_the_credentials_are_a_secret_output_and_whole(engine: Engine) -> None:
    masked = json.loads(engine.run("stack", "output", "--json").stdout)
    assert masked["kubeconfig"] == "[secret]"
    shown = json.loads(engine.run("stack", "output", "--json", "--show-secrets").stdout)
    assert base64.b64decode(shown["kubeconfig"]).decode() == KUBECONFIG


def test_a_preview_of_a_change_only_reads(engine: Engine) -> None:
    engine.set("team", "two")
    before = len(engine.requests())
    done = engine.run("preview")
    assert done.returncode == 0, done.stdout
    assert "~ 2 to update" in done.stdout
    assert {line.partition(" ")[0] for line in engine.requests()[before:]} <= {"GET", "POST"}
    assert engine.in_azure("vnet")["tags"] == {"team": "one"}


def test_an_update_in_place_keeps_the_resource_and_its_neighbours(engine: Engine) -> None:
    before = {name: one.get("id") for name, one in engine.resources().items()}
    engine.set("count", "3")
    engine.up()
    assert {name: one.get("id") for name, one in engine.resources().items()} == before
    assert engine.in_azure("vnet")["tags"] == {"team": "two"}
    assert engine.in_azure("cpu")["properties"]["count"] == 3
    assert len(engine.in_azure("vnet")["properties"]["subnets"]) == 3


def test_a_new_secret_value_is_a_new_version_and_no_replacement(engine: Engine) -> None:
    before = engine.outputs("api-key")["properties"]["secretUriWithVersion"]
    engine.set("planted", PLANTED + "-2", "--secret")
    engine.up()
    assert engine.outputs("api-key")["properties"]["secretUriWithVersion"] != before
    assert PLANTED not in engine.state()


def test_a_name_of_its_own_that_changes_replaces_the_resource(engine: Engine) -> None:
    old = engine.resources()["registry"]["id"]
    engine.set("registry", "slmdevtwo")
    engine.up()
    assert engine.in_azure("registry")["name"] == "slmdevtwo"
    assert engine.emulator.request("GET", old).status_code == 404


def test_a_pool_of_another_size_is_replaced_the_old_one_first(engine: Engine) -> None:
    before = len(engine.requests())
    engine.set("size", "Standard_D8s_v5")
    engine.up()
    assert engine.in_azure("cpu")["properties"]["vmSize"] == "Standard_D8s_v5"
    pool = engine.resources()["cpu"]["id"]
    verbs = [line.split()[0] for line in engine.requests()[before:] if line.split()[2] == pool]
    assert [verb for verb in verbs if verb != "GET"] == ["DELETE", "PUT"]


def test_a_refresh_finds_what_was_changed_and_deleted_by_hand_and_an_up_mends_it(engine: Engine) -> None:
    vnet, credential = engine.resources()["vnet"]["id"], engine.resources()["credential"]["id"]
    changed = engine.emulator.request("PATCH", vnet, {"tags": {"team": "somebody"}})
    assert changed.status_code == 200
    assert engine.emulator.request("DELETE", credential).status_code == 200
    done = engine.run("refresh", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout
    assert "credential" not in engine.resources()
    assert engine.outputs("vnet")["tags"] == {"team": "somebody"}
    engine.up()
    assert engine.in_azure("vnet")["tags"] == {"team": "two"}
    assert engine.in_azure("credential")["name"] == "credential"


def test_a_refresh_of_what_nobody_touched_finds_nothing(engine: Engine) -> None:
    done = engine.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout


def test_a_refusal_is_shown_with_azures_code_and_leaves_the_rest(engine: Engine) -> None:
    engine.emulator.client.post("/_faults", json={"fault": "quota", "vm_size": "Standard_D16*"})
    engine.set("size", "Standard_D16s_v5")
    done = engine.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "ErrCode_InsufficientVCPUQuota" in done.stdout
    assert "Traceback" not in done.stdout
    engine.emulator.client.delete("/_faults")
    engine.up()
    assert engine.in_azure("cpu")["properties"]["vmSize"] == "Standard_D16s_v5"


def test_an_emulator_that_is_killed_in_the_middle_of_an_operation_is_found_again(engine: Engine) -> None:
    engine.emulator.client.post("/_faults", json={"fault": "slow", "factor": 20})
    engine.set("count", "5")
    results: list[str] = []
    update = threading.Thread(target=lambda: results.append(engine.up()))
    pool = engine.resources()["cpu"]["id"]
    update.start()
    while not any(line.startswith("PUT") and pool in line for line in engine.requests()):
        assert update.is_alive()
        time.sleep(0.02)
    engine.emulator.end(signal.SIGKILL)
    engine.emulator.start()
    update.join()
    engine.emulator.client.delete("/_faults")
    assert len(results) == 1
    assert engine.in_azure("cpu")["properties"]["count"] == 5


def test_a_destroy_leaves_nothing_behind(engine: Engine) -> None:
    done = engine.run("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout
    answer = engine.emulator.request("GET", f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups")
    assert answer.json() == {"value": []}
    assert engine.resources() == {}
