"""Pieces of Kubernetes manifests that every workload of the stack has in common, in Kubernetes' own words.

Pure: each function answers a part of a manifest. Values that are known only in the cloud stay outputs.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

from stacks.settings import Resources

Manifest = Any
"""A part of a manifest: plain dictionaries and lists, which the API server checks and not Python's types."""
USER_ID = 10001
"""Nobody's number on a node; the images are built for it."""
PART_OF = "slm"


def metadata(namespace: pulumi.Input[str], name: str, component: str) -> Manifest:
    """An object's name, place and labels. Named, so that what refers to it can be read in the program."""
    return {"namespace": namespace, "name": name, "labels": labels(name, component)}


def labels(name: str, component: str) -> dict[str, str]:
    """Kubernetes' recommended labels: `component` is server, gateway or weights."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": PART_OF,
    }


def selector(name: str) -> dict[str, str]:
    """What finds a workload's pods."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": PART_OF}


def pod_security() -> Manifest:
    """A pod's part of what the `restricted` standard asks for."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(*capabilities: str) -> Manifest:
    """A container's part, with the capabilities that it cannot do without."""
    added = {"add": list(capabilities)} if capabilities else {}
    return {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **added},
    }


def resources(wanted: Resources) -> Manifest:
    """Requests and limits in Kubernetes' units."""
    return {
        "requests": {"cpu": _cores(wanted.cpu_request), "memory": _mebibytes(wanted.memory_request_gib)},
        "limits": {"cpu": _cores(wanted.cpu_limit), "memory": _mebibytes(wanted.memory_limit_gib)},
    }


def http_probe(path: str, port: str, *, period_seconds: int, failures: int, timeout_seconds: int = 5) -> Manifest:
    """A probe by HTTP GET."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_seconds,
        "failureThreshold": failures,
        "timeoutSeconds": timeout_seconds,
    }


def environment(values: Mapping[str, str]) -> Manifest:
    """Environment variables; never for secrets."""
    return [{"name": name, "value": value} for name, value in values.items()]


def scratch(name: str, size: str) -> Manifest:
    """A volume that ends with its pod."""
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def claim(name: str, claim_name: pulumi.Input[str], *, read_only: bool) -> Manifest:
    """A volume from a claim. The API server keeps no `readOnly: false`, and would be asked for it again and again."""
    source = {"claimName": claim_name} | ({"readOnly": True} if read_only else {})
    return {"name": name, "persistentVolumeClaim": source}


def spread(name: str) -> Manifest:
    """Pods on different nodes and in different zones where there are some."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(name)},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def disruption_budget(name: str) -> Manifest:
    """At most one pod less at a time, whatever the number: `minAvailable` would block every drain at one replica."""
    return {"maxUnavailable": 1, "selector": {"matchLabels": selector(name)}}


def _cores(cores: float) -> str:
    return f"{round(cores * 1000)}m"


def _mebibytes(gib: float) -> str:
    return f"{round(gib * 1024)}Mi"
