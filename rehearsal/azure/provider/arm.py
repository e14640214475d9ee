"""A client of the Resource Manager: sends the token, waits for long-running operations, sits throttling out."""

import os
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from rehearsal.azure.provider.values import Properties
from rehearsal.errors import RehearsalError

ATTEMPTS = 8
"""How often a throttled request is sent before it counts as refused."""
POLL_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0


class ArmRefusedError(Exception):
    """ARM's own code and message."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f'Code="{code}" Message="{message}"')


class ArmClient:
    """One Resource Manager. Ends its waits when `cancelled` is set."""

    def __init__(self, client: httpx.Client, cancelled: threading.Event) -> None:
        self._client = client
        self._cancelled = cancelled

    @staticmethod
    def from_environment(cancelled: threading.Event) -> "ArmClient":
        """The one that the environment names.

        Raises:
            RehearsalError: if it names none.
        """
        endpoint, token_file = os.environ.get("SLM_ARM_ENDPOINT"), os.environ.get("SLM_ARM_TOKEN_FILE")
        if not endpoint:
            raise RehearsalError(
                "SLM_ARM_ENDPOINT names no Resource Manager",
                "Set the variables that `./scripts/rehearse status --json` shows as pulumi_env",
            )
        headers = {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"} if token_file else {}
        return ArmClient(httpx.Client(base_url=endpoint, headers=headers, timeout=60, trust_env=False), cancelled)

    def get(self, resource: str, version: str) -> Properties | None:
        """A resource's body; None if there is none."""
        answer = self._send("GET", resource, version)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        return _body(answer)

    def put(self, resource: str, version: str, body: Properties) -> Properties:
        """Create or change a resource, and its body once that is done.

        Raises:
            ArmRefusedError: if ARM refuses it, at once or in the end.
        """
        answer = self._send("PUT", resource, version, body)
        first = _body(answer)
        self._wait(answer)
        return self.get(resource, version) or first

    def delete(self, resource: str, version: str) -> None:
        """Delete a resource and wait until it is gone; one that is gone already is gone."""
        answer = self._send("DELETE", resource, version)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            _body(answer)
            self._wait(answer)

    def post(self, path: str, version: str) -> Properties:
        """An action's answer."""
        return _body(self._send("POST", path, version))

    def _send(self, method: str, path: str, version: str, body: Properties | None = None) -> httpx.Response:
        for attempt in range(ATTEMPTS):
            try:
                answer = self._client.request(method, path, params={"api-version": version}, json=body)
            except httpx.TransportError as error:
                raise RehearsalError(
                    f"The Resource Manager does not answer: {error}", "Run `./scripts/rehearse` again, which starts it"
                ) from error
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or attempt == ATTEMPTS - 1:
                return answer
            self._pause(answer)
        raise AssertionError("the last attempt returns")

    def _wait(self, answer: httpx.Response) -> None:
        """Until the operation that an answer started has ended."""
        operation = answer.headers.get("Azure-AsyncOperation")
        while operation and not self._cancelled.is_set():
            status = self._client.get(operation)
            found = _body(status)
            if found["status"] == "Succeeded":
                return
            if found["status"] != "InProgress":
                error: dict[str, Any] = found.get("error") or {}
                raise ArmRefusedError(error.get("code", found["status"]), error.get("message", "the operation failed"))
            self._pause(status)

    def _pause(self, answer: httpx.Response) -> None:
        seconds = float(answer.headers.get("Retry-After", POLL_SECONDS))
        until = time.monotonic() + min(seconds, LONGEST_PAUSE_SECONDS)
        self._cancelled.wait(max(0.0, until - time.monotonic()))


def _body(answer: httpx.Response) -> Properties:
    if answer.is_success:
        return answer.json() if answer.content else {}
    try:
        error = answer.json()["error"]
        raise ArmRefusedError(error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        raise ArmRefusedError(str(answer.status_code), answer.reason_phrase) from None
