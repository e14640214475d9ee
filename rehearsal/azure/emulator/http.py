"""Requests and answers, as the three services see them; free of any web framework."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rehearsal.azure.emulator.errors import ArmError, bad_request

Body = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request. Header names are in lower case; `body` may hold a secret and is never logged."""

    method: str
    host: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)
    is_loopback: bool = False
    """Whether it came over TCP from this machine, and not through the unix socket."""

    @property
    def base(self) -> str:
        """What an address in an answer begins with."""
        return f"http://{self.host}"

    @property
    def bearer(self) -> str:
        """The bearer token, or nothing."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def json(self) -> Body:
        """The body.

        Raises:
            ArmError: 400, if it is no JSON object.
        """
        try:
            found: Any = json.loads(self.body or b"{}")
        except ValueError as error:
            raise bad_request("InvalidRequestContent", "The request content was invalid: it is no JSON.") from error
        if not isinstance(found, dict):
            raise bad_request("InvalidRequestContent", "The request content was invalid: it is no JSON object.")
        return cast(Body, found)


@dataclass(frozen=True)
class Answer:
    """A response; `body` is JSON, or None for none."""

    status: int
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def refusal(error: ArmError) -> Answer:
    """An error as an answer."""
    return Answer(error.status, error.body(), error.headers)
