"""After a stop nothing of the node is on the machine but its state folder."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from rehearsal.control.plane import free_ports
from rehearsal.errors import RehearsalError
from rehearsal.node.layout import NodeSettings, Ports
from rehearsal.node.node import Node

pytestmark = pytest.mark.node


PLACES = ("/run", "/var/log", "/var/lib", "/etc", "/opt", "/usr/libexec")
"""Where a node's components like to write."""


def snapshot(settings: NodeSettings) -> dict[str, list[str]]:
    """What a node could leave: mounts, links and files of this machine, its own cgroups and ports."""
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout.splitlines()
    ports = tuple(f":{port}" for port in settings.ports.targets())
    return {
        "mounts": sorted(Path("/proc/mounts").read_text().splitlines()),
        "cgroups": sorted(str(found) for found in Path("/sys/fs/cgroup").glob(f"**/{settings.cgroup}")),
        "links": sorted(line.split()[0] for line in links.splitlines()),
        "listening": sorted(line for line in listening if line.split()[3].endswith(ports)),
        "files": sorted(f"{place}/{name}" for place in PLACES if Path(place).exists() for name in os.listdir(place)),
    }


def own(settings: NodeSettings, folder: Path) -> NodeSettings:
    return NodeSettings(
        folder=folder / "node",
        cache=settings.cache,
        binaries=settings.binaries,
        ports=Ports(*free_ports(4)),
        hub=False,
    )


def test_a_stopped_node_leaves_no_process_mount_cgroup_link_port_or_file(
    settings: NodeSettings, tmp_path: Path
) -> None:
    mine = own(settings, tmp_path)
    node = Node(mine)
    before = snapshot(mine)
    node.start()
    node.wait_ready()
    during = snapshot(mine)
    node.stop()

    assert before["cgroups"] == before["listening"] == []
    assert len(during["listening"]) == len(mine.ports.targets())
    assert during["cgroups"]
    assert snapshot(mine) == before
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and str(tmp_path) in command_line(pid)]


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_port_in_use_is_named_and_nothing_is_started(settings: NodeSettings, tmp_path: Path) -> None:
    mine = own(settings, tmp_path)
    with socket.create_server(("127.0.0.1", mine.ports.https)):
        node = Node(mine)
        with pytest.raises(RehearsalError, match=f"Port {mine.ports.https} of 127.0.0.1 is in use"):
            node.start()
    assert not node.running
