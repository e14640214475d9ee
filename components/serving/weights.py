"""The models' weights on a volume that servers read: filled by one run-once job for each model, revision and format.

A new revision is a new folder and a new job: old pods keep theirs through a rollout. Does not own how the job fetches,
checks and finishes a folder (`runtimes/onnx`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.platform.naming import digest
from components.serving import network_policies, vault_files
from components.serving.catalogue import Weights
from components.serving.manifests import (
    Manifest,
    claim,
    container_security,
    environment,
    labels,
    metadata,
    pod_security,
    resources,
    scratch,
)
from components.serving.vault_files import VaultFiles
from stacks.settings import Resources

MOUNT = "/models"
REVISION_CHARACTERS = 12
RESOURCES = Resources(cpu_request=0.5, cpu_limit=2, memory_request_gib=0.5, memory_limit_gib=2)
"""A download needs little; hashing what came takes a core for seconds."""
RETRIES = 6
ACCOUNT = "weights"
TOKEN_CLASS = "hub-token"  # noqa: S105
TOKEN_FOLDER = "/etc/slm/hf"  # noqa: S105
TOKEN_FILE = "hf-token"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class WeightsArgs:
    """`wanted` maps a format, such as `onnx-int4`, to where its files come from.

    `token` is the model hub's, for weights that are not public: one file called `hf-token`; None asks without.
    """

    namespace: pulumi.Input[str]
    provider: kubernetes.Provider
    image: pulumi.Input[str]
    pool: str
    hub_endpoint: str
    size_gib: float
    wanted: Mapping[str, Weights]
    token: VaultFiles | None = None


class ModelWeights(pulumi.ComponentResource):
    """A volume with every model that the stack's servers read."""

    claim_name: pulumi.Output[str]
    """The claim, once every job has filled its folder."""

    def __init__(self, name: str, args: WeightsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:serving:ModelWeights", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=args.provider)

        volume = self._volume(name, args, child)
        first = [self._policy(name, args, child), self._account(name, args, child), *self._token(name, args, child)]
        filled = [
            self._job(name, args, format_, weights, volume, pulumi.ResourceOptions.merge(child, _after(*first)))
            for format_, weights in args.wanted.items()
        ]

        self.claim_name = pulumi.Output.all(volume.metadata, *(job.id for job in filled)).apply(
            lambda known: str(known[0]["name"])
        )
        self.register_outputs({"claim_name": self.claim_name})

    @staticmethod
    def _volume(name: str, args: WeightsArgs, opts: pulumi.ResourceOptions) -> kubernetes.core.v1.PersistentVolumeClaim:
        return kubernetes.core.v1.PersistentVolumeClaim(
            f"{name}-volume",
            metadata={"namespace": args.namespace, "name": "weights"},
            spec=shared_volume(args.size_gib),
            opts=opts,
        )

    @staticmethod
    def _policy(name: str, args: WeightsArgs, opts: pulumi.ResourceOptions) -> kubernetes.networking.v1.NetworkPolicy:
        return kubernetes.networking.v1.NetworkPolicy(
            f"{name}-policy",
            metadata={"namespace": args.namespace, "name": "weights"},
            spec=network_policies.weights(),
            opts=opts,
        )

    @staticmethod
    def _account(name: str, args: WeightsArgs, opts: pulumi.ResourceOptions) -> kubernetes.core.v1.ServiceAccount:
        described = metadata(args.namespace, ACCOUNT, "weights")
        if args.token:
            described["annotations"] = vault_files.account_annotations(args.token)
        return kubernetes.core.v1.ServiceAccount(
            f"{name}-account", metadata=described, automount_service_account_token=False, opts=opts
        )

    @staticmethod
    def _token(name: str, args: WeightsArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
        if args.token is None:
            return []
        token = kubernetes.apiextensions.CustomResource(
            f"{name}-token",
            api_version=vault_files.API_VERSION,
            kind=vault_files.KIND,
            metadata=metadata(args.namespace, TOKEN_CLASS, "weights"),
            spec=vault_files.provider_class(args.token),
            opts=opts,
        )
        return [token]

    @staticmethod
    def _job(
        name: str,
        args: WeightsArgs,
        format_: str,
        weights: Weights,
        volume: kubernetes.core.v1.PersistentVolumeClaim,
        opts: pulumi.ResourceOptions,
    ) -> kubernetes.batch.v1.Job:
        # The job's name says what it fetches: a finished job of other weights is left as it is.
        job = f"{name}-{digest(weights.repository, weights.revision, format_)}"
        claim_name = volume.metadata.apply(lambda metadata: str(metadata.name))
        return kubernetes.batch.v1.Job(
            job,
            metadata={"namespace": args.namespace, "name": job, "labels": labels("weights", "weights")},
            spec=job_spec(pod(args, claim_name, format_, weights)),
            # A changed template replaces the job, so that one which could not finish is mended by mended settings; what
            # was fetched already is found and not fetched again.
            opts=opts,
        )


def job_spec(template: Manifest) -> Manifest:
    """The job's `spec`: it tries again for a while, and its logs stay to be read."""
    return {"backoffLimit": RETRIES, "template": template}


def shared_volume(size_gib: float) -> Manifest:
    """A claim's `spec` for a volume that pods on several nodes mount."""
    return {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "azurefile-csi-premium",
        "resources": {"requests": {"storage": f"{round(size_gib)}Gi"}},
    }


def folder(weights: Weights, format_: str) -> str:
    """Where the files of a format are for whoever mounts the volume."""
    slug = weights.repository.lower().replace("/", "--")
    return f"{MOUNT}/{slug}/{weights.revision[:REVISION_CHARACTERS]}-{format_}"


def command(weights: Weights, format_: str, *, with_token: bool = False) -> list[str]:
    """The job's command line; the token is the file's name there, never its content."""
    return [
        "python3",
        "-m",
        "slm_onnx.weights",
        f"--repository={weights.repository}",
        f"--revision={weights.revision}",
        *([f"--subfolder={weights.subfolder}"] if weights.subfolder else []),
        f"--format={format_}",
        f"--destination={folder(weights, format_)}",
        *([f"--token-file={TOKEN_FOLDER}/{TOKEN_FILE}"] if with_token else []),
    ]


def pod(args: WeightsArgs, claim_name: pulumi.Input[str], format_: str, weights: Weights) -> Manifest:
    """The job's pod."""
    mounts: list[Manifest] = [{"name": "models", "mountPath": MOUNT}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    volumes = [claim("models", claim_name, read_only=False), scratch("tmp", "1Gi")]
    if args.token:
        mounts.append({"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True})
        volumes.append(vault_files.volume("token", TOKEN_CLASS))
    hub = {"HF_ENDPOINT": args.hub_endpoint, "HF_HOME": "/tmp/hub", "HF_HUB_DISABLE_TELEMETRY": "1"}  # noqa: S108
    container = {
        "name": "weights",
        "image": args.image,
        "command": command(weights, format_, with_token=args.token is not None),
        "env": environment(hub),
        "resources": resources(RESOURCES),
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }
    return {
        "metadata": {"labels": labels("weights", "weights") | (vault_files.POD_LABELS if args.token else {})},
        "spec": {
            "restartPolicy": "OnFailure",
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": False,
            "nodeSelector": {"slm/pool": args.pool},
            "securityContext": pod_security(),
            "containers": [container],
            "volumes": volumes,
        },
    }


def _after(*parts: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(depends_on=list(parts))
