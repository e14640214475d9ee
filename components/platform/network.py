"""The stack's network: one VNet, a subnet for nodes, and what may come in.

Pods have addresses of an overlay and need no subnet. Does not own the load balancer's address (AKS makes it) nor who
may talk to whom inside the cluster (`serving.network_policies`).
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

ADDRESS_SPACE = "10.20.0.0/16"
NODES = "10.20.0.0/22"
"""1,019 nodes' worth of addresses; Azure keeps five of each subnet for itself."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Where the network is made."""

    resource_group_name: pulumi.Input[str]


class Network(pulumi.ComponentResource):
    """A network that lets the Internet reach the gateway's two ports and nothing else."""

    nodes_subnet_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:Network", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        rules = self._rules(name, args, child)
        vnet = self._vnet(name, args, child)
        subnet = self._subnet(name, args, vnet, rules, child)

        self.nodes_subnet_id = subnet.id
        self.register_outputs({"nodes_subnet_id": self.nodes_subnet_id})

    @staticmethod
    def _rules(name: str, args: NetworkArgs, opts: pulumi.ResourceOptions) -> network.NetworkSecurityGroup:
        gateway = network.SecurityRuleArgs(
            name="gateway",
            description="HTTPS for callers; HTTP for the certificate's challenge and a redirect.",
            priority=100,
            direction="Inbound",
            access="Allow",
            protocol="Tcp",
            source_address_prefix="Internet",
            source_port_range="*",
            destination_address_prefix="*",
            destination_port_ranges=["80", "443"],
        )
        return network.NetworkSecurityGroup(
            f"{name}-rules", resource_group_name=args.resource_group_name, security_rules=[gateway], opts=opts
        )

    @staticmethod
    def _vnet(name: str, args: NetworkArgs, opts: pulumi.ResourceOptions) -> network.VirtualNetwork:
        return network.VirtualNetwork(
            f"{name}-vnet",
            resource_group_name=args.resource_group_name,
            address_space=network.AddressSpaceArgs(address_prefixes=[ADDRESS_SPACE]),
            opts=opts,
        )

    @staticmethod
    def _subnet(
        name: str,
        args: NetworkArgs,
        vnet: network.VirtualNetwork,
        rules: network.NetworkSecurityGroup,
        opts: pulumi.ResourceOptions,
    ) -> network.Subnet:
        return network.Subnet(
            f"{name}-nodes",
            resource_group_name=args.resource_group_name,
            virtual_network_name=vnet.name,
            address_prefix=NODES,
            network_security_group=network.NetworkSecurityGroupArgs(id=rules.id),
            opts=opts,
        )
