"""Secrets of the vault as files of a pod: pure parts of manifests for the Key Vault CSI driver.

A pod reads them as the identity that its service account is federated with; neither the pod's spec nor Kubernetes'
own Secrets ever hold a value. Does not own the vault (`platform.vault`) nor the identity (`platform.identity`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.serving.manifests import Manifest

API_VERSION = "secrets-store.csi.x-k8s.io/v1"
KIND = "SecretProviderClass"
POD_LABELS = {"azure.workload.identity/use": "true"}


@dataclass(frozen=True, kw_only=True)
class VaultFiles:
    """Where secrets are, the identity that may read them, and `files`: a file's name to the secret's in the vault."""

    vault_name: pulumi.Input[str]
    tenant_id: pulumi.Input[str]
    client_id: pulumi.Input[str]
    files: Mapping[str, str]


def provider_class(source: VaultFiles) -> Manifest:
    """The `spec` of a SecretProviderClass."""
    objects = "array:\n" + "".join(
        f"  - |\n    objectName: {secret}\n    objectAlias: {file}\n    objectType: secret\n"
        for file, secret in source.files.items()
    )
    parameters = {
        "usePodIdentity": "false",
        "clientID": source.client_id,
        "keyvaultName": source.vault_name,
        "tenantId": source.tenant_id,
        "objects": objects,
    }
    return {"provider": "azure", "parameters": parameters}


def account_annotations(source: VaultFiles) -> Manifest:
    """What makes a service account act as the identity."""
    return {"azure.workload.identity/client-id": source.client_id}


def volume(name: str, class_name: str) -> Manifest:
    """The pod's volume with the files of a class."""
    driver = {
        "driver": "secrets-store.csi.k8s.io",
        "readOnly": True,
        "volumeAttributes": {"secretProviderClass": class_name},
    }
    return {"name": name, "csi": driver}
