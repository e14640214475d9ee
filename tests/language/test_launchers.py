"""Launchers stand in for missing plugins, and only for those."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.language.launchers import MODULES, write_launchers
from rehearsal.paths import CHECKOUT


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))


def make_executable(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)


def test_every_missing_plugin_gets_a_launcher(tmp_path: Path) -> None:
    assert write_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT) == list(MODULES)


def test_a_real_plugin_on_path_is_left_to_do_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT)
    make_executable(tmp_path / "real" / "pulumi-resource-kubernetes")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tmp_path / 'real'}")

    written = write_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT)

    assert "pulumi-resource-kubernetes" not in written
    assert not (tmp_path / "bin" / "pulumi-resource-kubernetes").exists()
    assert "pulumi-language-python" in written


def test_a_real_plugin_in_pulumis_home_is_left_to_do_its_work(tmp_path: Path) -> None:
    make_executable(tmp_path / "home" / "plugins" / "resource-kubernetes-v4.34.2" / "pulumi-resource-kubernetes")

    assert "pulumi-resource-kubernetes" not in write_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT)


@pytest.mark.parametrize("name", ["pulumi-language-python", "pulumi-resource-kubernetes"])
def test_a_launcher_serves_from_any_folder(tmp_path: Path, name: str) -> None:
    write_launchers(tmp_path / "folder with space", Path(sys.executable), CHECKOUT)

    process = subprocess.Popen(
        [tmp_path / "folder with space" / name, "127.0.0.1:1"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert 0 < int(process.stdout.readline()) < 65536
    finally:
        process.kill()
        process.communicate()
