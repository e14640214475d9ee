"""What the node's tests run in the cluster: a small application under the restricted profile, and a Caddy in front."""

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
NAMESPACE = "node-test"
PUBLIC_NAME = "slm-node-test.westeurope.cloudapp.azure.com"
LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}
CADDYFILE = f"""\
{{
    https_port 8443
    http_port 8080
    admin off
    storage file_system /data
}}
{PUBLIC_NAME} {{
    reverse_proxy app:80
}}
"""


def namespace() -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": LABELS}}


def claim(name: str, storage_class: str, mode: str) -> Object:
    spec = {"accessModes": [mode], "storageClassName": storage_class, "resources": {"requests": {"storage": "1Gi"}}}
    return _named("v1", "PersistentVolumeClaim", name, spec)


def service(name: str, ports: Mapping[int, int], kind: str = "ClusterIP") -> Object:
    listed = [{"name": f"p{port}", "port": port, "targetPort": target} for port, target in ports.items()]
    return _named("v1", "Service", name, {"type": kind, "selector": {"app": name}, "ports": listed})


def pod(name: str, image: str, volumes: Mapping[str, Object], *, app: str, probe_port: int, **container: Any) -> Object:
    """A pod of the restricted profile; `volumes` maps where it is mounted to what it is."""
    mounts = [{"name": f"v{n}", "mountPath": path} for n, path in enumerate(volumes)]
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        **container.pop("security", {}),
    }
    main = {
        "name": "main",
        "image": image,
        "securityContext": security,
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "readinessProbe": {"tcpSocket": {"port": probe_port}, "periodSeconds": 1},
        **container,
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": f"v{n}", **source} for n, source in enumerate(volumes.values())],
        "containers": [main],
    }
    found = dict(_named("v1", "Pod", name, spec))
    found["metadata"] = {**found["metadata"], "labels": {"app": app}}
    return found


def gateway(image: str) -> list[Object]:
    """A Caddy that gets its certificate from the public authority's address, behind a load balancer."""
    configuration = dict(_named("v1", "ConfigMap", "gateway", {}))
    del configuration["spec"]
    configuration["data"] = {"Caddyfile": CADDYFILE}
    volumes: dict[str, Object] = {"/etc/caddy": {"configMap": {"name": "gateway"}}, "/data": {"emptyDir": {}}}
    volumes["/config"] = {"emptyDir": {}}
    # The image's binary has this capability, as the official one has: without it in the bounding set it cannot start.
    security = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    front = pod("gateway", image, volumes, app="gateway", probe_port=8443, security=security)
    return [configuration, front, service("gateway", {443: 8443, 80: 8080}, "LoadBalancer")]


def path(manifest: Object) -> str:
    """The API path of a manifest."""
    plural = {"Namespace": "namespaces"}.get(manifest["kind"], f"{manifest['kind'].lower()}s")
    group = "apis" if "/" in manifest["apiVersion"] else "api"
    where = manifest["metadata"].get("namespace")
    scope = f"namespaces/{where}/" if where else ""
    plural = "secretproviderclasses" if manifest["kind"] == "SecretProviderClass" else plural
    return f"/{group}/{manifest['apiVersion']}/{scope}{plural}/{manifest['metadata']['name']}"


def _named(version: str, kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
