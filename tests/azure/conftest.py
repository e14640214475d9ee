"""Fixtures: an emulator in this process, empty or with a resource of every type."""

from pathlib import Path

import pytest

from rehearsal.azure.emulator.world import Settings
from tests.azure.support import Azure


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    return Azure(tmp_path / "azure", Settings(delay_factor=0, kubeconfig=kubeconfig, directory_lag_seconds=0))


@pytest.fixture
def full(azure: Azure) -> Azure:
    azure.make()
    return azure
