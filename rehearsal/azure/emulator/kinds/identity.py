"""Managed identities, their federated credentials, and role assignments.

Also the emulator's directory: which principals there are, and what a principal may do.
"""

import re
import time
import uuid

from rehearsal.azure import DEPLOYER_OBJECT_ID, SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.emulator.errors import ArmError, bad_request, conflict
from rehearsal.azure.emulator.kinds.registry import now
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, at

IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
CREDENTIAL = f"{IDENTITY}/federatedIdentityCredentials"
ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_CREDENTIALS_AT_MOST = 20

SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
VAULT_ADMINISTRATOR = "00482a5a-887f-4fb3-b363-3b7fe8e74483"

ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "8311e382-0749-4cb8-b61a-304f252e45ec": "AcrPush",
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": "Container Registry Repository Reader",
    VAULT_ADMINISTRATOR: "Key Vault Administrator",
    SECRETS_OFFICER: "Key Vault Secrets Officer",
    SECRETS_USER: "Key Vault Secrets User",
    "21090545-7ca7-4776-b22c-e363652d74d2": "Key Vault Reader",
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
    "b12aa53e-6015-4669-85d0-8515ebb3ae7f": "Private DNS Zone Contributor",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8": "Azure Kubernetes Service Contributor Role",
    "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8": "Azure Kubernetes Service Cluster Admin Role",
    "4abbcc35-e782-43d8-92c5-2d3f1bd2253f": "Azure Kubernetes Service Cluster User Role",
    "3498e952-d568-435e-9b2c-8d77e338d7f7": "Azure Kubernetes Service RBAC Admin",
    "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b": "Azure Kubernetes Service RBAC Cluster Admin",
    "7f6c6a51-bcf8-42ba-9220-52d62157d7db": "Azure Kubernetes Service RBAC Reader",
    "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb": "Azure Kubernetes Service RBAC Writer",
    "b0d8363b-8ddd-447d-831f-62ca05bff136": "Monitoring Data Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
}
"""Built-in roles that are known here [learn.microsoft.com/azure/role-based-access-control/built-in-roles]."""


# --- identities ---


def identity_outputs(_world: World, put: Put) -> Body:
    """What Entra adds to an identity."""
    return {
        "properties": {
            "tenantId": TENANT_ID,
            "principalId": put.kept("properties.principalId", lambda: str(uuid.uuid4())),
            "clientId": put.kept("properties.clientId", lambda: str(uuid.uuid4())),
        }
    }


def _check_credential(world: World, put: Put) -> None:
    for key in ("issuer", "subject", "audiences"):
        if not put.properties.get(key):
            raise bad_request("MissingRequiredProperty", f"The required property 'properties.{key}' is missing.", key)
    issuer, audiences = str(put.properties["issuer"]), put.properties["audiences"]
    if not issuer.startswith("https://"):
        raise bad_request("BadRequest", f"The issuer '{issuer}' must be an https URL.", "properties.issuer")
    if len(audiences) != 1:
        raise bad_request("BadRequest", "A federated identity credential has exactly one audience.", "audiences")
    others = [one for one in world.children(put.id.parent, CREDENTIAL) if one.id.lower() != put.id.key]
    if len(others) >= _CREDENTIALS_AT_MOST:
        raise bad_request("BadRequest", f"An identity has at most {_CREDENTIALS_AT_MOST} federated credentials.")
    for other in others:
        same = all(at(other.body, f"properties.{key}") == put.properties[key] for key in ("issuer", "subject"))
        if same:
            raise conflict(
                "Conflict",
                f"Issuer and subject combination already exists for this Managed Identity: '{other.body['name']}'.",
            )


def by_client_id(world: World, client_id: str) -> Record | None:
    """The identity with a client id."""
    return next((one for one in world.of_type(IDENTITY) if at(one.body, "properties.clientId") == client_id), None)


# --- role assignments ---


def principal(world: World, object_id: str) -> Record | None:
    """The resource that a principal is of: an identity, or a resource with an identity of its own."""
    for record in world.state.resources.values():
        ids = (at(record.body, "properties.principalId"), at(record.body, "identity.principalId"))
        if object_id in ids and record.type != ROLE_ASSIGNMENT:
            return record
    return None


def may(world: World, object_id: str, roles: tuple[str, ...], resource: str) -> bool:
    """Whether a principal holds one of some roles at a resource or above it."""
    if object_id == DEPLOYER_OBJECT_ID:
        return True
    for record in world.of_type(ROLE_ASSIGNMENT):
        properties: Body = record.body["properties"]
        role = str(properties["roleDefinitionId"]).rpartition("/")[2].lower()
        above = (resource.lower() + "/").startswith(str(properties["scope"]).lower().rstrip("/") + "/")
        if properties["principalId"] == object_id and role in roles and above:
            return True
    return False


def _check_assignment(world: World, put: Put) -> None:
    _require_scope(world, put)
    role = str(put.properties["roleDefinitionId"])
    if role.rpartition("/")[2].lower() not in ROLES or "/roledefinitions/" not in role.lower():
        raise ArmError(
            404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist."
        )
    _require_principal(world, put)
    if put.old is not None:
        _require_same(put)
    for other in world.of_type(ROLE_ASSIGNMENT):
        if other.id.lower() != put.id.key and _triple(other.body["properties"]) == _triple(
            put.properties | {"scope": put.id.scope}
        ):
            raise conflict(
                "RoleAssignmentExists",
                f"The role assignment already exists. The ID of the existing role assignment is {other.body['name']}.",
            )


def _require_scope(world: World, put: Put) -> None:
    scope = put.id.scope.lower()
    if scope != f"/subscriptions/{SUBSCRIPTION_ID}" and world.find(scope) is None:
        raise ArmError(404, "ResourceNotFound", f"The scope '{put.id.scope}' of the role assignment was not found.")


def _require_principal(world: World, put: Put) -> None:
    object_id, kind = str(put.properties["principalId"]), put.properties.get("principalType", "")
    if kind in ("User", "Group", "ForeignGroup"):
        return
    found = principal(world, object_id)
    lag = world.settings.directory_lag_seconds
    known = object_id == DEPLOYER_OBJECT_ID or (
        found is not None and (bool(kind) or time.time() - found.created_at >= lag)
    )
    if not known:
        raise bad_request(
            "PrincipalNotFound",
            f"Principal {object_id.replace('-', '')} does not exist in the directory {TENANT_ID}. Check that you have "
            "the correct principal ID. If you are creating this principal and then immediately assigning a role, this "
            "error might be related to a replication delay. In this case, set the role assignment principalType "
            "property to a value, such as ServicePrincipal, User, or Group.",
        )


def _triple(properties: Body) -> tuple[str, str, str]:
    role = str(properties["roleDefinitionId"]).rpartition("/")[2].lower()
    return (str(properties["scope"]).lower(), role, str(properties["principalId"]).lower())


def _require_same(put: Put) -> None:
    assert put.old is not None
    if _triple(put.old.body["properties"]) != _triple(put.properties | {"scope": put.id.scope}):
        raise bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        )


def _assignment_outputs(_world: World, put: Put) -> Body:
    return {
        "properties": {
            "scope": put.id.scope,
            "principalType": put.properties.get("principalType", "ServicePrincipal"),
            "createdOn": put.kept("properties.createdOn", now),
            "updatedOn": now(),
            "createdBy": DEPLOYER_OBJECT_ID,
            "updatedBy": DEPLOYER_OBJECT_ID,
        }
    }


RULES = {
    IDENTITY: Rules(
        name=re.compile(r"[a-zA-Z0-9][-_a-zA-Z0-9]{2,127}"),
        name_rule="must be 3 to 128 letters, digits, `-` and `_`, and start with a letter or digit",
        has_state=False,
        outputs=identity_outputs,
    ),
    CREDENTIAL: Rules(
        name=re.compile(r"[a-zA-Z0-9][-_a-zA-Z0-9]{2,119}"),
        name_rule="must be 3 to 120 letters, digits, `-` and `_`, and start with a letter or digit",
        has_state=False,
        in_turn=True,
        check=_check_credential,
    ),
    ROLE_ASSIGNMENT: Rules(
        name=re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        name_rule="must be a GUID",
        has_state=False,
        check=_check_assignment,
        outputs=_assignment_outputs,
    ),
}
