"""Key Vault's data plane: a vault's secrets, for whoever holds the role.

Owns `https://VAULT.vault.azure.net/secrets` and `/deletedsecrets`. A value is in an answer to its reader and nowhere
else; the control plane's record of a secret goes along with it.
"""

import time
from typing import Any

from rehearsal.azure import DEPLOYER_OBJECT_ID, TENANT_ID
from rehearsal.azure.emulator import tokens
from rehearsal.azure.emulator.errors import ArmError
from rehearsal.azure.emulator.http import Answer, Call
from rehearsal.azure.emulator.kinds import vault as vaults
from rehearsal.azure.emulator.kinds.identity import SECRETS_OFFICER, SECRETS_USER, VAULT_ADMINISTRATOR, may
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import World

HOST_SUFFIX = ".vault.azure.net"
_API_VERSIONS = ("7.3", "7.4", "7.5", "7.6", "2025-07-01")
_READERS = (SECRETS_USER, SECRETS_OFFICER, VAULT_ADMINISTRATOR)
_WRITERS = (SECRETS_OFFICER, VAULT_ADMINISTRATOR)


class Secrets:
    """The data plane of every vault; the vault is the request's host."""

    def __init__(self, world: World, deployer_token: str) -> None:
        self._world = world
        self._deployer_token = deployer_token

    def answer(self, call: Call) -> Answer:
        """Carry out a request.

        Raises:
            ArmError: in Key Vault's own codes.
        """
        caller = self._caller(call)
        name = call.host.partition(":")[0].removesuffix(HOST_SUFFIX)
        vault = vaults.by_name(self._world, name)
        if vault is None:
            raise ArmError(404, "VaultNotFound", f"There is no vault '{name}': its name does not resolve.")
        if call.query.get("api-version") not in _API_VERSIONS:
            raise ArmError(400, "BadParameter", f"api-version must be one of {', '.join(_API_VERSIONS)}.")
        roles = _READERS if call.method == "GET" else _WRITERS
        words = call.path.strip("/").split("/")
        # A role on one secret opens that one; what has no secret's name is about the vault as a whole.
        resource = f"{vault.id}/secrets/{words[1]}" if len(words) > 1 and words[0] == "secrets" else vault.id
        if not may(self._world, caller, roles, resource):
            raise ArmError(
                403,
                "Forbidden",
                f"Caller is not authorized to perform action on resource. Caller: oid={caller}. Vault: {name}. If role "
                "assignments were changed recently, please observe propagation time.",
            )
        return self._dispatch(call, vault, words)

    def _caller(self, call: Call) -> str:
        if call.bearer and call.bearer == self._deployer_token:
            return DEPLOYER_OBJECT_ID
        claims = tokens.claims(self._world, call.bearer) if call.bearer else None
        if claims is None or claims["aud"] != "https://vault.azure.net":
            challenge = f'Bearer authorization="https://login.microsoftonline.com/{TENANT_ID}"'
            raise ArmError(
                401,
                "Unauthorized",
                "AKV10000: Request is missing a Bearer token for https://vault.azure.net.",
                headers={"WWW-Authenticate": f'{challenge}, resource="https://vault.azure.net"'},
            )
        return claims["oid"]

    def _dispatch(self, call: Call, vault: Record, words: list[str]) -> Answer:
        match call.method, words:
            case "GET", ["secrets"]:
                return Answer(200, {"value": [_bundle(vault, one, -1, shown=False) for one in self._live(vault)]})
            case "GET", ["secrets", name]:
                return Answer(200, self._get(vault, name, ""))
            case "GET", ["secrets", name, "versions"]:
                secret = self._secret(vault, name)
                indices = range(len(secret["versions"]))
                return Answer(200, {"value": [_bundle(vault, secret, index, shown=False) for index in indices]})
            case "GET", ["secrets", name, version]:
                return Answer(200, self._get(vault, name, version))
            case "PUT", ["secrets", name]:
                return Answer(200, self._set(vault, name, call.json()))
            case "DELETE", ["secrets", name]:
                return Answer(200, self._delete(vault, name))
            case "DELETE", ["deletedsecrets", name]:
                return self._purge(vault, name)
            case _:
                raise ArmError(404, "NotFound", f"There is no {call.method} of {call.path} in this vault.")

    def _live(self, vault: Record) -> list[Body]:
        found = vaults.secrets_of(self._world, vault.body["name"])
        return [secret for secret in found.values() if secret["deleted_at"] is None]

    def _secret(self, vault: Record, name: str) -> Body:
        found = vaults.secrets_of(self._world, vault.body["name"]).get(name.lower())
        if found is None or found["deleted_at"] is not None:
            raise ArmError(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return found

    def _get(self, vault: Record, name: str, version: str) -> Body:
        secret = self._secret(vault, name)
        ids = [one["id"] for one in secret["versions"]]
        if version and version not in ids:
            raise ArmError(
                404, "SecretNotFound", f"A secret with (name/id) {name}/{version} was not found in this key vault."
            )
        index = ids.index(version) if version else len(ids) - 1
        if not secret["versions"][index]["attributes"].get("enabled", True):
            raise ArmError(403, "Forbidden", "Operation get is not allowed on a disabled secret.")
        return _bundle(vault, secret, index, shown=True)

    def _set(self, vault: Record, name: str, body: Body) -> Body:
        value: Any = body.get("value")
        if not isinstance(value, str):
            raise ArmError(400, "BadParameter", "The secret's value must be a string.")
        store, content_type = vault.body["name"], body.get("contentType", "")
        version = vaults.add_version(self._world, store, name, value, body.get("attributes") or {}, content_type)
        path = f"{vault.id}/secrets/{name}"
        record = self._world.find(path) or Record(path, vaults.SECRET, {}, time.time())
        address = f"{vaults.uri(store)}secrets/{name}"
        record.body = {
            "id": path,
            "name": name,
            "type": vaults.SECRET,
            "location": vault.body["location"],
            "properties": {
                "attributes": version["attributes"],
                "secretUri": address,
                "secretUriWithVersion": f"{address}/{version['id']}",
            },
        }
        self._world.add(record)
        self._world.save()
        return _bundle(vault, self._secret(vault, name), -1, shown=True)

    def _delete(self, vault: Record, name: str) -> Body:
        secret = self._secret(vault, name)
        secret["deleted_at"] = int(time.time())
        record = self._world.find(f"{vault.id}/secrets/{name}")
        if record is not None:
            self._world.remove(record)
        self._world.save()
        recovery = f"{vaults.uri(vault.body['name'])}deletedsecrets/{name}"
        return _bundle(vault, secret, -1, shown=False) | {"recoveryId": recovery, "deletedDate": secret["deleted_at"]}

    def _purge(self, vault: Record, name: str) -> Answer:
        found = vaults.secrets_of(self._world, vault.body["name"])
        secret = found.get(name.lower())
        if secret is None or secret["deleted_at"] is None:
            raise ArmError(404, "SecretNotFound", f"Deleted Secret not found: {name}.")
        if vault.body["properties"].get("enablePurgeProtection"):
            raise ArmError(403, "Forbidden", "Purge is not allowed: the vault has purge protection.")
        del found[name.lower()]
        self._world.save()
        return Answer(204)


def _bundle(vault: Record, secret: Body, index: int, *, shown: bool) -> Body:
    version: Body = secret["versions"][index]
    found: Body = {
        "id": f"{vaults.uri(vault.body['name'])}secrets/{secret['name']}/{version['id']}",
        "attributes": version["attributes"],
    }
    if version["contentType"]:
        found["contentType"] = version["contentType"]
    return found | {"value": version["value"]} if shown else found
