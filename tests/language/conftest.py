"""Small programs run by the real engine through the language host."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.language.launchers import write_launchers
from rehearsal.paths import CHECKOUT, cache_dir
from rehearsal.toolchain.build import Toolchain

Preview = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def pulumi() -> Path:
    return Toolchain(cache_dir(), print).ensure(["pulumi"])["pulumi"]


@pytest.fixture
def preview(pulumi: Path, tmp_path: Path) -> Preview:
    """Writes a program, and previews it; returns what the engine said."""
    write_launchers(tmp_path / "bin", Path(sys.executable), CHECKOUT, only_missing=False)
    for name in ("home", "backend", "program"):
        (tmp_path / name).mkdir()
    environment = {
        "PATH": os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]),
        "HOME": str(tmp_path / "home"),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": (tmp_path / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "not-a-real-passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def run(
        source: str, *options: str, project: str = "name: test\nruntime: python\n"
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program" / "Pulumi.yaml").write_text(project)
        (tmp_path / "program" / "__main__.py").write_text(source)
        results = [
            subprocess.run(
                [pulumi, *arguments, "--non-interactive"],
                cwd=tmp_path / "program",
                env=environment,
                text=True,
                capture_output=True,
                check=False,
            )
            for arguments in (["stack", "init", "dev"], ["preview", "-s", "dev", *options])
        ]
        return results[-1]

    return run
