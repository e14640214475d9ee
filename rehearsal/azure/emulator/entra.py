"""Entra's token endpoint for workload identity: a pod's token for one that Azure's services take.

Owns the check of a client assertion against the identity's federated credentials. Signatures are checked where the
cluster's service-account key is given.
"""

import json
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from rehearsal.azure import TENANT_ID
from rehearsal.azure.emulator import tokens
from rehearsal.azure.emulator.http import Answer, Call
from rehearsal.azure.emulator.kinds.identity import CREDENTIAL, by_client_id
from rehearsal.azure.emulator.world import World, at

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class _TokenError(Exception):
    def __init__(self, code: str, number: int, description: str) -> None:
        super().__init__(description)
        self.answer = Answer(
            HTTPStatus.UNAUTHORIZED if code == "invalid_client" else HTTPStatus.BAD_REQUEST,
            {"error": code, "error_description": f"AADSTS{number}: {description}", "error_codes": [number]},
        )


class Entra:
    """The endpoint `POST /{tenant}/oauth2/v2.0/token`."""

    def __init__(self, world: World, service_account_key: RSAPublicKey | None) -> None:
        self._world = world
        self._key = service_account_key

    def answer(self, call: Call) -> Answer:
        """A token, or OAuth's error with the number that Entra gives it."""
        form = {key: values[0] for key, values in parse_qs(call.body.decode(errors="replace")).items()}
        try:
            return self._token(call.path.split("/")[1], form)
        except _TokenError as error:
            return error.answer

    def _token(self, tenant: str, form: dict[str, str]) -> Answer:
        if tenant != TENANT_ID:
            raise _TokenError("invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != _ASSERTION:
            raise _TokenError("unsupported_grant_type", 70003, "Only client_credentials with a client assertion.")
        resource = form.get("scope", "").removesuffix("/.default")
        if resource == form.get("scope") or not resource.startswith("https://"):
            raise _TokenError("invalid_scope", 1002012, "The scope must be a resource with /.default behind it.")
        client_id = form.get("client_id", "")
        identity = by_client_id(self._world, client_id)
        if identity is None:
            raise _TokenError(
                "unauthorized_client", 700016, f"Application with identifier '{client_id}' was not found."
            )
        self._check(form.get("client_assertion", ""), identity.id)
        claims = {
            "aud": resource,
            "tid": TENANT_ID,
            "appid": client_id,
            "oid": at(identity.body, "properties.principalId"),
        }
        token = tokens.issue(self._world, claims)
        return Answer(200, {"token_type": "Bearer", "expires_in": tokens.LIFETIME_SECONDS, "access_token": token})

    def _check(self, assertion: str, identity: str) -> None:
        header, claims = self._read(assertion)
        self._check_signature(header, assertion)
        now = time.time()
        if not claims.get("nbf", 0) - 300 <= now < claims.get("exp", 0):
            raise _TokenError("invalid_client", 700024, "Client assertion is not within its valid time range.")
        audiences: Any = claims.get("aud", [])
        audiences = [audiences] if isinstance(audiences, str) else audiences
        issuer, subject = claims.get("iss"), claims.get("sub")
        for credential in self._world.children(identity, CREDENTIAL):
            wanted = credential.body["properties"]
            same = wanted["issuer"].rstrip("/") == str(issuer).rstrip("/") and wanted["subject"] == subject
            if same and set(wanted["audiences"]) & set(audiences):
                return
        raise _TokenError(
            "invalid_client",
            700213,
            "No matching federated identity record found for presented assertion. Assertion Issuer: "
            f"'{issuer}'. Assertion Subject: '{subject}'. Assertion Audience: '{', '.join(map(str, audiences))}'.",
        )

    @staticmethod
    def _read(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            header, payload, _ = assertion.split(".")
            return json.loads(tokens.decode(header)), json.loads(tokens.decode(payload))
        except ValueError as error:
            raise _TokenError("invalid_client", 50027, "The client assertion is no valid JWT.") from error

    def _check_signature(self, header: dict[str, Any], assertion: str) -> None:
        if self._key is None:
            return
        signed, _, signature = assertion.rpartition(".")
        try:
            if header.get("alg") != "RS256":
                raise InvalidSignature
            self._key.verify(tokens.decode(signature), signed.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError) as error:
            raise _TokenError("invalid_client", 700027, "Client assertion failed signature validation.") from error
