"""A vault's secrets: who gets a token, who gets a value, and that nobody else does."""

import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from rehearsal.azure import TENANT_ID
from rehearsal.azure.emulator.entra import Entra
from rehearsal.azure.emulator.http import Answer
from tests.azure.support import AUDIENCE, GROUP, IDENTITY, ISSUER, SUBJECT, TOKEN, VALUE, VAULT, Azure, changed

HOST = "slm-dev.vault.azure.net"
NAME = "api-keys-default"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def assertion(key: RSAPrivateKey | None = None, **claims: Any) -> str:
    """A service account's token, as the cluster makes it."""
    now = int(time.time())
    all_claims = {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "exp": now + 600} | claims
    signed = f"{part({'alg': 'RS256'})}.{part(all_claims)}"
    signature = key.sign(signed.encode(), PKCS1v15(), SHA256()) if key else b"nothing"
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def token_answer(azure: Azure, given: str, **changes: str) -> Answer:
    client_id = azure.get(IDENTITY)["properties"]["clientId"]
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": given,
        "scope": "https://vault.azure.net/.default",
    } | changes
    host = "login.microsoftonline.com"
    return azure.call("POST", f"/{TENANT_ID}/oauth2/v2.0/token", host=host, body=urlencode(form).encode(), headers={})


def token(azure: Azure) -> str:
    answer = token_answer(azure, assertion())
    assert answer.status == 200, answer.body
    return answer.body["access_token"]


def ask(azure: Azure, bearer: str, method: str = "GET", path: str = f"/secrets/{NAME}", **changes: Any) -> Answer:
    headers = {"authorization": f"Bearer {bearer}"}
    sent: dict[str, Any] = {"host": HOST, "headers": headers} | changes
    return azure.call(method, path, version="7.4", **sent)


@pytest.fixture
def reader(full: Azure) -> str:
    """A token of an identity that may read the vault."""
    full.let_read_secrets()
    return token(full)


def test_a_federated_pod_with_the_role_reads_the_value(full: Azure, reader: str) -> None:
    answer = ask(full, reader)
    assert (answer.status, answer.body["value"]) == (200, VALUE)


def test_a_federated_pod_without_the_role_reads_nothing(full: Azure) -> None:
    answer = ask(full, token(full))
    assert (answer.status, answer.body["error"]["code"]) == (403, "Forbidden")
    assert VALUE not in str(answer.body)


@pytest.mark.parametrize("scope", [GROUP, VAULT, f"{VAULT}/secrets/{NAME}"])
def test_the_role_counts_at_the_secret_and_above_it(full: Azure, scope: str) -> None:
    full.let_read_secrets(scope)
    assert ask(full, token(full)).status == 200


def test_a_role_on_one_secret_does_not_open_another(full: Azure) -> None:
    full.put(f"{VAULT}/secrets/hf-token", {"properties": {"value": "hf"}})
    full.let_read_secrets(f"{VAULT}/secrets/{NAME}")
    assert ask(full, token(full), path="/secrets/hf-token").status == 403
    assert ask(full, token(full), path="/secrets").status == 403


def test_a_role_that_is_taken_away_counts_no_more(full: Azure) -> None:
    path = full.let_read_secrets()
    bearer = token(full)
    full.delete(path)
    assert ask(full, bearer).status == 403


def test_reading_is_not_writing(full: Azure, reader: str) -> None:
    assert ask(full, reader, "PUT", body=b'{"value": "mine"}').status == 403
    assert ask(full, reader, "DELETE").status == 403


@pytest.mark.parametrize("bearer", ["", "another", "a.b.c"])
def test_without_a_token_of_entra_there_is_a_challenge(full: Azure, bearer: str) -> None:
    answer = ask(full, bearer)
    assert answer.status == 401
    assert TENANT_ID in answer.headers["WWW-Authenticate"]


def test_a_token_for_another_service_does_not_open_the_vault(full: Azure) -> None:
    full.let_read_secrets()
    answer = token_answer(full, assertion(), scope="https://management.azure.com/.default")
    assert ask(full, answer.body["access_token"]).status == 401


def test_a_changed_token_is_none(full: Azure, reader: str) -> None:
    header, _, signature = reader.split(".")
    claims = {"aud": "https://vault.azure.net", "oid": "00000000-0000-0000-0000-000000000004", "exp": 2**40}
    assert ask(full, f"{header}.{part(claims)}.{signature}").status == 401


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        ({"sub": "system:serviceaccount:slm:another"}, 700213),
        ({"iss": "https://elsewhere"}, 700213),
        ({"aud": ["https://kubernetes.default.svc"]}, 700213),
        ({"exp": 1}, 700024),
        ({"nbf": 2**40}, 700024),
    ],
)
def test_only_the_service_account_of_a_credential_gets_a_token(full: Azure, claims: Any, number: int) -> None:
    answer = token_answer(full, assertion(**claims))
    assert (answer.status, answer.body["error_codes"]) == (401, [number])


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_id": "nobody"}, 700016),
        ({"grant_type": "password"}, 70003),
        ({"scope": "https://vault.azure.net"}, 1002012),
        ({"client_assertion": "nonsense"}, 50027),
        ({"client_assertion": "a.b.c"}, 50027),
    ],
)
def test_a_request_for_a_token_that_makes_no_sense_says_why(full: Azure, changes: Any, number: int) -> None:
    answer = token_answer(full, assertion(), **changes)
    assert (answer.status >= 400, answer.body["error_codes"]) == (True, [number])


def test_with_the_clusters_key_only_its_own_signature_counts(full: Azure) -> None:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    full.emulator._entra = Entra(full.world, key.public_key())  # pyright: ignore[reportPrivateUsage]
    assert token_answer(full, assertion(key)).status == 200
    assert token_answer(full, assertion()).body["error_codes"] == [700027]
    other = generate_private_key(public_exponent=65537, key_size=2048)
    assert token_answer(full, assertion(other)).body["error_codes"] == [700027]


def test_a_put_through_arm_is_a_new_version_and_the_old_one_stays(full: Azure, reader: str) -> None:
    old = ask(full, reader).body["id"].rpartition("/")[2]
    full.put(f"{VAULT}/secrets/{NAME}", {"properties": {"value": "rotated"}})
    assert ask(full, reader).body["value"] == "rotated"
    assert ask(full, reader, path=f"/secrets/{NAME}/{old}").body["value"] == VALUE
    versions = ask(full, reader, path=f"/secrets/{NAME}/versions").body["value"]
    assert len(versions) == 2
    assert VALUE not in str(versions)


def test_a_disabled_secret_is_not_read(full: Azure, reader: str) -> None:
    body = changed({"properties": {"value": VALUE}}, "properties.attributes", {"enabled": False})
    full.put(f"{VAULT}/secrets/{NAME}", body)
    assert ask(full, reader).status == 403


def test_a_missing_secret_and_a_missing_vault_are_not_found(full: Azure, reader: str) -> None:
    assert ask(full, reader, path="/secrets/another").body["error"]["code"] == "SecretNotFound"
    assert ask(full, reader, host="other.vault.azure.net").body["error"]["code"] == "VaultNotFound"


def test_a_deleted_secrets_name_stays_taken_until_it_is_purged(full: Azure) -> None:
    assert ask(full, TOKEN, "DELETE").status == 200
    assert full.refused("GET", f"{VAULT}/secrets/{NAME}")[0] == 404
    body = {"properties": {"value": VALUE}}
    assert full.refused("PUT", f"{VAULT}/secrets/{NAME}", body) == (409, "ObjectIsDeletedButRecoverable")
    assert ask(full, TOKEN, "DELETE", f"/deletedsecrets/{NAME}").status == 204
    full.put(f"{VAULT}/secrets/{NAME}", body)


def test_values_and_tokens_outlive_the_process(tmp_path: Path, full: Azure, reader: str) -> None:
    again = Azure(tmp_path / "azure", full.world.settings)
    assert ask(again, reader).body["value"] == VALUE
