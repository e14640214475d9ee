"""What AKS and its add-ons put into a cluster before the program does: storage classes and custom resource definitions.

Not checked:
- Custom resources: their schemas are open, so a misspelt field of a SecretProviderClass or ScaledObject passes.
- Storage classes: parameters, sizes and zones of Azure's disks and shares; both kinds are whatever `provisioner` makes.
"""

from collections.abc import Iterator
from typing import Any

from rehearsal.control.kube import Kube, Object

STORAGE_CLASSES = ("managed-csi", "managed-csi-premium", "azurefile-csi", "azurefile-csi-premium")
"""AKS's built-in classes [learn.microsoft.com/azure/aks/concepts-storage]."""
_DEFINITIONS = (
    # group, version, kind, plural, namespaced
    ("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass", "secretproviderclasses"),
    ("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClassPodStatus", "secretproviderclasspodstatuses"),
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
    ("keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications"),
)


def install(kube: Kube, provisioner: str) -> None:
    """Apply everything; applying again changes nothing. `provisioner` makes the volumes of every storage class."""
    for path, manifest in manifests(provisioner):
        kube.apply(path, manifest)


def manifests(provisioner: str) -> Iterator[tuple[str, Object]]:
    """Every object with its API path."""
    for name in STORAGE_CLASSES:
        yield f"/apis/storage.k8s.io/v1/storageclasses/{name}", _storage_class(name, provisioner)
    for group, version, kind, plural in _DEFINITIONS:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
        yield path, _definition(group, version, kind, plural)


def _storage_class(name: str, provisioner: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": False,
        # A disk is made in the zone of its first pod; a share is there at once.
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _definition(group: str, version: str, kind: str, plural: str) -> Object:
    anything: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
