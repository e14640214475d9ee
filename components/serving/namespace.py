"""The stack's place in Kubernetes: a namespace under the `restricted` standard in which nothing may talk by default.

Owns the provider that everything else in Kubernetes is made with, the namespace and the default-deny policy.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.serving import network_policies

NAME = "slm"


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """`kubeconfig` is secret."""

    kubeconfig: pulumi.Input[str]


class Namespace(pulumi.ComponentResource):
    """A namespace, closed until something is opened."""

    provider: kubernetes.Provider
    name: pulumi.Output[str]

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:serving:Namespace", name, None, opts)
        self.provider = kubernetes.Provider(
            f"{name}-kubernetes",
            kubeconfig=args.kubeconfig,
            enable_server_side_apply=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        child = pulumi.ResourceOptions(parent=self, provider=self.provider)
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace", metadata={"name": NAME, "labels": _standard()}, opts=child
        )
        self.name = namespace.metadata.apply(lambda metadata: str(metadata.name))
        kubernetes.networking.v1.NetworkPolicy(
            f"{name}-default-deny",
            metadata={"namespace": self.name, "name": "default-deny"},
            spec=network_policies.nothing(),
            opts=child,
        )
        self.register_outputs({"name": self.name})


def _standard() -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
