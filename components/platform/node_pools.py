"""The stack's node pools beside the cluster's own: each a resource by itself, autoscaled between its bounds.

A pool's name carries a hash of what AKS cannot change in place, so another VM size makes a new pool first, and the old
one goes when the pods have moved. Does not own which pods go where: they ask for the label `slm/pool`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice

from components.platform.naming import pool_name

POOL_LABEL = "slm/pool"
GPU_TAINT = "sku=gpu:NoSchedule"


@dataclass(frozen=True, kw_only=True)
class PoolArgs:
    """One pool: its VM size, its bounds, and whether its machines may be taken away (spot) or have GPUs."""

    vm_size: str
    min_count: int
    max_count: int
    spot: bool = False
    gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class NodePoolsArgs:
    """Which pools, in which cluster, on which subnet and in which zones."""

    resource_group_name: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    zones: Sequence[str]
    pools: Mapping[str, PoolArgs]


class NodePools(pulumi.ComponentResource):
    """Pools that a change of machines replaces without a gap."""

    ready: pulumi.Output[list[str]]
    """The pools' ids once they are there: for pods that need them."""

    def __init__(self, name: str, args: NodePoolsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:NodePools", name, None, opts)
        # The autoscaler changes the count; what the program said once must not undo it.
        child = pulumi.ResourceOptions(parent=self, ignore_changes=["count"])
        pools = [self._pool(name, args, label, pool, child) for label, pool in args.pools.items()]
        self.ready = pulumi.Output.all(*(pool.id for pool in pools))
        self.register_outputs({"ready": self.ready})

    @staticmethod
    def _pool(
        name: str, args: NodePoolsArgs, label: str, pool: PoolArgs, opts: pulumi.ResourceOptions
    ) -> containerservice.AgentPool:
        # The resource's own name changes with the pool's, or Pulumi would replace it under a name that is taken.
        pool_id = pool_name(label, pool.vm_size, pool.spot, pool.gpu, tuple(args.zones))
        return containerservice.AgentPool(
            f"{name}-{pool_id}",
            agent_pool_name=pool_id,
            resource_group_name=args.resource_group_name,
            resource_name_=args.cluster_name,
            mode=containerservice.AgentPoolMode.USER,
            os_type=containerservice.OSType.LINUX,
            vm_size=pool.vm_size,
            vnet_subnet_id=args.subnet_id,
            availability_zones=list(args.zones) or None,
            enable_auto_scaling=True,
            count=pool.min_count,
            min_count=pool.min_count,
            max_count=pool.max_count,
            node_labels={POOL_LABEL: label},
            node_taints=[GPU_TAINT] if pool.gpu else None,
            scale_set_priority="Spot" if pool.spot else "Regular",
            scale_set_eviction_policy="Delete" if pool.spot else None,
            spot_max_price=-1 if pool.spot else None,
            opts=opts,
        )
