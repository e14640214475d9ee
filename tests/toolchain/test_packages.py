"""Debian's packages, with an apt-get that only writes down what it is asked for."""

import os
from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.toolchain import packages
from rehearsal.toolchain.__main__ import main
from rehearsal.toolchain.catalogue import DebianPackage

THERE = DebianPackage("there", "/bin/sh", "is there")


@pytest.fixture
def missing(tmp_path: Path) -> DebianPackage:
    return DebianPackage("absent", str(tmp_path / "absent"), "does something")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What apt-get was asked for; it fails while there is a file `broken` or, until an update, `stale`."""
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'case "$*" in *update*) rm -f {tmp_path}/stale; exit;; esac\n'
        f'[ -e {tmp_path}/stale ] || [ -e {tmp_path}/broken ] && echo "E: no such package" >&2 && exit 100\nexit 0\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path / "asked"


def test_what_is_there_is_not_installed(asked: Path) -> None:
    packages.ensure([THERE], print)

    assert not asked.exists()


def test_what_is_missing_is_installed_and_said_why(asked: Path, missing: DebianPackage) -> None:
    said: list[str] = []

    packages.ensure([THERE, missing], said.append)

    assert said == ["installing absent: does something"]
    (line,) = asked.read_text().splitlines()
    assert "install" in line
    assert line.endswith(" absent")


def test_the_lists_are_fetched_only_if_they_are_old(asked: Path, missing: DebianPackage) -> None:
    (asked.parent / "stale").touch()

    packages.ensure([missing], print)

    assert ["update" in line for line in asked.read_text().splitlines()] == [False, True, False]


def test_an_installation_that_fails_is_a_sentence(asked: Path, missing: DebianPackage) -> None:
    (asked.parent / "broken").touch()

    with pytest.raises(RehearsalError, match=r"E: no such package.*Install absent by hand"):
        packages.ensure([missing], print)


def test_without_root_nothing_is_installed(
    asked: Path, missing: DebianPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(RehearsalError, match=r"missing: absent.*--depth control"):
        packages.ensure([missing], print)

    assert not asked.exists()


def test_a_tool_that_does_not_exist_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ensure", "nonsense"]) == 1
    assert capsys.readouterr().err.startswith("Error: There is no nonsense. Say `list`")
