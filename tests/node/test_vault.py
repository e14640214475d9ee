"""The driver asks the vault as the Azure provider does, refuses what it refuses, and never tells a secret."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from rehearsal.node.vault import VaultError, VaultObject, VaultSource, parse, read

OBJECTS = """\
array:
  - |
    objectName: api-keys-default
    objectType: secret
    objectAlias: default
  - |
    objectName: api-keys-ops
    objectType: secret
"""


def a_class(**parameters: str) -> dict[str, Any]:
    known = {"clientID": "the-client", "tenantId": "the-tenant", "keyvaultName": "kv", "objects": OBJECTS}
    return {"provider": "azure", "parameters": {**known, **parameters}}


class FakeAzure(socketserver.ThreadingUnixStreamServer):
    """Entra and a vault on a Unix socket: one client, one secret."""

    daemon_threads = True
    seen: list[str]


class _Handler(BaseHTTPRequestHandler):
    @property
    def seen(self) -> list[str]:
        assert isinstance(self.server, FakeAzure)
        return self.server.seen

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.seen.append(f"{self.headers['Host']}{self.path}")
        if form["client_assertion"] == ["pod-token"]:
            self._answer(200, {"access_token": "entra-token"})
        else:
            self._answer(401, {"error": "invalid_client", "error_description": "no matching federated identity"})

    def do_GET(self) -> None:
        self.seen.append(f"{self.headers['Host']}{self.path}")
        if self.headers["Authorization"] != "Bearer entra-token":
            self._answer(401, {"error": {"code": "Unauthorized", "message": "no"}})
        elif "/secrets/api-keys-default?" in self.path:
            self._answer(200, {"value": "sk-1"})
        else:
            self._answer(404, {"error": {"code": "SecretNotFound", "message": "it was not found"}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[tuple[Path, FakeAzure]]:
    path = tmp_path / "arm.sock"
    with FakeAzure(str(path), _Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path, server
        server.shutdown()
        thread.join()


def source(*names: str) -> VaultSource:
    return VaultSource("the-client", "the-tenant", "kv", tuple(VaultObject(name, name) for name in names))


def test_an_alias_names_the_file_and_its_absence_keeps_the_secrets_name() -> None:
    assert parse(a_class()).objects == (
        VaultObject("api-keys-default", "default"),
        VaultObject("api-keys-ops", "api-keys-ops"),
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    (a_class(clientID=""), "clientID"),
    (a_class(keyvaultName=""), "keyvaultName"),
    (a_class(objects="not: an array"), "array"),
    (a_class(objects='array: ["objectName: a\\nobjectType: cert"]'), "type 'cert'"),
    (a_class(objects='array: ["objectName: a\\nobjectType: secret\\nobjectAlias: ../b"]'), "no file name"),
    (a_class(useVMManagedIdentity="true"), "workload identity"),
    ({**a_class(), "provider": "aws"}, "not installed"),
    ({**a_class(), "secretObjects": [{}]}, "secretObjects"),
]


@pytest.mark.parametrize(("spec", "cause"), REFUSED)
def test_what_the_provider_would_refuse_is_refused_with_the_cause(spec: dict[str, Any], cause: str) -> None:
    with pytest.raises(VaultError, match=cause):
        parse(spec)


def test_the_pods_token_is_exchanged_and_the_secret_read_from_its_vault(azure: tuple[Path, FakeAzure]) -> None:
    path, server = azure

    assert read(source("api-keys-default"), "pod-token", path) == {"api-keys-default": b"sk-1"}

    assert server.seen == [
        "login.microsoftonline.com/the-tenant/oauth2/v2.0/token",
        "kv.vault.azure.net/secrets/api-keys-default?api-version=7.4",
    ]


def test_a_pod_without_a_matching_federated_credential_gets_nothing(azure: tuple[Path, FakeAzure]) -> None:
    with pytest.raises(VaultError, match="no matching federated identity") as caught:
        read(source("api-keys-default"), "another-token", azure[0])
    assert "another-token" not in str(caught.value)


def test_a_missing_secret_is_named(azure: tuple[Path, FakeAzure]) -> None:
    with pytest.raises(VaultError, match=r"api-keys-ops.*SecretNotFound"):
        read(source("api-keys-ops"), "pod-token", azure[0])


def test_a_vault_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="does not answer"):
        read(source("x"), "pod-token", tmp_path / "nothing.sock")
