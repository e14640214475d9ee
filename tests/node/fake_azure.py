"""Entra and one vault on a Unix socket, just enough for the secrets driver: one federated subject, some secrets."""

import base64
import json
import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeAzure(socketserver.ThreadingUnixStreamServer):
    """`subject` may exchange its token; `secrets` can change at any time; `seen` are the URLs that were asked for."""

    daemon_threads = True

    def __init__(self, path: Path, subject: str, secrets: dict[str, str]) -> None:
        super().__init__(str(path), _Handler)
        self.subject = subject
        self.secrets = secrets
        self.seen: list[str] = []


@contextmanager
def serving(path: Path, subject: str, secrets: dict[str, str]) -> Generator[FakeAzure]:
    with FakeAzure(path, subject, secrets) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def token(subject: str) -> str:
    """A service account token as far as the fake looks at it."""
    claims = {"sub": subject, "aud": ["api://AzureADTokenExchange"]}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


class _Handler(BaseHTTPRequestHandler):
    @property
    def azure(self) -> FakeAzure:
        assert isinstance(self.server, FakeAzure)
        return self.server

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.azure.seen.append(f"{self.headers['Host']}{self.path}")
        body = form["client_assertion"][0].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if claims["sub"] == self.azure.subject and claims["aud"] == ["api://AzureADTokenExchange"]:
            self._answer(200, {"access_token": "entra-token"})
        else:
            self._answer(401, {"error": "invalid_client", "error_description": "no matching federated identity"})

    def do_GET(self) -> None:
        self.azure.seen.append(f"{self.headers['Host']}{self.path}")
        name = urlsplit(self.path).path.removeprefix("/secrets/")
        if self.headers["Authorization"] != "Bearer entra-token":
            self._answer(401, {"error": {"code": "Unauthorized", "message": "no token"}})
        elif name in self.azure.secrets:
            self._answer(200, {"value": self.azure.secrets[name]})
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
