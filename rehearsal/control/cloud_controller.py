"""What Azure does to a cluster from outside: nodes for its agent pools, addresses for its load balancers.

    python -m rehearsal.control.cloud_controller --kubeconfig FILE --arm-endpoint URL --arm-token-file FILE

Every second it compares the emulator's agent pools with the cluster's nodes. With `--real-node` that one stands for the
pool named by `--real-pool` (by its label `slm/pool`) and every other pool gets simulated nodes; without, all are
simulated, and claims of volumes are bound to volumes that do not exist. Prints a line for each thing it does. It keeps
nothing in memory, so that it can be ended and started at any time.

Not checked:
- Autoscaling: a pool has as many nodes as its `count` or, with autoscaling, its `minCount`.
- Machines: boot time, drivers, upgrades, images of nodes, disks and how many fit on one; zones.
- Load balancers: health probes, outbound rules, source ranges, and whether a DNS label is free in the region.
- Nodes that leave: pods are evicted under their disruption budgets, without the limit of time that AKS has.
- Simulated pods: nothing runs in them. A pod is Ready, and a Job's pod succeeds, as soon as it has a node.
- Simulated volumes: hold nothing, take any size and access mode.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from rehearsal.control import balancers, claims, nodes
from rehearsal.control.kube import Kube
from rehearsal.control.nodes import RealNode
from rehearsal.control.pools import Arm, Pool

POLL_SECONDS = 1.0
FIELD_MANAGER = "slm-cloud-controller"


@dataclass(frozen=True)
class Options:
    """What stands for what: see the module."""

    real_node: RealNode | None
    load_balancer_ip: str


def reconcile(kube: Kube, pools: Sequence[Pool] | None, options: Options) -> list[str]:
    """One round; what was done or waits, a line each. `pools` is None once the cluster is gone from Azure."""
    done = nodes.reconcile(kube, pools, options.real_node)
    done += balancers.reconcile(kube, options.load_balancer_ip)
    return done if options.real_node else done + claims.reconcile(kube)


def run(kubeconfig: Path, arm: Arm, options: Options) -> None:
    """Work until told to end; an API that is away or restarted is asked again."""
    kube: Kube | None = None
    before: list[str] = []
    while True:
        try:
            # A cluster that was made anew has other certificates under the same name.
            kube = kube or Kube(kubeconfig, FIELD_MANAGER)
            lines = reconcile(kube, arm.pools(), options)
        except (httpx.HTTPError, OSError, ValueError) as error:
            lines = [f"will try again: {error}"]
            if kube is not None:
                kube.close()
            kube = None
        for line in lines:
            if line not in before:  # what waits is said once
                print(line, flush=True)
        before = lines
        time.sleep(POLL_SECONDS)


def main(argv: Sequence[str]) -> int:
    """Read the arguments and work until told to end."""
    parser = argparse.ArgumentParser(prog="cloud_controller", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--arm-endpoint", required=True)
    parser.add_argument("--arm-token-file", type=Path)
    parser.add_argument("--subscription", default="00000000-0000-0000-0000-000000000001")
    parser.add_argument("--real-node")
    parser.add_argument("--real-pool", default="cpu")
    parser.add_argument("--load-balancer-ip", default="10.77.0.10", help="the first address for a load balancer")
    given = parser.parse_args(argv)
    real_node = RealNode(given.real_node, given.real_pool) if given.real_node else None
    arm = Arm(given.arm_endpoint, given.arm_token_file, given.subscription)
    run(given.kubeconfig, arm, Options(real_node, given.load_balancer_ip))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
