"""A server on ONNX Runtime: the deployment of our own image over weights that are on the volume already.

Owns the Deployment, its Service, disruption budget and network policy. Does not own the image (`runtimes/onnx`) nor the
weights (`serving.weights`).
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.serving import network_policies
from components.serving.catalogue import MODELS, Weights
from components.serving.manifests import (
    Manifest,
    claim,
    container_security,
    disruption_budget,
    environment,
    http_probe,
    labels,
    metadata,
    pod_security,
    resources,
    scratch,
    selector,
    spread,
)
from components.serving.sizing import misfit
from components.serving.weights import MOUNT, folder
from stacks.settings import OnnxServer, SettingsError

PORT = 8080
PRE_STOP_SECONDS = 5
"""How long a pod that ends goes on taking requests: until every gateway has seen that it leaves."""
START_SECONDS = 600
"""Loading 4 GiB of weights from a file share takes minutes at its worst."""


@dataclass(frozen=True, kw_only=True)
class OnnxArgs:
    """What the server needs to know beside its settings."""

    namespace: pulumi.Input[str]
    provider: kubernetes.Provider
    image: pulumi.Input[str]
    claim_name: pulumi.Input[str]
    settings: OnnxServer


class OnnxRuntimeServer(pulumi.ComponentResource):
    """One model on CPU behind a Service of the server's name."""

    def __init__(self, name: str, args: OnnxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Raises `SettingsError` if the model does not fit into the server's memory."""
        super().__init__("slm:serving:OnnxRuntimeServer", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=args.provider)
        check_fit(name, args.settings)

        described = metadata(args.namespace, name, "server")
        kubernetes.networking.v1.NetworkPolicy(
            f"{name}-policy",
            metadata=described,
            spec=network_policies.from_gateway(name, "http"),
            opts=child,
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata=described,
            spec=disruption_budget(name),
            opts=child,
        )
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account", metadata=described, automount_service_account_token=False, opts=child
        )
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=described,
            spec=deployment_spec(name, args),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[account])),
        )
        kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=described,
            spec=service_spec(name),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[deployment])),
        )
        self.register_outputs({})


def weights_of(server: OnnxServer) -> tuple[str, Weights]:
    """The format and the files that a server reads.

    Raises:
        SettingsError: if the model is unknown, or nobody has published it in this precision.
    """
    if server.model not in MODELS:
        raise SettingsError(f"there is no model `{server.model}`: use one of {', '.join(MODELS)}")
    published = MODELS[server.model].published
    if server.precision not in published:
        raise SettingsError(f"{server.model} is not published in {server.precision}: use {', '.join(published)}")
    return f"onnx-{server.precision}", published[server.precision]


def check_fit(name: str, server: OnnxServer) -> None:
    """Raises `SettingsError` with the numbers and the fix if the model does not fit into the server's memory."""
    problem = misfit(MODELS[server.model], server.precision, server.max_length, 1, server.resources.memory_limit_gib)
    if problem:
        raise SettingsError(f"servers.{name}: {problem}")


def deployment_spec(name: str, args: OnnxArgs) -> Manifest:
    """The Deployment's `spec`."""
    return {
        "replicas": args.settings.replicas,
        "selector": {"matchLabels": selector(name)},
        # A new pod is Ready before an old one goes, so a rollout loses no request.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": labels(name, "server")},
            "spec": {
                "serviceAccountName": name,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": PRE_STOP_SECONDS + args.settings.shutdown_seconds + 5,
                "nodeSelector": {"slm/pool": args.settings.pool},
                "topologySpreadConstraints": spread(name),
                "securityContext": pod_security(),
                "containers": [_container(args)],
                "volumes": [claim("models", args.claim_name, read_only=True), scratch("tmp", "64Mi")],
            },
        },
    }


def service_spec(name: str) -> Manifest:
    """The Service's `spec`."""
    return {"selector": selector(name), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}


def _container(args: OnnxArgs) -> Manifest:
    return {
        "name": "server",
        "image": args.image,
        "env": environment(_environment(args.settings)),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources(args.settings.resources),
        "securityContext": container_security(),
        "startupProbe": http_probe("/health/ready", "http", period_seconds=2, failures=START_SECONDS // 2),
        "readinessProbe": http_probe("/health/ready", "http", period_seconds=5, failures=1),
        "livenessProbe": http_probe("/health/live", "http", period_seconds=30, failures=3, timeout_seconds=10),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "volumeMounts": [
            {"name": "models", "mountPath": MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _environment(server: OnnxServer) -> dict[str, str]:
    format_, weights = weights_of(server)
    return {
        "MODEL_PATH": folder(weights, format_),
        "MODEL_NAME": server.model,
        "PORT": str(PORT),
        "MAX_LENGTH": str(server.max_length),
        "MAX_QUEUE": str(server.max_queue),
        "THREADS": str(server.threads),
        "SHUTDOWN_SECONDS": str(server.shutdown_seconds),
        "ORT_DISABLE_TELEMETRY": "1",
    }
