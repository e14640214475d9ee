"""A client of the Resource Manager: sends the token, waits for long-running operations, sits throttling out.

Owns HTTP, the retries that Azure's own clients do, and their bounds. Does not own what is sent.
"""

import os
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import httpx

from rehearsal.azure.provider.values import Properties
from rehearsal.errors import RehearsalError

ATTEMPTS = 8
"""How often a request is sent that is throttled, or that the service fails or does not answer in time."""
OPERATION_SECONDS = 2 * 60 * 60
"""How long an operation may go on where the program says nothing; the real provider's own limit."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
_POLL_SECONDS_AT_MOST = 1.0
_RETRIED = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_BUSY = "AnotherOperationInProgress"
"""What Microsoft.Network says of siblings that are written at the same time: waited for, as the real provider does."""


class ArmRefusedError(Exception):
    """ARM's own status, code and message. `accepted` says that it refused only after it had begun."""

    def __init__(self, status: int, code: str, message: str, *, accepted: bool = False) -> None:
        self.status = status
        self.code = code
        self.accepted = accepted
        super().__init__(f'Status={status} Code="{code}" Message="{message}"')


class ArmClient:
    """One Resource Manager, and the vaults beside it. Ends its waits when `cancelled` is set."""

    def __init__(self, client: httpx.Client, cancelled: threading.Event) -> None:
        self._client = client
        self._cancelled = cancelled

    @staticmethod
    def from_environment(cancelled: threading.Event) -> "ArmClient":
        """The one that the environment names.

        Raises:
            RehearsalError: if it names none, or a token that cannot be read.
        """
        endpoint, token_file = os.environ.get("SLM_ARM_ENDPOINT"), os.environ.get("SLM_ARM_TOKEN_FILE")
        fix = "Set the variables that `./scripts/rehearse status --json` shows as pulumi_env"
        if not endpoint or not token_file:
            raise RehearsalError("SLM_ARM_ENDPOINT and SLM_ARM_TOKEN_FILE name no Resource Manager", fix)
        try:
            token = Path(token_file).read_text().strip()
        except OSError as error:
            raise RehearsalError(f"The Resource Manager's token {token_file} cannot be read", fix) from error
        headers = {"Authorization": f"Bearer {token}"}
        return ArmClient(httpx.Client(base_url=endpoint, headers=headers, timeout=60, trust_env=False), cancelled)

    def get(self, resource: str, version: str) -> Properties | None:
        """A resource's body; None if there is none."""
        answer = self._send("GET", resource, version)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else _body(answer)

    def put(self, resource: str, version: str, body: Properties, timeout_seconds: float = 0) -> Properties:
        """Create or change a resource, and its body once that is done.

        Raises:
            ArmRefusedError: if ARM refuses it, at once or in the end.
        """
        until = time.monotonic() + (timeout_seconds or OPERATION_SECONDS)
        answer = self._send("PUT", resource, version, body, until=until)
        first = _body(answer)
        self._wait(answer, until)
        return self.get(resource, version) or first

    def delete(self, resource: str, version: str, timeout_seconds: float = 0) -> None:
        """Delete a resource and wait until it is gone; one that is gone already is gone."""
        until = time.monotonic() + (timeout_seconds or OPERATION_SECONDS)
        answer = self._send("DELETE", resource, version, until=until)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            _body(answer)
            self._wait(answer, until)

    def post(self, path: str, version: str) -> Properties:
        """An action's answer."""
        return _body(self._send("POST", path, version))

    def delete_secret(self, vault: str, name: str) -> None:
        """Delete a secret through the vault itself: ARM cannot."""
        host = {"Host": f"{vault}.vault.azure.net"}
        answer = self._send("DELETE", f"/secrets/{name}", "7.4", headers=host)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            _body(answer)

    def _send(
        self,
        method: str,
        path: str,
        version: str,
        body: Properties | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        until: float | None = None,
    ) -> httpx.Response:
        attempt = 0
        while True:
            try:
                answer = self._client.request(
                    method, path, params={"api-version": version}, json=body, headers=dict(headers or {})
                )
            except httpx.TransportError as error:
                answer = None
                failure: httpx.TransportError | None = error
            else:
                failure = None
            busy = answer is not None and _code(answer) == _BUSY and time.monotonic() < (until or 0)
            attempt += not busy  # a sibling that is being written is no failure
            if answer is not None and not busy and (answer.status_code not in _RETRIED or attempt >= ATTEMPTS):
                return answer
            if attempt >= ATTEMPTS:
                raise RehearsalError(
                    f"The Resource Manager does not answer ({type(failure).__name__})",
                    "Run `./scripts/rehearse` again, which starts it",
                ) from failure
            self._pause(answer, _FIRST_PAUSE_SECONDS * 2**attempt)

    def _wait(self, answer: httpx.Response, until: float) -> None:
        """Until the operation that an answer started has ended."""
        operation = answer.headers.get("Azure-AsyncOperation")
        pause = _FIRST_PAUSE_SECONDS
        while operation:
            address = httpx.URL(operation)
            status = self._send("GET", address.path, address.params.get("api-version", ""))
            found = _body(status)
            if found["status"] == "Succeeded":
                return
            if found["status"] != "InProgress":
                error: dict[str, Any] = found.get("error") or {}
                message = error.get("message", "the operation failed")
                raise ArmRefusedError(status.status_code, error.get("code", found["status"]), message, accepted=True)
            if time.monotonic() > until:
                raise ArmRefusedError(504, "Timeout", "the operation has not ended in its time", accepted=True)
            self._pause(status, pause, accepted=True)
            pause = min(pause * 1.5, _POLL_SECONDS_AT_MOST)

    def _pause(self, answer: httpx.Response | None, seconds: float, *, accepted: bool = False) -> None:
        asked = answer.headers.get("Retry-After", "") if answer is not None else ""
        wanted = float(asked) if asked.isdigit() else seconds
        if self._cancelled.wait(min(wanted, _LONGEST_PAUSE_SECONDS)):
            raise ArmRefusedError(0, "Canceled", "the update was cancelled", accepted=accepted)


def _code(answer: httpx.Response) -> str:
    if answer.status_code != HTTPStatus.CONFLICT:
        return ""
    try:
        return str(cast(dict[str, Any], answer.json())["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _body(answer: httpx.Response) -> Properties:
    if answer.is_success:
        return answer.json() if answer.content else {}
    try:
        error = cast(dict[str, Any], answer.json())["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = str(answer.status_code), answer.reason_phrase
    raise ArmRefusedError(answer.status_code, code, message)
