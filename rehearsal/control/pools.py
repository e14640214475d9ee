"""The emulator's agent pools, as a cloud controller sees them: how many nodes of which kind there should be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from rehearsal.control.kube import Object
from rehearsal.control.machines import Machine, machine

API_VERSION = "2025-09-01"
POOL_LABEL = "kubernetes.azure.com/agentpool"
_DEFAULT_MAX_PODS = 250
"""AKS's default with Azure CNI overlay."""
_SPOT = "kubernetes.azure.com/scalesetpriority"


@dataclass(frozen=True)
class Pool:
    """An agent pool as Azure's API describes it."""

    name: str
    properties: Mapping[str, Any]

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        autoscaled = self.properties.get("enableAutoScaling")
        return int(self.properties.get("minCount" if autoscaled else "count") or 0)

    @property
    def vm_size(self) -> str:
        """The size of its machines."""
        return str(self.properties.get("vmSize", ""))

    @property
    def machine(self) -> Machine | None:
        """What one of its machines has; None for a size that is not known here."""
        return machine(self.vm_size)

    @property
    def max_pods(self) -> int:
        """How many pods one node takes."""
        return int(self.properties.get("maxPods") or _DEFAULT_MAX_PODS)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its nodes that AKS and the program set."""
        spot = {_SPOT: "spot"} if self._is_spot else {}
        return {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            POOL_LABEL: self.name,
            "agentpool": self.name,
            "kubernetes.azure.com/mode": str(self.properties.get("mode", "User")).lower(),
            "node.kubernetes.io/instance-type": self.vm_size,
            **spot,
            **(self.properties.get("nodeLabels") or {}),
        }

    @property
    def taints(self) -> list[dict[str, str]]:
        """Its nodes' taints, from AKS's `key=value:effect` form."""
        written: list[str] = list(self.properties.get("nodeTaints") or [])
        if self._is_spot:
            written.append(f"{_SPOT}=spot:NoSchedule")
        parts = [re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(\w+)", text) for text in dict.fromkeys(written)]
        return [{"key": part[1], "value": part[2] or "", "effect": part[3]} for part in parts if part]

    @property
    def _is_spot(self) -> bool:
        return self.properties.get("scaleSetPriority") == "Spot"


class Arm:
    """The emulator's agent pools over HTTP."""

    def __init__(self, endpoint: str, token_file: Path | None, subscription: str) -> None:
        self._token_file = token_file
        self._subscription = subscription
        self._client = httpx.Client(base_url=endpoint, timeout=5, trust_env=False)

    def pools(self) -> list[Pool] | None:
        """Every agent pool that is not being deleted; None if there is no cluster (any more).

        Raises:
            httpx.HTTPError: if the emulator does not answer or refuses.
            OSError: if the token's file cannot be read.
        """
        clusters = self._list(
            f"/subscriptions/{self._subscription}/providers/Microsoft.ContainerService/managedClusters"
        )
        staying = [cluster for cluster in clusters if _stays(cluster)]
        found = [entry for cluster in staying for entry in self._list(f"{cluster['id']}/agentPools")]
        return [Pool(entry["name"], entry["properties"]) for entry in found if _stays(entry)] if staying else None

    def _list(self, path: str) -> list[Object]:
        token = self._token_file.read_text().strip() if self._token_file else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._client.get(path, params={"api-version": API_VERSION}, headers=headers)
        return answer.raise_for_status().json()["value"]


def _stays(entry: Object) -> bool:
    return entry["properties"].get("provisioningState") != "Deleting"
