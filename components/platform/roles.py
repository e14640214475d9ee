"""Azure's built-in roles that the stack gives, and how it gives them.

Not one of them is Owner or Contributor of Azure resources: each lets its holder do the one thing that it is there for
[learn.microsoft.com/azure/role-based-access-control/built-in-roles].
"""

from enum import StrEnum

import pulumi
from pulumi_azure_native import authorization


class Role(StrEnum):
    """A built-in role's GUID."""

    AKS_RBAC_CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
    ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
    MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
    NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"


def grant(
    name: str,
    *,
    role: Role,
    scope: pulumi.Input[str],
    principal_id: pulumi.Input[str],
    subscription_id: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    person: bool = False,
) -> authorization.RoleAssignment:
    """Give a managed identity, or a `person` or group that Entra has known for long, a role on one resource."""
    definition = pulumi.Output.concat(
        "/subscriptions/", subscription_id, "/providers/Microsoft.Authorization/roleDefinitions/", role.value
    )
    return authorization.RoleAssignment(
        name,
        scope=scope,
        principal_id=principal_id,
        # A new identity is not visible to Entra at once; naming its type spares the look-up that would fail.
        principal_type=None if person else authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=definition,
        opts=opts,
    )
