"""The world that the node's processes live in: mounts, network links and cgroups of the namespaces they were given.

Runs once, in PID 1, before any service. Everything it makes ends with the namespaces, but for the cgroups and the
folders listed in `made.json`, which `Node.stop` takes away.
"""

import json
import os
import socket
import subprocess
from pathlib import Path

from rehearsal.node import cgroups
from rehearsal.node.layout import GATEWAY_ADDRESS, HOME, NODE_ADDRESS, SERVICE_RANGE, VALIDATION_ADDRESS
from rehearsal.node.services import Plan

FOLDERS = ("containerd", "etcd", "kubelet", "logs", "podlogs", "varlog", "volumes/disk", "volumes/file")
_HIDDEN = {Path("/var/log"): "varlog", Path("/var/lib/cni"): "cni"}
"""Folders of this machine that a component insists on writing to, and the state folder's that it gets instead."""
RESOLVER = Path("/etc/resolv.conf")


def set_up(plan: Plan) -> None:
    """Make this process' namespaces a node's."""
    socket.sethostname(plan.node)
    cgroups.enter(plan.cgroup)
    for name in (*FOLDERS, *_HIDDEN.values()):
        (plan.folder / name).mkdir(parents=True, exist_ok=True)
    _mounts(plan.folder)
    for inside, outside in plan.binds.items():
        Path(inside).mkdir(parents=True)
        _run("mount", "--bind", outside, inside)
    _links()
    os.chdir("/")


def _mounts(folder: Path) -> None:
    _note_made(folder)
    for hidden, name in _HIDDEN.items():
        hidden.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(folder / name), str(hidden))
    _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
    (HOME.parent / "lock").mkdir()
    HOME.mkdir()
    _run("mount", "--bind", str(folder), str(HOME))
    _resolver(folder)
    # kubelet's mounts must show in the containers that are started before them.
    _run("mount", "--bind", str(HOME / "kubelet"), str(HOME / "kubelet"))
    _run("mount", "--make-rshared", str(HOME / "kubelet"))


def _resolver(folder: Path) -> None:
    """Names of the node's own processes resolve here, whatever the machine's resolver is."""
    target = RESOLVER.resolve()  # systemd's is a link into /run, which is the node's own by now
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _run("mount", "--bind", str(folder / "etc/node-resolv.conf"), str(target))


def _note_made(folder: Path) -> None:
    missing = [str(path) for path in (*_HIDDEN, RESOLVER) if not path.exists()]
    if missing:
        (folder / "made.json").write_text(json.dumps(missing))


def _links() -> None:
    _run("ip", "link", "set", "lo", "up")
    for address in (NODE_ADDRESS, VALIDATION_ADDRESS):
        _run("ip", "address", "add", f"{address}/32", "dev", "lo")
    # A bridge without ports, not lo: over lo the refusal for a Service without endpoints is never delivered.
    _run("ip", "link", "add", "svc0", "type", "bridge")
    _run("ip", "link", "set", "svc0", "up")
    for place in (SERVICE_RANGE, f"{GATEWAY_ADDRESS}/32"):
        _run("ip", "route", "add", place, "dev", "svc0", "src", NODE_ADDRESS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
