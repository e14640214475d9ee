"""The driver asks the vault as the Azure provider does, refuses what it refuses, and never tells a secret."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.node.vault import VaultError, VaultObject, VaultSource, parse, read
from tests.node.fake_azure import FakeAzure, serving, token

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


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[FakeAzure]:
    with serving(tmp_path / "arm.sock", "the-pod", {"api-keys-default": "sk-1"}) as server:
        yield server


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


def test_the_pods_token_is_exchanged_and_the_secret_read_from_its_vault(azure: FakeAzure, tmp_path: Path) -> None:
    found = read(source("api-keys-default"), token("the-pod"), tmp_path / "arm.sock")

    assert found == {"api-keys-default": b"sk-1"}
    assert azure.seen == [
        "login.microsoftonline.com/the-tenant/oauth2/v2.0/token",
        "kv.vault.azure.net/secrets/api-keys-default?api-version=7.4",
    ]


@pytest.mark.usefixtures("azure")
def test_a_pod_without_a_matching_federated_credential_gets_nothing(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="no matching federated identity") as caught:
        read(source("api-keys-default"), token("another-pod"), tmp_path / "arm.sock")
    assert token("another-pod") not in str(caught.value)


@pytest.mark.usefixtures("azure")
def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match=r"api-keys-ops.*SecretNotFound"):
        read(source("api-keys-ops"), token("the-pod"), tmp_path / "arm.sock")


def test_a_vault_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="does not answer"):
        read(source("x"), "pod-token", tmp_path / "nothing.sock")
