"""Volumes for claims where no node is real: a name that the claim is bound to, and nothing else.

Binds as a class says: at once, or when the scheduler has chosen the first pod's node. A volume goes with its claim.
"""

from collections.abc import Mapping

from rehearsal.control.kube import Kube, Object

SIMULATED = "simulated.csi.azure.com"
"""The provisioner of every storage class where no node is real."""
_NODE_CHOSEN = "volume.kubernetes.io/selected-node"
_VOLUMES = "/api/v1/persistentvolumes"


def reconcile(kube: Kube) -> list[str]:
    """One round; what was done, a line each."""
    classes = {entry["metadata"]["name"]: entry for entry in kube.list("/apis/storage.k8s.io/v1/storageclasses")}
    volumes = [volume for volume in kube.list(_VOLUMES) if volume["spec"].get("csi", {}).get("driver") == SIMULATED]
    names = {volume["metadata"]["name"] for volume in volumes}
    done: list[str] = []
    for claim in kube.list("/api/v1/persistentvolumeclaims"):
        if _volume_name(claim) not in names and _is_due(claim, classes):
            kube.create(_VOLUMES, _volume(claim))
            metadata = claim["metadata"]
            done.append(f"claim {metadata['namespace']}/{metadata['name']} has a volume")
    for volume in volumes:
        if volume["status"].get("phase") == "Released" and _is_deleted_with_claim(volume):
            kube.delete(f"{_VOLUMES}/{volume['metadata']['name']}")
            done.append(f"volume {volume['metadata']['name']} went with its claim")
    return done


def _is_due(claim: Object, classes: Mapping[str, Object]) -> bool:
    found = classes.get(claim["spec"].get("storageClassName", ""))
    if claim["status"].get("phase") != "Pending" or found is None or found["provisioner"] != SIMULATED:
        return False
    waits = found.get("volumeBindingMode") == "WaitForFirstConsumer"
    return not waits or _NODE_CHOSEN in claim["metadata"].get("annotations", {})


def _is_deleted_with_claim(volume: Object) -> bool:
    return volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"


def _volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _volume(claim: Object) -> Object:
    metadata, spec, name = claim["metadata"], claim["spec"], _volume_name(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": SIMULATED}},
        "spec": {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": SIMULATED, "volumeHandle": name},
        },
    }
