"""The whole stack, composed: Azure's part first, then what runs in the cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_azure_native import resources

from components.platform.cluster import Cluster, ClusterArgs
from components.platform.identity import Identity, IdentityArgs
from components.platform.naming import unique
from components.platform.network import Network, NetworkArgs
from components.platform.node_pools import NodePools, NodePoolsArgs, PoolArgs
from components.platform.registry import Build, Registry, RegistryArgs
from components.platform.roles import Role, grant
from components.platform.vault import Vault, VaultArgs
from components.serving.caddy import NATIVE_ROUTES, OPENAI_ROUTES, Backend
from components.serving.gateway import Gateway, GatewayArgs
from components.serving.namespace import NAME, Namespace, NamespaceArgs
from components.serving.onnx import OnnxArgs, OnnxRuntimeServer, check_fit, weights_of
from components.serving.vault_files import VaultFiles
from components.serving.weights import ACCOUNT, TOKEN_FILE, ModelWeights, WeightsArgs
from runtimes.fingerprint import image_tag
from stacks.settings import AksCluster, OnnxServer, Settings, SettingsError, not_deployable_yet

CADDY_TAG = "2.11.1"
ONNX_FOLDER = "runtimes/onnx"
HUB_TOKEN = "hf-token"  # noqa: S105
"""Its name in the vault."""


@dataclass(frozen=True, kw_only=True)
class StackArgs:
    """Everything that a stack depends on. `api_keys` is secret: JSON, name to key; `api_key_names` are not.

    `hub_token` is secret too; without one, only public weights can be fetched.
    """

    settings: Settings
    location: str
    subscription_id: str
    tenant_id: str
    api_keys: pulumi.Output[str]
    api_key_names: tuple[str, ...]
    hub_token: pulumi.Output[str] | None
    checkout: Path


class Stack(pulumi.ComponentResource):
    """A model behind an endpoint, with everything below it."""

    outputs: Mapping[str, pulumi.Input[Any]]

    def __init__(self, name: str, args: StackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Raises `SettingsError` before anything is made if the settings cannot be deployed."""
        super().__init__("slm:index:Stack", name, None, opts)
        cluster_settings, servers = deployable(args.settings)
        child = pulumi.ResourceOptions(parent=self)
        group = resources.ResourceGroup(
            f"{name}-group",
            resource_group_name=unique(name, args.subscription_id),
            location=args.location,
            # A group cannot move, and two cannot have one name.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        # Everything of the stack is where its resource group is.
        azure = _Azure(name, args, group, child)

        cluster = azure.cluster(cluster_settings)
        registry = azure.registry(cluster)
        vault = azure.vault()
        keys = azure.keys(cluster, vault)
        token = azure.token(cluster, vault)
        pools = azure.pools(cluster, cluster_settings)
        images = _Images(
            onnx=args.settings.images.onnx or registry.image("slm-onnx", image_tag(args.checkout / ONNX_FOLDER)),
            caddy=registry.image("caddy", CADDY_TAG),
        )
        gateway = _serve(name, args, servers, _Platform(cluster, images, keys, token, pools), child)

        self.outputs = {
            "endpoint": gateway.endpoint,
            "servers": {
                server: {"engine": settings.engine, "routes": [*_routes(server), *NATIVE_ROUTES[settings.engine]]}
                for server, settings in servers.items()
            },
            "namespace": NAME,
            "resource_group": group.name,
            "cluster": cluster.name,
            "registry": registry.login_server,
            "images": {"onnx": images.onnx, "caddy": images.caddy},
            "vault": vault.name,
            "api_key_names": list(args.api_key_names),
        }
        self.register_outputs(dict(self.outputs))


@dataclass(frozen=True, kw_only=True)
class _Images:
    onnx: pulumi.Input[str]
    caddy: pulumi.Input[str]


@dataclass(frozen=True)
class _Platform:
    cluster: Cluster
    images: _Images
    keys: VaultFiles
    token: VaultFiles | None
    pools: NodePools


class _Azure:
    """Azure's part of one stack."""

    def __init__(
        self, name: str, args: StackArgs, group: resources.ResourceGroup, opts: pulumi.ResourceOptions
    ) -> None:
        self._name = name
        self._args = args
        self._group = group
        self._opts = opts
        self._network = Network(name, NetworkArgs(resource_group_name=group.name), opts)

    def cluster(self, settings: AksCluster) -> Cluster:
        return Cluster(
            self._name,
            ClusterArgs(
                resource_group_name=self._group.name,
                subscription_id=self._args.subscription_id,
                tenant_id=self._args.tenant_id,
                subnet_id=self._network.nodes_subnet_id,
                kubernetes_version=settings.kubernetes_version,
                tier=settings.tier,
                system_vm_size=settings.system_vm_size,
                system_count=settings.system_count,
                zones=settings.zones,
                authorized_ip_ranges=settings.authorized_ip_ranges,
                private=settings.private,
                administrators=settings.administrators,
            ),
            self._opts,
        )

    def registry(self, cluster: Cluster) -> Registry:
        images = self._args.settings.images
        tag = image_tag(self._args.checkout / ONNX_FOLDER)
        build = Build(source=images.source, folder=ONNX_FOLDER, repository="slm-onnx", tag=tag)
        return Registry(
            self._name,
            RegistryArgs(
                resource_group_name=self._group.name,
                subscription_id=self._args.subscription_id,
                puller_principal_ids={"kubelet": cluster.kubelet_principal_id},
                cached={"caddy": "docker.io/library/caddy"},
                builds=() if images.onnx else (build,),
            ),
            self._opts,
        )

    def vault(self) -> Vault:
        keys = self._args.api_keys
        secrets = {f"api-keys-{name}": _value(keys, name) for name in self._args.api_key_names}
        if self._args.hub_token:
            secrets[HUB_TOKEN] = self._args.hub_token
        return Vault(
            self._name,
            VaultArgs(
                resource_group_name=self._group.name,
                tenant_id=self._args.tenant_id,
                secrets=secrets,
            ),
            self._opts,
        )

    def keys(self, cluster: Cluster, vault: Vault) -> VaultFiles:
        """The API keys for the gateway, which may read the whole vault: a new key must not wait for a new right."""
        files = {name: f"api-keys-{name}" for name in self._args.api_key_names}
        return self._files("gateway", files, vault.id, cluster, vault)

    def token(self, cluster: Cluster, vault: Vault) -> VaultFiles | None:
        """The hub's token for the weights job, which may read this secret and no other; None where there is none."""
        if self._args.hub_token is None:
            return None
        return self._files(ACCOUNT, {TOKEN_FILE: HUB_TOKEN}, vault.secret_ids[HUB_TOKEN], cluster, vault)

    def _files(
        self, account: str, files: Mapping[str, str], scope: pulumi.Input[str], cluster: Cluster, vault: Vault
    ) -> VaultFiles:
        """Secrets for the pods of one service account, as an identity that nobody else has."""
        identity = Identity(f"{self._name}-{account}", IdentityArgs(resource_group_name=self._group.name), self._opts)
        right = grant(
            f"{self._name}-{account}-secrets",
            role=Role.KEY_VAULT_SECRETS_USER,
            scope=scope,
            principal_id=identity.principal_id,
            subscription_id=self._args.subscription_id,
            opts=self._opts,
        )
        client_id = identity.federate(NAME, account, cluster.issuer)
        return VaultFiles(
            vault_name=pulumi.Output.all(vault.ready, right.id).apply(lambda known: str(known[0])),
            tenant_id=self._args.tenant_id,
            client_id=client_id,
            files=files,
        )

    def pools(self, cluster: Cluster, settings: AksCluster) -> NodePools:
        return NodePools(
            self._name,
            NodePoolsArgs(
                resource_group_name=self._group.name,
                cluster_name=cluster.name,
                subnet_id=self._network.nodes_subnet_id,
                zones=settings.zones,
                pools={label: PoolArgs(**pool.model_dump()) for label, pool in settings.pools.items()},
            ),
            self._opts,
        )


def deployable(settings: Settings) -> tuple[AksCluster, dict[str, OnnxServer]]:
    """The parts of the settings that this version deploys.

    Raises:
        SettingsError: for those that it does not, and for a model that does not fit its server.
    """
    if problem := not_deployable_yet(settings):
        raise SettingsError(problem)
    servers = {name: server for name, server in settings.servers.items() if isinstance(server, OnnxServer)}
    for name, server in servers.items():
        weights_of(server)
        check_fit(name, server)
    assert isinstance(settings.cluster, AksCluster)
    return settings.cluster, servers


def _serve(
    name: str,
    args: StackArgs,
    servers: Mapping[str, OnnxServer],
    platform: _Platform,
    opts: pulumi.ResourceOptions,
) -> Gateway:
    """What runs in Kubernetes: weights, the servers that read them, and the gateway in front."""
    settings = args.settings
    # No pod before there are nodes for it: a wait for pods would otherwise be one for machines too.
    kubeconfig = pulumi.Output.secret(
        pulumi.Output.all(platform.cluster.kubeconfig, platform.pools.ready).apply(lambda known: str(known[0]))
    )
    place = Namespace(name, NamespaceArgs(kubeconfig=kubeconfig), opts)
    pool = next(iter(servers.values())).pool
    weights = ModelWeights(
        "weights",
        WeightsArgs(
            namespace=place.name,
            provider=place.provider,
            image=platform.images.onnx,
            pool=pool,
            hub_endpoint=settings.hub_endpoint,
            size_gib=settings.weights_gib,
            wanted=dict(weights_of(server) for server in servers.values()),
            token=platform.token,
        ),
        opts,
    )
    for server, server_settings in servers.items():
        OnnxRuntimeServer(
            server,
            OnnxArgs(
                namespace=place.name,
                provider=place.provider,
                image=platform.images.onnx,
                claim_name=weights.claim_name,
                settings=server_settings,
            ),
            opts,
        )
    return Gateway(
        "gateway",
        GatewayArgs(
            namespace=place.name,
            provider=place.provider,
            image=platform.images.caddy,
            pool=pool,
            dns_label=unique(name, args.subscription_id),
            location=args.location,
            keys=platform.keys,
            backends=[
                Backend(name=server, engine=wanted.engine, host=f"{server}.{NAME}.svc.cluster.local")
                for server, wanted in servers.items()
            ],
            default_server=settings.default,
            settings=settings.gateway,
        ),
        opts,
    )


def _routes(server: str) -> list[str]:
    return [f"/{server}{route}" for route in OPENAI_ROUTES]


def _value(keys: pulumi.Output[str], name: str) -> pulumi.Output[str]:
    return pulumi.Output.secret(keys.apply(lambda text: str(json.loads(text)[name])))
