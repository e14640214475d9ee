"""One managed identity: who a part of the stack is to Azure. Its roles are given where what they are for is made."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

AUDIENCE = "api://AzureADTokenExchange"
"""The one audience that Entra takes from a Kubernetes service account's token."""


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """Where the identity is made."""

    resource_group_name: pulumi.Input[str]


class Identity(pulumi.ComponentResource):
    """A user-assigned identity that Kubernetes service accounts can be federated with."""

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    client_id: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:Identity", name, None, opts)
        self._name = name
        self._resource_group_name = args.resource_group_name
        self._identity = managedidentity.UserAssignedIdentity(
            f"{name}-identity",
            resource_group_name=args.resource_group_name,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id = self._identity.id
        self.principal_id = self._identity.principal_id
        self.client_id = self._identity.client_id
        self.register_outputs({"id": self.id, "client_id": self.client_id})

    def federate(self, namespace: str, service_account: str, issuer: pulumi.Input[str]) -> pulumi.Output[str]:
        """Let one service account of the cluster with this OIDC issuer act as this identity; its client id then."""
        credential = managedidentity.FederatedIdentityCredential(
            f"{self._name}-{service_account}",
            resource_group_name=self._resource_group_name,
            resource_name_=self._identity.name,
            issuer=issuer,
            subject=f"system:serviceaccount:{namespace}:{service_account}",
            audiences=[AUDIENCE],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.all(self.client_id, credential.id).apply(lambda known: str(known[0]))
