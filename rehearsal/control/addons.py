"""What AKS and its add-ons put into a cluster before the program does: storage classes and custom resource definitions.

The Key Vault add-on's and KEDA's own namespace is kube-system, and their priority classes are the two that every
cluster has, so there is nothing to make of those.

Not checked:
- ScaledObject and TriggerAuthentication: what stands in a trigger's metadata, which KEDA checks when it reads it.
- SecretProviderClass: its parameters, which the provider checks when it mounts.
- Storage classes: parameters, sizes and zones of Azure's disks and shares; both kinds are whatever `provisioner` makes.
- The add-ons' admission webhooks, and the workload identity webhook's changes to pods.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx

from rehearsal.control.kube import Kube, Object

STORAGE_CLASSES = ("default", "managed-csi", "managed-csi-premium", "azurefile-csi", "azurefile-csi-premium")
"""AKS's built-in classes [learn.microsoft.com/azure/aks/concepts-storage]; `azurefile-...` are shares."""
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_IMMUTABLE = HTTPStatus.UNPROCESSABLE_ENTITY


def install(kube: Kube, provisioner: str) -> None:
    """Apply everything; applying again changes nothing. `provisioner` makes the volumes of every storage class."""
    for path, manifest in manifests(provisioner):
        try:
            kube.apply(path, manifest)
        except httpx.HTTPStatusError as error:
            # A storage class cannot be changed, and nothing that was made from it needs it any more.
            if manifest["kind"] != "StorageClass" or error.response.status_code != _IMMUTABLE:
                raise
            kube.delete(path)
            kube.apply(path, manifest)


def manifests(provisioner: str) -> Iterator[tuple[str, Object]]:
    """Every object with its API path."""
    for name in STORAGE_CLASSES:
        yield f"/apis/storage.k8s.io/v1/storageclasses/{name}", _storage_class(name, provisioner)
    for definition in (_provider_class(), _pod_status(), _scaled_object(), _trigger_authentication()):
        name = definition["metadata"]["name"]
        yield f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", definition


def _storage_class(name: str, provisioner: str) -> Object:
    share = name.startswith("azurefile")
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {_DEFAULT: "true"} if name == "default" else {}},
        "provisioner": provisioner,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        # A disk is made in the zone of its first pod; a share is there at once.
        "volumeBindingMode": "Immediate" if share else "WaitForFirstConsumer",
    }


def _provider_class() -> Object:
    data = _objects({"objectName": _text(), "key": _text()})
    secrets = _objects(
        {"secretName": _text(), "type": _text(), "labels": _texts(), "annotations": _texts(), "data": data}
    )
    spec = _object({"provider": _text(), "parameters": _texts(), "secretObjects": secrets})
    return _definition("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass", {"spec": spec, "status": _open()})


def _pod_status() -> Object:
    mounted = _objects({"id": _text(), "version": _text()})
    status = _object(
        {
            "podName": _text(),
            "secretProviderClassName": _text(),
            "mounted": {"type": "boolean"},
            "targetPath": _text(),
            "objects": mounted,
        }
    )
    return _definition("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClassPodStatus", {"status": status})


def _scaled_object() -> Object:
    count = {"type": "integer", "format": "int32"}
    target = _object({"name": _text(), "kind": _text(), "apiVersion": _text(), "envSourceContainerName": _text()})
    trigger = _object(
        {
            "type": _text(),
            "name": _text(),
            "metadata": _texts(),
            "metricType": _text(),
            "useCachedMetrics": {"type": "boolean"},
            "authenticationRef": _object({"name": _text(), "kind": _text()}, "name"),
        },
        "type",
        "metadata",
    )
    fallback = _object(
        {"failureThreshold": count, "replicas": count, "behavior": _text()}, "failureThreshold", "replicas"
    )
    spec = _object(
        {
            "scaleTargetRef": target | {"required": ["name"]},
            "triggers": {"type": "array", "items": trigger},
            "minReplicaCount": count,
            "maxReplicaCount": count,
            "idleReplicaCount": count,
            "initialCooldownPeriod": count,
            "pollingInterval": count,
            "cooldownPeriod": count,
            "fallback": fallback,
            "advanced": _open(),
        },
        "scaleTargetRef",
        "triggers",
    )
    return _definition("keda.sh", "v1alpha1", "ScaledObject", {"spec": spec, "status": _open()}, "spec")


def _trigger_authentication() -> Object:
    return _definition("keda.sh", "v1alpha1", "TriggerAuthentication", {"spec": _open(), "status": _open()}, "spec")


def _definition(group: str, version: str, kind: str, properties: Object, *required: str) -> Object:
    singular = kind.lower()
    plural = singular + ("es" if singular.endswith("s") else "s")
    # Fields that are not in a schema are dropped, or refused where the client asks for that: as with the real ones.
    schema = _object({"apiVersion": _text(), "kind": _text(), "metadata": {"type": "object"}, **properties}, *required)
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": f"{kind}List"},
            "versions": [served | ({"subresources": {"status": {}}} if group == "keda.sh" else {})],
        },
    }


def _object(properties: Object, *required: str) -> Object:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def _objects(properties: Object) -> Object:
    return {"type": "array", "items": _object(properties)}


def _text() -> Object:
    return {"type": "string"}


def _texts() -> Object:
    return {"type": "object", "additionalProperties": _text()}


def _open() -> Object:
    anything: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return anything
