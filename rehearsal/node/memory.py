"""How much memory the node takes: each service and each pod, from the kernel's own account of its processes.

Resident memory counts what processes share once for each; the proportional share divides it, so only that adds up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.node import cgroups


@dataclass(frozen=True)
class Row:
    """Memory of all processes under one name, in MiB."""

    name: str
    resident_mib: float
    proportional_mib: float


def table(cgroup: str, services: Mapping[int, str]) -> list[Row]:
    """A row for each service (by its pid inside the node) and for each other command, the largest first."""
    sums: dict[str, tuple[float, float]] = {}
    for pid in cgroups.processes(cgroup):
        try:
            name = _name(pid, services)
            resident, proportional = _rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())
        except OSError:
            continue  # it ended meanwhile
        before = sums.get(name, (0.0, 0.0))
        sums[name] = (before[0] + resident, before[1] + proportional)
    rows = [Row(name, round(resident, 1), round(proportional, 1)) for name, (resident, proportional) in sums.items()]
    return sorted(rows, key=lambda row: -row.proportional_mib)


def _name(pid: int, services: Mapping[int, str]) -> str:
    inside = pid_inside(pid)
    if inside == 1:
        return "supervisor"
    if inside is not None and inside in services:
        return services[inside]
    where = "pod" if "kubepods" in Path(f"/proc/{pid}/cgroup").read_text() else "node"
    return f"{where}: {_status(pid)['Name']}"


def pid_inside(pid: int) -> int | None:
    """A process' number inside the node; None for one in a container, which has a namespace of its own.

    Raises:
        OSError: if it has ended.
    """
    chain = [int(number) for number in _status(pid)["NSpid"].split()]
    # The first number is this machine's, the second the node's; a container's namespace adds a third.
    return chain[1] if len(chain) == 2 else None


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _rollup(text: str) -> tuple[float, float]:
    kib = {line.split(":")[0]: float(line.split()[1]) for line in text.splitlines() if line.endswith("kB")}
    return kib.get("Rss", 0.0) / 1024, kib.get("Pss", 0.0) / 1024
