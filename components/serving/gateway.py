"""The only way in: Caddy with a certificate, keys and an allow-list of routes, in front of every server of the stack.

Owns the gateway's workload, its public Service, the class that mounts the keys from the vault, and its network policy.
Does not own the keys (`platform.vault`) nor what the configuration says (`serving.caddy`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.platform.naming import digest
from components.serving import network_policies, vault_files
from components.serving.caddy import (
    GRACE_SECONDS,
    HTTP_PORT,
    HTTPS_PORT,
    KEYS,
    METRICS_PORT,
    Backend,
    GatewayConfig,
    render_caddyfile,
)
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
from components.serving.vault_files import VaultFiles
from components.serving.weights import shared_volume
from stacks.settings import Gateway as GatewaySettings
from stacks.settings import Resources

NAME = "gateway"
RESOURCES = Resources(cpu_request=0.1, cpu_limit=1, memory_request_gib=0.0625, memory_limit_gib=0.25)
DATA_GIB = 1
PRE_STOP_SECONDS = 5
KEYS_CLASS = "gateway-keys"


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What it needs to know beside its settings. `dns_label` becomes `<label>.<location>.cloudapp.azure.com`."""

    namespace: pulumi.Input[str]
    provider: kubernetes.Provider
    image: pulumi.Input[str]
    pool: str
    dns_label: pulumi.Input[str]
    location: str
    keys: VaultFiles
    backends: Sequence[Backend]
    default_server: str
    settings: GatewaySettings


class Gateway(pulumi.ComponentResource):
    """A gateway that knows its callers by key and lets nothing else through."""

    endpoint: pulumi.Output[str]

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:serving:Gateway", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=args.provider)
        public_name = pulumi.Output.concat(args.dns_label, ".", args.location, ".cloudapp.azure.com")

        account = self._account(name, args, child)
        keys = self._keys(name, args, child)
        configuration = self._configuration(name, args, public_name, child)
        volume = self._volume(name, args, child)
        self._guards(name, args, child)
        service = self._service(name, args, child)
        self._deployment(
            name,
            args,
            configuration,
            volume,
            # The certificate's challenge needs the address; the pods need the account and the keys.
            pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[account, keys, service])),
        )

        self.endpoint = pulumi.Output.concat("https://", public_name)
        self.register_outputs({"endpoint": self.endpoint})

    @staticmethod
    def _account(name: str, args: GatewayArgs, opts: pulumi.ResourceOptions) -> kubernetes.core.v1.ServiceAccount:
        described = metadata(args.namespace, NAME, NAME)
        described["annotations"] = vault_files.account_annotations(args.keys)
        return kubernetes.core.v1.ServiceAccount(
            f"{name}-account", metadata=described, automount_service_account_token=False, opts=opts
        )

    @staticmethod
    def _keys(name: str, args: GatewayArgs, opts: pulumi.ResourceOptions) -> kubernetes.apiextensions.CustomResource:
        return kubernetes.apiextensions.CustomResource(
            f"{name}-keys",
            api_version=vault_files.API_VERSION,
            kind=vault_files.KIND,
            metadata=metadata(args.namespace, KEYS_CLASS, NAME),
            spec=vault_files.provider_class(args.keys),
            opts=opts,
        )

    @staticmethod
    def _configuration(
        name: str, args: GatewayArgs, public_name: pulumi.Output[str], opts: pulumi.ResourceOptions
    ) -> kubernetes.core.v1.ConfigMap:
        # Its own name for each content: pods of two versions of the gateway never read the same file.
        text = public_name.apply(lambda known: render_caddyfile(_config(args, known)))
        described = text.apply(lambda known: {"name": f"gateway-{digest(known)}", "labels": labels(NAME, NAME)})
        return kubernetes.core.v1.ConfigMap(
            f"{name}-configuration",
            metadata=pulumi.Output.all(described, args.namespace).apply(lambda both: both[0] | {"namespace": both[1]}),
            data={"Caddyfile": text},
            opts=opts,
        )

    @staticmethod
    def _volume(name: str, args: GatewayArgs, opts: pulumi.ResourceOptions) -> kubernetes.core.v1.PersistentVolumeClaim:
        return kubernetes.core.v1.PersistentVolumeClaim(
            f"{name}-data",
            metadata=metadata(args.namespace, "gateway-data", NAME),
            spec=shared_volume(DATA_GIB),
            opts=opts,
        )

    @staticmethod
    def _guards(name: str, args: GatewayArgs, opts: pulumi.ResourceOptions) -> None:
        described = metadata(args.namespace, NAME, NAME)
        servers = [backend.name for backend in args.backends]
        kubernetes.networking.v1.NetworkPolicy(
            f"{name}-policy",
            metadata=described,
            spec=network_policies.gateway(servers, "http", ("https", "http")),
            opts=opts,
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-budget", metadata=described, spec=disruption_budget(NAME), opts=opts
        )

    @staticmethod
    def _service(name: str, args: GatewayArgs, opts: pulumi.ResourceOptions) -> kubernetes.core.v1.Service:
        described = metadata(args.namespace, NAME, NAME)
        described["annotations"] = {
            "service.beta.kubernetes.io/azure-dns-label-name": args.dns_label,
            # Endpoints come with the deployment, which waits for this Service's address.
            "pulumi.com/skipAwait": "true",
        }
        return kubernetes.core.v1.Service(f"{name}-service", metadata=described, spec=service_spec(), opts=opts)

    @staticmethod
    def _deployment(
        name: str,
        args: GatewayArgs,
        configuration: kubernetes.core.v1.ConfigMap,
        volume: kubernetes.core.v1.PersistentVolumeClaim,
        opts: pulumi.ResourceOptions,
    ) -> kubernetes.apps.v1.Deployment:
        return kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata(args.namespace, NAME, NAME),
            spec=deployment_spec(
                args,
                configuration.metadata.apply(lambda known: str(known.name)),
                volume.metadata.apply(lambda known: str(known.name)),
            ),
            opts=opts,
        )


def service_spec() -> Manifest:
    """The public Service's `spec`. The client's own address is kept, for logs and limits."""
    return {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "selector": selector(NAME),
        "ports": [
            {"name": "https", "port": 443, "targetPort": "https"},
            {"name": "http", "port": 80, "targetPort": "http"},
        ],
    }


def deployment_spec(args: GatewayArgs, configuration: pulumi.Input[str], volume: pulumi.Input[str]) -> Manifest:
    """The Deployment's `spec`."""
    return {
        "replicas": args.settings.replicas,
        "selector": {"matchLabels": selector(NAME)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": labels(NAME, NAME) | vault_files.POD_LABELS},
            "spec": {
                "serviceAccountName": NAME,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": PRE_STOP_SECONDS + GRACE_SECONDS + 5,
                "nodeSelector": {"slm/pool": args.pool},
                "topologySpreadConstraints": spread(NAME),
                "securityContext": pod_security(),
                "containers": [_container(args.image)],
                "volumes": [
                    {"name": "configuration", "configMap": {"name": configuration}},
                    vault_files.volume("keys", KEYS_CLASS),
                    claim("data", volume, read_only=False),
                    scratch("tmp", "16Mi"),
                ],
            },
        },
    }


def _container(image: pulumi.Input[str]) -> Manifest:
    return {
        "name": "caddy",
        "image": image,
        "command": ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
        "env": environment({"XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/tmp", "HOME": "/tmp"}),  # noqa: S108
        "ports": [
            {"name": "https", "containerPort": HTTPS_PORT},
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": resources(RESOURCES),
        # The image's binary has this capability, and does not start where it is taken away.
        "securityContext": container_security("NET_BIND_SERVICE"),
        "readinessProbe": http_probe("/healthz", "metrics", period_seconds=2, failures=1),
        "livenessProbe": http_probe("/healthz", "metrics", period_seconds=15, failures=3),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/caddy", "readOnly": True},
            {"name": "keys", "mountPath": KEYS, "readOnly": True},
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _config(args: GatewayArgs, public_name: str) -> GatewayConfig:
    return GatewayConfig(
        public_name=public_name,
        acme_directory=args.settings.acme_directory,
        keys=list(args.keys.files),
        backends=args.backends,
        default=args.default_server,
        max_body_mib=args.settings.max_body_mib,
        wait_seconds=args.settings.wait_seconds,
    )
