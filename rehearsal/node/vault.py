"""Reads a pod's secrets from the vault as the Azure provider of the secrets store driver does.

Owns the meaning of a SecretProviderClass' parameters and the two requests (the pod's token for an Entra token, then the
secret). Does not own mounting or when it is read again (`csi`). Never logs or raises a value or a token.

Not checked:
- Only secrets: objects of type `key` and `cert`, formats, encodings and `objectVersionHistory` are refused.
- Only workload identity: pod identity and the node's managed identity are refused.
- `secretObjects` (copies as Kubernetes Secrets) are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import yaml

DRIVER = "secrets-store.csi.k8s.io"
AUDIENCE = "api://AzureADTokenExchange"
"""The audience of the pod's token that Entra takes for workload identity."""
_API_VERSION = "7.4"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]+")


class VaultError(Exception):
    """A secret cannot be had; the message is for the pod's events and holds no secret."""


@dataclass(frozen=True)
class VaultObject:
    """One secret of the vault and the file that it becomes."""

    name: str
    file: str
    version: str = ""


@dataclass(frozen=True)
class VaultSource:
    """What a SecretProviderClass asks for."""

    client_id: str
    tenant_id: str
    vault: str
    objects: tuple[VaultObject, ...]


def parse(spec: Mapping[str, Any]) -> VaultSource:
    """The `spec` of a SecretProviderClass.

    Raises:
        VaultError: for anything that the real provider refuses, and for what this one does not do.
    """
    if spec.get("provider") != "azure":
        raise VaultError(f"provider {spec.get('provider')!r} is not installed; this node has 'azure'")
    if spec.get("secretObjects"):
        raise VaultError("secretObjects is not supported in a rehearsal")
    parameters: Mapping[str, str] = spec.get("parameters") or {}
    for name in ("usePodIdentity", "useVMManagedIdentity"):
        if parameters.get(name, "false").lower() == "true":
            raise VaultError(f"{name} is not supported in a rehearsal: use clientID with workload identity")
    return VaultSource(
        client_id=_required(parameters, "clientID"),
        tenant_id=_required(parameters, "tenantId"),
        vault=_required(parameters, "keyvaultName"),
        objects=_objects(_required(parameters, "objects")),
    )


def read(source: VaultSource, token: str, socket: Path) -> dict[str, bytes]:
    """The files with the secrets' present values, for the pod whose service account token is given.

    Raises:
        VaultError: if Entra or the vault refuses or does not answer.
    """
    if not socket.exists():
        raise VaultError("Azure does not answer: the emulator does not run")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=10, trust_env=False) as client:
        bearer = _exchange(client, source, token)
        return {found.file: _secret(client, source.vault, found, bearer) for found in source.objects}


def _exchange(client: httpx.Client, source: VaultSource, token: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": source.client_id,
        "client_assertion_type": _ASSERTION,
        "client_assertion": token,
        "scope": "https://vault.azure.net/.default",
    }
    url = f"http://login.microsoftonline.com/{source.tenant_id}/oauth2/v2.0/token"
    answer = _send(client, "POST", url, data=form)
    if answer.status_code != HTTPStatus.OK:
        raise VaultError(f"Entra gives no token for client {source.client_id}: {_reason(answer)}")
    return answer.json()["access_token"]


def _secret(client: httpx.Client, vault: str, wanted: VaultObject, bearer: str) -> bytes:
    url = f"http://{vault}.vault.azure.net/secrets/{wanted.name}"
    url += f"/{wanted.version}" if wanted.version else ""
    headers = {"Authorization": f"Bearer {bearer}"}
    answer = _send(client, "GET", url, headers=headers, params={"api-version": _API_VERSION})
    if answer.status_code != HTTPStatus.OK:
        raise VaultError(f"vault {vault} does not give secret {wanted.name}: {_reason(answer)}")
    return answer.json()["value"].encode()


def _send(client: httpx.Client, method: str, url: str, **content: Any) -> httpx.Response:
    try:
        return client.request(method, url, **content)
    except httpx.HTTPError as error:
        raise VaultError(f"{httpx.URL(url).host} does not answer ({type(error).__name__})") from error


def _reason(answer: httpx.Response) -> str:
    """The vault answers an object as `error`, Entra a string with `error_description` beside it."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        return str(answer.status_code)
    error: Any = body.get("error", "")
    code, text = (error["code"], error["message"]) if "message" in error else (error, body.get("error_description", ""))
    return f"{answer.status_code} {code} {text}".strip()


def _required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name, "")
    if not value:
        raise VaultError(f"parameter {name} of the SecretProviderClass is not set")
    return value


def _objects(text: str) -> tuple[VaultObject, ...]:
    """The provider's own form: YAML with an `array` of strings, each the YAML of one object."""
    try:
        entries = [yaml.safe_load(entry) for entry in yaml.safe_load(text)["array"]]
        found = tuple(_object(entry) for entry in entries)
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise VaultError("parameter objects is not YAML with an array of objects") from error
    files = [entry.file for entry in found]
    if len(set(files)) != len(files):
        raise VaultError(f"parameter objects gives one file name to several objects: {sorted(files)}")
    return found


def _object(entry: Mapping[str, Any]) -> VaultObject:
    name, kind = entry.get("objectName", ""), entry.get("objectType", "")
    if not name or kind != "secret":
        raise VaultError(f"object {name!r} has type {kind!r}; a rehearsal reads objects of type secret")
    file = entry.get("objectAlias") or name
    if not _FILE_NAME.fullmatch(file) or file.startswith(".."):
        raise VaultError(f"object {name!r} has an alias that is no file name: {file!r}")
    return VaultObject(name, file, entry.get("objectVersion") or "")
