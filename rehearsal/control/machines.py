"""What Azure's VM sizes have, and how much of it AKS leaves to pods.

Numbers from Azure's pages on VM sizes and on AKS's node resource reservations [learn.microsoft.com/azure/aks/
node-resource-reservations]. Does not own which sizes may be had where.
"""

import re
from dataclasses import dataclass

_GIB_PER_VCPU = {"A": 2.0, "B": 4.0, "D": 4.0, "E": 8.0, "F": 2.0}
"""General families: memory for each vCPU, in GiB. A lower-case `l` in the name halves it to 2 (Dlsv5, Bls_v2)."""
_EXACT = {
    # size: vCPUs, memory in GiB, GPUs (a part of one is scheduled as one)
    "Standard_B1ms": (1, 2, 0),
    "Standard_B2s": (2, 4, 0),
    "Standard_B2ms": (2, 8, 0),
    "Standard_NC4as_T4_v3": (4, 28, 1),
    "Standard_NC8as_T4_v3": (8, 56, 1),
    "Standard_NC16as_T4_v3": (16, 110, 1),
    "Standard_NC64as_T4_v3": (64, 440, 4),
    "Standard_NV6ads_A10_v5": (6, 55, 1),
    "Standard_NV12ads_A10_v5": (12, 110, 1),
    "Standard_NV18ads_A10_v5": (18, 220, 1),
    "Standard_NV36ads_A10_v5": (36, 440, 1),
    "Standard_NV36adms_A10_v5": (36, 880, 1),
    "Standard_NV72ads_A10_v5": (72, 880, 2),
    "Standard_NC24ads_A100_v4": (24, 220, 1),
    "Standard_NC48ads_A100_v4": (48, 440, 2),
    "Standard_NC96ads_A100_v4": (96, 880, 4),
    "Standard_NC40ads_H100_v5": (40, 320, 1),
    "Standard_NC80adis_H100_v5": (80, 640, 2),
    "Standard_ND96asr_v4": (96, 900, 8),
    "Standard_ND96isr_H100_v5": (96, 1900, 8),
}
_RESERVED_MILLICORES = {1: 60, 2: 100, 4: 140, 8: 180, 16: 260, 32: 420, 64: 740}
"""By cores; in between, what the next smaller machine reserves."""
_RESERVED_MIB_PER_POD = 20
_RESERVED_MIB = 50
_RESERVED_SHARE = 0.25
"""Kubernetes' own share of memory from 1.29 on: 20 MiB a pod and 50 MiB, but never more than a quarter."""
_EVICTION_MIB = 100


@dataclass(frozen=True)
class Machine:
    """One VM."""

    vcpus: int
    memory_gib: float
    gpus: int

    def capacity(self, max_pods: int) -> dict[str, str]:
        """A node's `status.capacity`."""
        return self._resources(self.vcpus * 1000, self.memory_gib * 1024, max_pods)

    def allocatable(self, max_pods: int) -> dict[str, str]:
        """A node's `status.allocatable`: what AKS does not keep for the system."""
        cores = max((size for size in _RESERVED_MILLICORES if size <= self.vcpus), default=1)
        memory_mib = self.memory_gib * 1024
        reserved_mib = min(_RESERVED_MIB_PER_POD * max_pods + _RESERVED_MIB, memory_mib * _RESERVED_SHARE)
        millicores = self.vcpus * 1000 - _RESERVED_MILLICORES[cores]
        return self._resources(millicores, memory_mib - reserved_mib - _EVICTION_MIB, max_pods)

    def _resources(self, millicores: int, memory_mib: float, max_pods: int) -> dict[str, str]:
        gpus = {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        common = {"pods": str(max_pods), "ephemeral-storage": "100Gi"}
        return {"cpu": f"{millicores}m", "memory": f"{int(memory_mib)}Mi", **common, **gpus}


def machine(vm_size: str) -> Machine | None:
    """The machine of an Azure VM size; None for a size that is not known here."""
    if vm_size in _EXACT:
        return Machine(*_EXACT[vm_size])
    size = re.fullmatch(r"Standard_([ABDEF])(\d+)(?:-\d+)?([a-z]*)(?:_.*)?", vm_size)
    if size is None:
        return None
    vcpus = int(size[2])
    per_vcpu = 2.0 if "l" in size[3] else _GIB_PER_VCPU[size[1]]
    return Machine(vcpus, vcpus * per_vcpu, 0)
