"""Workloads for simulated nodes."""

from typing import Any


def deployment(name: str, pool: str, replicas: int = 1, claim: str = "", cpu: str = "1") -> Any:
    labels = {"app": name}
    spec = {"selector": {"matchLabels": labels}, "replicas": replicas, "template": _template(labels, pool, claim, cpu)}
    return {"metadata": {"name": name}, "spec": spec}


def job(name: str, pool: str, claim: str = "") -> Any:
    template = _template({"app": name}, pool, claim, "1")
    template["spec"]["restartPolicy"] = "Never"
    return {"metadata": {"name": name}, "spec": {"template": template}}


def claim(name: str, storage_class: str, mode: str = "ReadWriteMany") -> Any:
    spec = {"accessModes": [mode], "storageClassName": storage_class, "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


def service(name: str, **spec: Any) -> Any:
    return {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 443}], **spec}}


def budget(app: str, minimum: int) -> Any:
    return {"metadata": {"name": app}, "spec": {"minAvailable": minimum, "selector": {"matchLabels": {"app": app}}}}


def restricted(kind: dict[str, Any]) -> Any:
    """The same namespace or pod under Kubernetes' `restricted` Pod Security."""
    metadata = kind["metadata"]
    return {**kind, "metadata": {**metadata, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}


def _template(labels: dict[str, str], pool: str, claim: str, cpu: str) -> Any:
    container: dict[str, Any] = {"name": "main", "image": "nothing", "resources": {"requests": {"cpu": cpu}}}
    spec: dict[str, Any] = {"nodeSelector": {"slm/pool": pool}, "containers": [container]}
    if claim:
        container["volumeMounts"] = [{"name": "volume", "mountPath": "/volume"}]
        spec["volumes"] = [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]
    return {"metadata": {"labels": labels}, "spec": spec}
