"""The node's own part of the cgroup tree, on version 1 (a tree for each controller) and version 2 (one tree).

Owns the folder with the node's name in each tree: `system` for its services, what kubelet makes for the pods. Every
process of the node is in it, so it also tells which processes of this machine are the node's.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from rehearsal.errors import RehearsalError

ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def unified(root: Path = ROOT) -> bool:
    """Whether this machine has version 2 alone."""
    return (root / "cgroup.controllers").exists()


def trees(root: Path = ROOT) -> list[Path]:
    """The folder of each tree. Version 1 may have version 2's besides, without controllers.

    Raises:
        RehearsalError: if this machine shows no cgroups.
    """
    if unified(root):
        return [root]
    found = [tree for tree in sorted(root.iterdir()) if (tree / "cgroup.procs").exists() and not tree.is_symlink()]
    if not found:
        raise RehearsalError(f"No cgroups are mounted at {root}", "Use a machine or a privileged container with them")
    return found


def enter(name: str) -> None:
    """Make the node's folder in each tree and put this process (and so its children) into its `system`.

    Raises:
        RehearsalError: if the trees cannot be written to.
    """
    try:
        if unified():
            _delegate(ROOT)
        for tree in trees():
            system = tree / name / "system"
            system.mkdir(parents=True, exist_ok=True)
            _inherit_cpuset(tree / name)
            _inherit_cpuset(system)
            if unified():
                _delegate(tree / name)
            (system / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        raise RehearsalError(
            f"Cannot make cgroups: {error}", "Run as root on the machine itself or in a privileged container"
        ) from error


def processes(name: str) -> set[int]:
    """Every process of this machine that is in the node's part of a tree."""
    found: set[int] = set()
    for tree in trees():
        for file in (tree / name).glob("**/cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in file.read_text().split())
    return found - {0}


def remove(name: str, patience_seconds: float = 20) -> None:
    """End what is left in the node's part and take it away.

    Raises:
        RehearsalError: if something there cannot be ended.
    """
    deadline = time.monotonic() + patience_seconds
    while left := processes(name):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise RehearsalError(f"Processes of the node do not end: {sorted(left)}", "Restart the machine")
        time.sleep(0.05)
    while not all([_remove_tree(tree / name) for tree in trees()]) and time.monotonic() < deadline:
        time.sleep(0.05)


def _remove_tree(top: Path) -> bool:
    if not top.exists():
        return True
    # rmdir alone takes a cgroup away; its files are not files. The kernel may need a moment after the last process.
    folders = sorted((folder for folder in top.glob("**/") if folder.is_dir()), key=lambda f: -len(f.parts))
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not top.exists()


def _delegate(folder: Path) -> None:
    there = (folder / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{controller}" for controller in _CONTROLLERS if controller in there)
    (folder / "cgroup.subtree_control").write_text(wanted)


def _inherit_cpuset(folder: Path) -> None:
    """Version 1's cpuset starts empty and takes no process until it has processors and memory."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not unified() and (folder / file).exists() and not (folder / file).read_text().strip():
            (folder / file).write_text((folder.parent / file).read_text())
