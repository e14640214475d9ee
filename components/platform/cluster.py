"""The AKS cluster with its system pool, and who it is to Azure.

Owns the managed cluster, the identities of its control plane and its kubelets, and their roles. Does not own the pools
that the servers run on (`platform.node_pools`) nor anything in Kubernetes. The settings follow the AKS baseline of
Microsoft's patterns and practices: no local accounts, Entra for people, workload identity for pods, an image cleaner.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice as aks

from components.platform.identity import Identity, IdentityArgs
from components.platform.naming import unique
from components.platform.node_pools import POOL_LABEL
from components.platform.roles import Role, grant

CLEANER_HOURS = 48


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """What a cluster needs to know.

    `administrators` are Entra object ids that may do everything in Kubernetes. Whoever deploys must be among them, or
    have that right from the subscription already: an Azure Owner is nobody in Kubernetes.
    """

    resource_group_name: pulumi.Input[str]
    subscription_id: pulumi.Input[str]
    tenant_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    kubernetes_version: str
    tier: str
    system_vm_size: str
    system_count: int
    zones: Sequence[str] = ()
    authorized_ip_ranges: Sequence[str] = ()
    private: bool = False
    administrators: Sequence[str] = ()


class Cluster(pulumi.ComponentResource):
    """A cluster that nobody enters with a password or a static certificate."""

    name: pulumi.Output[str]
    issuer: pulumi.Output[str]
    """The OIDC issuer of its service accounts' tokens."""
    kubelet_principal_id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    """Secret."""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        control_plane = Identity(f"{name}-control-plane", _identity_args(args), child)
        kubelet = Identity(f"{name}-kubelet", _identity_args(args), child)
        rights = self._rights(name, args, control_plane, kubelet, child)
        cluster = self._cluster(
            name, args, control_plane, kubelet, pulumi.ResourceOptions(parent=self, depends_on=rights)
        )

        self.name = cluster.name
        self.issuer = cluster.oidc_issuer_profile.apply(lambda profile: str(profile.issuer_url) if profile else "")
        self.kubelet_principal_id = kubelet.principal_id
        self.kubeconfig = self._kubeconfig(args, cluster, self._administrators(name, args, cluster, child))
        self.register_outputs({"name": self.name, "issuer": self.issuer})

    @staticmethod
    def _rights(
        name: str,
        args: ClusterArgs,
        control_plane: Identity,
        kubelet: Identity,
        opts: pulumi.ResourceOptions,
    ) -> Sequence[pulumi.Resource]:
        wanted = (
            # To put nodes and the gateway's load balancer into the subnet, and to make nodes kubelets.
            ("subnet", Role.NETWORK_CONTRIBUTOR, args.subnet_id),
            ("kubelet", Role.MANAGED_IDENTITY_OPERATOR, kubelet.id),
        )
        return [
            grant(
                f"{name}-{what}",
                role=role,
                scope=scope,
                principal_id=control_plane.principal_id,
                subscription_id=args.subscription_id,
                opts=opts,
            )
            for what, role, scope in wanted
        ]

    @staticmethod
    def _cluster(
        name: str, args: ClusterArgs, control_plane: Identity, kubelet: Identity, opts: pulumi.ResourceOptions
    ) -> aks.ManagedCluster:
        return aks.ManagedCluster(
            f"{name}-cluster",
            resource_name_=unique(name, args.subscription_id),
            resource_group_name=args.resource_group_name,
            kubernetes_version=args.kubernetes_version,
            dns_prefix=unique(name, args.subscription_id),
            sku=aks.ManagedClusterSKUArgs(name="Base", tier=args.tier),
            identity=aks.ManagedClusterIdentityArgs(
                type=aks.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[control_plane.id]
            ),
            identity_profile={
                "kubeletidentity": aks.UserAssignedIdentityArgs(
                    resource_id=kubelet.id, client_id=kubelet.client_id, object_id=kubelet.principal_id
                )
            },
            disable_local_accounts=True,
            enable_rbac=True,
            aad_profile=aks.ManagedClusterAADProfileArgs(
                managed=True, enable_azure_rbac=True, tenant_id=args.tenant_id
            ),
            agent_pool_profiles=[_system_pool(args)],
            network_profile=_network(),
            api_server_access_profile=_api_access(args),
            addon_profiles=_addons(),
            oidc_issuer_profile=aks.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=_security(),
            workload_auto_scaler_profile=aks.ManagedClusterWorkloadAutoScalerProfileArgs(
                keda=aks.ManagedClusterWorkloadAutoScalerProfileKedaArgs(enabled=True)
            ),
            auto_upgrade_profile=aks.ManagedClusterAutoUpgradeProfileArgs(
                upgrade_channel="patch", node_os_upgrade_channel="NodeImage"
            ),
            opts=opts,
        )

    @staticmethod
    def _administrators(
        name: str, args: ClusterArgs, cluster: aks.ManagedCluster, opts: pulumi.ResourceOptions
    ) -> Sequence[pulumi.Resource]:
        return [
            grant(
                f"{name}-administrator-{who}",
                role=Role.AKS_RBAC_CLUSTER_ADMIN,
                scope=cluster.id,
                principal_id=who,
                subscription_id=args.subscription_id,
                opts=opts,
                person=True,
            )
            for who in args.administrators
        ]

    @staticmethod
    def _kubeconfig(
        args: ClusterArgs, cluster: aks.ManagedCluster, rights: Sequence[pulumi.Resource]
    ) -> pulumi.Output[str]:
        # A kubeconfig is of no use before its holder may do something.
        name = pulumi.Output.all(cluster.name, *(right.urn for right in rights)).apply(lambda known: str(known[0]))
        credentials = aks.list_managed_cluster_user_credentials_output(
            resource_group_name=args.resource_group_name, resource_name=name
        )
        return pulumi.Output.secret(credentials.kubeconfigs.apply(lambda found: _decoded(found[0].value)))


def _identity_args(args: ClusterArgs) -> IdentityArgs:
    return IdentityArgs(resource_group_name=args.resource_group_name)


def _system_pool(args: ClusterArgs) -> aks.ManagedClusterAgentPoolProfileArgs:
    """The pool for the cluster's own pods; the taint keeps the servers' out."""
    return aks.ManagedClusterAgentPoolProfileArgs(
        name="system",
        mode=aks.AgentPoolMode.SYSTEM,
        os_type=aks.OSType.LINUX,
        vm_size=args.system_vm_size,
        count=args.system_count,
        vnet_subnet_id=args.subnet_id,
        availability_zones=list(args.zones) or None,
        node_labels={POOL_LABEL: "system"},
        node_taints=["CriticalAddonsOnly=true:NoSchedule"],
    )


def _network() -> aks.ContainerServiceNetworkProfileArgs:
    return aks.ContainerServiceNetworkProfileArgs(
        network_plugin=aks.NetworkPlugin.AZURE,
        network_plugin_mode=aks.NetworkPluginMode.OVERLAY,
        network_dataplane=aks.NetworkDataplane.CILIUM,
        network_policy=aks.NetworkPolicy.CILIUM,
        load_balancer_sku=aks.LoadBalancerSku.STANDARD,
        pod_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/16",
        dns_service_ip="10.96.0.10",
    )


def _api_access(args: ClusterArgs) -> aks.ManagedClusterAPIServerAccessProfileArgs:
    return aks.ManagedClusterAPIServerAccessProfileArgs(
        enable_private_cluster=args.private, authorized_ip_ranges=list(args.authorized_ip_ranges) or None
    )


def _addons() -> dict[str, aks.ManagedClusterAddonProfileArgs]:
    # Without rotation a secret that changes in the vault would reach no pod before it starts again.
    rotation = {"enableSecretRotation": "true", "rotationPollInterval": "30s"}
    return {"azureKeyvaultSecretsProvider": aks.ManagedClusterAddonProfileArgs(enabled=True, config=rotation)}


def _security() -> aks.ManagedClusterSecurityProfileArgs:
    return aks.ManagedClusterSecurityProfileArgs(
        workload_identity=aks.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
        image_cleaner=aks.ManagedClusterSecurityProfileImageCleanerArgs(enabled=True, interval_hours=CLEANER_HOURS),
    )


def unattended(kubeconfig: str) -> str:
    """A kubeconfig whose `kubelogin` takes the Azure CLI's login, not the default that waits for somebody at a browser.

    A pipeline without that login sets `AAD_LOGIN_METHOD`, which kubelogin puts above what the kubeconfig says.
    """
    return re.sub(r"(- --login\n\s*- )devicecode\b", r"\1azurecli", kubeconfig)


def _decoded(kubeconfig: str) -> str:
    return unattended(base64.b64decode(kubeconfig).decode())
