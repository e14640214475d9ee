"""The node's plan and its files fit together."""

from pathlib import Path

import pytest
import yaml

from rehearsal.node import configuration, plan
from rehearsal.node.layout import Binaries, NodeSettings, Ports
from rehearsal.node.services import Plan
from rehearsal.toolchain import NODE

PORTS = Ports(api=1, registry=2, https=3, http=4)
DESCRIPTORS = {1: 11, 2: 12, 3: 13, 4: 14}


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    tools = {name: Path("/tools") / name for name in NODE}
    return NodeSettings(
        folder=tmp_path / "node",
        cache=tmp_path / "cache",
        binaries=Binaries.built(tools),
        ports=PORTS,
        emulator_socket=tmp_path / "arm.sock",
    )


def test_every_service_waits_only_for_services_that_are_there(settings: NodeSettings) -> None:
    services = plan.make(settings, DESCRIPTORS).services
    names = {service.name for service in services}
    assert len(names) == len(services)
    assert {needed for service in services for needed in service.needs} <= names


def test_a_plan_survives_its_way_to_the_supervisor(settings: NodeSettings) -> None:
    made = plan.make(settings, DESCRIPTORS)
    assert Plan.from_json(made.to_json()) == made


def test_each_port_leads_to_its_own_target(settings: NodeSettings) -> None:
    (publish,) = [service for service in plan.make(settings, DESCRIPTORS).services if service.name == "publish"]
    assert {"11=127.0.0.1:6443", "12=127.0.0.1:5000", "13=10.77.0.10:443", "14=10.77.0.10:80"} <= set(publish.argv)
    assert set(publish.descriptors) == set(DESCRIPTORS.values())


def test_without_an_emulator_there_is_no_secrets_driver(settings: NodeSettings) -> None:
    alone = NodeSettings(folder=settings.folder, cache=settings.cache, binaries=settings.binaries, ports=PORTS)
    assert "secrets-store" not in {service.name for service in plan.make(alone, DESCRIPTORS).services}


def test_every_file_that_a_command_names_is_written(settings: NodeSettings) -> None:
    plan.prepare(settings)
    named = {
        part.partition("=")[2] or part
        for service in plan.make(settings, DESCRIPTORS).services
        for part in service.argv
        if "/run/slm/etc/" in part
    }
    assert named
    for name in named:
        assert (settings.folder / Path(name).relative_to("/run/slm")).exists(), name


def test_no_other_user_reads_a_kubeconfig(settings: NodeSettings) -> None:
    plan.prepare(settings)
    files = [*settings.folder.glob("etc/*.kubeconfig"), settings.folder / "kubeconfig"]
    assert len(files) == len(plan.USERS) + 1
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_a_helper_pod_never_lands_on_a_simulated_node() -> None:
    assert yaml.safe_load(configuration.helper_pod("node-1"))["spec"]["nodeSelector"] == {
        "kubernetes.io/hostname": "node-1"
    }
