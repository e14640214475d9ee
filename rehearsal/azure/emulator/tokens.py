"""Bearer tokens that Entra's stand-in gives out: signed, so that nobody else can make one; opaque to their bearer."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any, cast

from rehearsal.azure.emulator.world import World

LIFETIME_SECONDS = 24 * 3600
"""Entra gives a managed identity's token a day."""


def encode(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The opposite of `encode`.

    Raises:
        ValueError: if it is no base64.
    """
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def issue(world: World, claims: dict[str, Any]) -> str:
    """A token with these claims, good for a day; it outlives a restart of the emulator."""
    now = int(time.time())
    header = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    payload = encode(json.dumps(claims | {"iat": now, "exp": now + LIFETIME_SECONDS}).encode())
    return f"{header}.{payload}.{_signature(world, f'{header}.{payload}')}"


def claims(world: World, token: str) -> dict[str, Any] | None:
    """A token's claims, or None if it is not ours or not good any more."""
    signed, _, signature = token.rpartition(".")
    if not signed or not hmac.compare_digest(signature.encode(), _signature(world, signed).encode()):
        return None
    found = cast(dict[str, Any], json.loads(decode(signed.partition(".")[2])))
    return found if found["exp"] > time.time() else None


def _signature(world: World, text: str) -> str:
    if not world.state.signing_key:
        world.state.signing_key = secrets.token_hex(32)
        world.save()
    return encode(hmac.new(bytes.fromhex(world.state.signing_key), text.encode(), hashlib.sha256).digest())
