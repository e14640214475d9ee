"""Key vaults and their secrets, as the control plane sees them.

Owns the store that the data plane (`secrets`) reads too. A secret's value goes into that store and into no record, so
that no GET of the control plane can answer it.
"""

import re
import time
import uuid

from rehearsal.azure import TENANT_ID
from rehearsal.azure.emulator.errors import ArmError, bad_request, conflict
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, merged

VAULT = "Microsoft.KeyVault/vaults"
SECRET = f"{VAULT}/secrets"
_RETENTION_DAYS = range(7, 91)
_VALUE_BYTES_AT_MOST = 25 * 1024


def by_name(world: World, name: str) -> Record | None:
    """The vault of a name, which is one in all of Azure."""
    return next((one for one in world.of_type(VAULT) if one.body["name"].lower() == name.lower()), None)


def uri(name: str) -> str:
    """A vault's own address."""
    return f"https://{name.lower()}.vault.azure.net/"


def _check_vault(world: World, put: Put) -> None:
    recovers = put.properties.get("createMode") == "recover"
    other = by_name(world, put.id.name)
    if other is not None and other.id.lower() != put.id.key:
        raise conflict("VaultAlreadyExists", f"The vault name '{put.id.name}' is already in use.")
    if put.id.name.lower() in world.state.deleted_vaults and not recovers and put.old is None:
        raise conflict(
            "ConflictError",
            f"A vault with the same name '{put.id.name}' already exists in deleted state. You need to either recover "
            "or purge existing key vault.",
        )
    properties = put.properties
    if properties["tenantId"] != TENANT_ID:
        raise bad_request("BadRequest", f"The tenant '{properties['tenantId']}' is not the subscription's.", "tenantId")
    if properties.get("enablePurgeProtection") is False:
        raise bad_request(
            "BadRequest",
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault '
            "is an irreversible action.",
        )
    if properties.get("enableSoftDelete") is False:
        raise bad_request("BadRequest", 'The property "enableSoftDelete" can only be true.')
    if properties.get("softDeleteRetentionInDays", 90) not in _RETENTION_DAYS:
        raise bad_request("BadRequest", "softDeleteRetentionInDays must be between 7 and 90.")
    if not properties.get("enableRbacAuthorization") and properties.get("accessPolicies") is None and not recovers:
        raise bad_request("BadRequest", "The parameter accessPolicies is not specified.", "properties.accessPolicies")


def _vault_outputs(world: World, put: Put) -> Body:
    below: Body = {
        "properties": {
            "accessPolicies": [],
            "enabledForDeployment": False,
            "enableRbacAuthorization": False,
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": 90,
            "publicNetworkAccess": "Enabled",
        }
    }
    if put.old is None:
        world.state.deleted_vaults.pop(put.id.name.lower(), None)
    put.properties.pop("createMode", None)
    return merged(merged(below, put.body), {"properties": {"vaultUri": uri(put.id.name)}})


def _vault_removed(world: World, record: Record) -> None:
    properties: Body = record.body["properties"]
    world.state.deleted_vaults[record.body["name"].lower()] = {
        "id": record.id,
        "location": record.body["location"],
        "purge_protected": bool(properties.get("enablePurgeProtection")),
        "deleted_at": time.time(),
    }


def purge(world: World, name: str) -> None:
    """Forget a deleted vault and all of its secrets.

    Raises:
        ArmError: 404 if it is not there, 409 if it is protected.
    """
    found = world.state.deleted_vaults.get(name.lower())
    if found is None:
        raise ArmError(404, "DeletedVaultNotFound", f"The deleted vault '{name}' was not found.")
    if found["purge_protected"]:
        raise conflict("DeletedVaultPurge", f"Purging the vault '{name}' is not allowed: purge protection is enabled.")
    del world.state.deleted_vaults[name.lower()]
    world.state.secrets.pop(name.lower(), None)
    world.save()


# --- secrets ---


def secrets_of(world: World, vault: str) -> dict[str, Body]:
    """A vault's secrets by name."""
    return world.state.secrets.setdefault(vault.lower(), {})


def add_version(world: World, vault: str, name: str, value: str, attributes: Body, content_type: str) -> Body:
    """Store a new version of a secret; the caller saves.

    Raises:
        ArmError: 409 if a deleted secret has the name, 400 for a value that is too long.
    """
    secret = secrets_of(world, vault).setdefault(name.lower(), {"name": name, "versions": [], "deleted_at": None})
    if secret["deleted_at"] is not None:
        raise conflict(
            "ObjectIsDeletedButRecoverable",
            f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this "
            "state, the secret can only be recovered or purged.",
        )
    if len(value.encode()) > _VALUE_BYTES_AT_MOST:
        raise bad_request("BadParameter", "The secret's value is longer than 25 KiB.")
    at_seconds = int(time.time())
    version: Body = {
        "id": uuid.uuid4().hex,
        "value": value,
        "contentType": content_type,
        "attributes": {"enabled": True} | attributes | {"created": at_seconds, "updated": at_seconds},
    }
    secret["versions"].append(version)
    return version


def _check_secret(_world: World, put: Put) -> None:
    if put.old is None and "value" not in put.properties:
        raise bad_request("BadRequest", "The secret's value is not specified.", "properties.value")


def _secret_outputs(world: World, put: Put) -> Body:
    vault = put.id.names[0]
    value = put.properties.pop("value", None)
    if value is None:
        value = secrets_of(world, vault)[put.id.name.lower()]["versions"][-1]["value"]
    given: Body = put.properties.get("attributes") or {}
    content_type = put.properties.get("contentType", "")
    version = add_version(world, vault, put.id.name, value, given, content_type)
    address = f"{uri(vault)}secrets/{put.id.name}"
    parent = world.find(put.id.parent)
    return {
        "location": parent.body["location"] if parent else "",
        "properties": {
            "attributes": version["attributes"],
            "secretUri": address,
            "secretUriWithVersion": f"{address}/{version['id']}",
        },
    }


RULES = {
    VAULT: Rules(
        name=re.compile(r"(?!.*--)[a-zA-Z][-a-zA-Z0-9]{1,22}[a-zA-Z0-9]"),
        name_rule="must be 3 to 24 letters, digits and single `-`, start with a letter and end with a letter or digit",
        check=_check_vault,
        outputs=_vault_outputs,
        fixed=("properties.softDeleteRetentionInDays",),
        removed=_vault_removed,
    ),
    SECRET: Rules(
        name=re.compile(r"[-a-zA-Z0-9]{1,127}"),
        name_rule="must be 1 to 127 letters, digits and `-`",
        has_state=False,
        check=_check_secret,
        outputs=_secret_outputs,
    ),
}
