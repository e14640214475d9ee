"""What the language host knows of a program's environment."""

import sys
from pathlib import Path

import pytest
from pulumi.runtime.proto import language_pb2

from rehearsal.language import analyzer
from rehearsal.language.environment import Environment
from rehearsal.language.host import Host


def info(root: Path, virtualenv: str) -> language_pb2.ProgramInfo:
    found = language_pb2.ProgramInfo(root_directory=str(root), program_directory=str(root), entry_point=".")
    found.options.update({"virtualenv": virtualenv})
    return found


def test_an_environment_is_looked_for_beside_the_project(tmp_path: Path) -> None:
    environment = Environment.of(info(tmp_path, "venv"))

    assert environment.python == tmp_path / "venv" / "bin" / "python"
    assert not environment.is_ours


def test_this_environment_is_known_by_any_path_to_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sys.prefix)

    assert Environment.of(info(tmp_path, "link")).is_ours


def test_a_project_without_an_environment_runs_in_this_one() -> None:
    assert Environment.of(language_pb2.ProgramInfo()).is_ours


def test_a_missing_environment_is_one_sentence_with_the_fix(tmp_path: Path) -> None:
    answer = Host("").Run(language_pb2.RunRequest(info=info(tmp_path, "gone")), None)  # type: ignore[arg-type] - no context is used

    assert answer.error.endswith("is missing. Run `pulumi install` to make it.")


def test_direct_dependencies_leave_out_what_others_asked_for() -> None:
    environment = Environment.of(language_pb2.ProgramInfo())
    everything = {found.name for found in environment.dependencies(transitive=True)}
    direct = {found.name for found in environment.dependencies(transitive=False)}

    assert "pulumi-kubernetes" in {name.replace("_", "-") for name in direct}
    assert {"grpcio", "pulumi"} <= everything - direct


@pytest.mark.parametrize(
    ("options", "python"), [([], sys.executable), (["-virtualenv=venv"], "/packs/limits/venv/bin/python")]
)
def test_a_policy_pack_runs_in_its_own_environment(options: list[str], python: str) -> None:
    command = analyzer.command(["127.0.0.1:1", ".", *options], Path("/packs/limits"))

    assert command == [python, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "."]
