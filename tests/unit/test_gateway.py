"""The gateway's own configuration in a real Caddy on loopback: who is let through, to where, and what the others hear.

Only addresses, ports, folders and the certificate's issuer differ from what a cluster gets.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from components.serving.caddy import Backend, GatewayConfig, render_caddyfile
from rehearsal.paths import cache_dir

CADDY = shutil.which("caddy") or str(cache_dir() / "bin" / "caddy")
KEY = "sk-gateway-0a1b2c3d"
PORTS: tuple[str, ...] = ("8443", "8080", "9001", "9002", "9180")

pytestmark = pytest.mark.skipif(not Path(CADDY).exists(), reason="Caddy is not built yet: run ./scripts/rehearse once")


class Runtime(BaseHTTPRequestHandler):
    """Stands for a runtime: answers with what reached it.

    Not checked:
    - anything that a runtime does with a request.
    """

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"path": self.path, "authorization": self.headers.get("Authorization")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests say what came."""


@dataclass(frozen=True)
class Running:
    """A gateway with one server that is up and one that is not."""

    ports: dict[str, int]
    keys: Path

    def ask(self, target: str, key: str | None = KEY, method: str = "GET", **how: object) -> httpx.Response:
        """The answer to a request whose target is sent as it is."""
        headers = {"Host": "localhost"} | ({"Authorization": f"Bearer {key}"} if key is not None else {})
        url = httpx.URL(f"https://localhost:{self.ports['8443']}", raw_path=target.encode())
        with httpx.Client(verify=False, timeout=30) as client:
            return client.request(method, url, headers=headers, **how)  # pyright: ignore[reportArgumentType]


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def adapted(folder: Path, ports: dict[str, int], up: int, down: int) -> str:
    """The rendered file with the addresses of this machine, and an authority within Caddy."""
    config = GatewayConfig(
        public_name="localhost",
        acme_directory="https://acme.invalid/directory",
        keys=["default", "gone"],
        backends=[Backend(name=name, engine="onnx", host=f"{name}.invalid") for name in ("onnx", "away")],
        default="onnx",
        max_body_mib=10,
        wait_seconds=1,
    )
    text = render_caddyfile(config)
    for name, port in ports.items():
        text = text.replace(f"_port {name}", f"_port {port}").replace(f":{name}", f":{port}")
    text = text.replace("servers :", "servers 127.0.0.1:")
    text = text.replace("onnx.invalid:80", f"127.0.0.1:{up}").replace("away.invalid:80", f"127.0.0.1:{down}")
    issuer = "cert_issuer acme {\n\t\tdir https://acme.invalid/directory\n\t}"
    assert issuer in text
    text = text.replace(issuer, "cert_issuer internal\n\tskip_install_trust\n\tdefault_bind 127.0.0.1")
    return text.replace("/etc/slm/keys", str(folder / "keys")).replace("/tmp/admin.sock", str(folder / "admin.sock"))


def until(ready: Callable[[], bool]) -> None:
    while not ready():
        time.sleep(0.1)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "keys").mkdir()
    (folder / "keys" / "default").write_text(KEY)
    runtime = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    *listening, down = free_ports(len(PORTS) + 1)
    ports = dict(zip(PORTS, listening, strict=True))
    (folder / "Caddyfile").write_text(adapted(folder, ports, int(runtime.server_address[1]), down))
    own = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    with (folder / "log").open("w") as log:
        command = [CADDY, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        caddy = subprocess.Popen(command, env=os.environ | own, stderr=log)
    running = Running(ports, folder / "keys")

    def answers() -> bool:
        assert caddy.poll() is None, (folder / "log").read_text()
        try:
            return running.ask("/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield running
    finally:
        caddy.kill()
        caddy.wait()
        runtime.shutdown()
        runtime.server_close()


def code(response: httpx.Response) -> str:
    """The code of an error in OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["Content-Type"] == "application/json"
    return str(error["code"])


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("/v1/models", "/v1/models"),
        ("/onnx/v1/chat/completions", "/v1/chat/completions"),
        ("/onnx/v1/models?limit=1", "/v1/models?limit=1"),
        ("/reasoning", "/reasoning"),
    ],
)
def test_a_caller_with_a_key_reaches_a_route_and_the_key_stays_outside(
    gateway: Running, sent: str, arrives: str
) -> None:
    assert gateway.ask(sent).json() == {"path": arrives, "authorization": None}


@pytest.mark.parametrize("key", [None, "x", KEY[:-1], KEY + "x", KEY.upper(), "*"])
def test_another_key_is_refused(gateway: Running, key: str | None) -> None:
    refused = gateway.ask("/v1/models", key)
    assert (refused.status_code, code(refused)) == (401, "invalid_api_key")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/metrics",
        "//metrics",
        "/onnx/metrics",
        "/v1/../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/models/../../metrics",
        "/v1%2fmodels",
        "/V1/models",
        "/v1/models/",
        "/v1/models;x",
        "/onnx/v1/models%3f",
        "/health/live",
    ],
)
def test_whatever_is_no_route_is_not_found_with_and_without_a_key(
    gateway: Running, target: str, key: str | None
) -> None:
    refused = gateway.ask(target, key)
    assert (refused.status_code, code(refused)) == (404, "not_found")


def test_health_says_each_servers_state_without_a_key(gateway: Running) -> None:
    found = gateway.ask("/health", None)
    assert found.json() == {
        "status": "ok",
        "servers": {"onnx": {"engine": "onnx", "state": "ready"}, "away": {"engine": "onnx", "state": "down"}},
    }
    assert found.headers["Content-Type"] == "application/json"


def test_a_request_that_is_too_large_is_refused_and_one_that_just_fits_is_not(gateway: Running) -> None:
    large = gateway.ask("/v1/chat/completions", method="POST", content=b"a" * (10 * 2**20 + 1))
    assert (large.status_code, code(large)) == (413, "request_too_large")
    assert gateway.ask("/v1/chat/completions", method="POST", content=b"a" * 10 * 2**20).status_code == 200


def test_a_server_that_is_away_is_waited_for_and_then_said_to_be_so(gateway: Running) -> None:
    refused = gateway.ask("/away/v1/models")
    assert (refused.status_code, code(refused)) == (503, "server_unavailable")
    assert int(refused.headers["Retry-After"]) > 0


def test_another_name_finds_nothing(gateway: Running) -> None:
    with httpx.Client(verify=False) as client:
        found = client.get(f"https://localhost:{gateway.ports['8443']}/v1/models", headers={"Host": "other.example"})
    assert (found.status_code, code(found)) == (404, "not_found")


def test_http_is_sent_to_https(gateway: Running) -> None:
    found = httpx.get(f"http://localhost:{gateway.ports['8080']}/v1/models")
    assert (found.status_code, found.headers["Location"]) == (308, "https://localhost/v1/models")


def test_metrics_tell_the_servers_apart(gateway: Running) -> None:
    gateway.ask("/v1/models")
    text = httpx.get(f"http://localhost:{gateway.ports['9180']}/metrics").text
    assert 'caddy_http_requests_in_flight{handler="reverse_proxy",server="onnx"} 0' in text


def test_a_new_key_holds_at_once_and_the_old_one_no_more(gateway: Running) -> None:
    (gateway.keys / "default").write_text("sk-rotated-4e5f6a7b\n")
    try:
        assert gateway.ask("/v1/models", "sk-rotated-4e5f6a7b").status_code == 200
        assert gateway.ask("/v1/models", KEY).status_code == 401
    finally:
        (gateway.keys / "default").write_text(KEY)


@pytest.mark.skipif(shutil.which("curl") is None, reason="only curl is there to send such a request by HTTP/2")
@pytest.mark.parametrize("values", [("Bearer ", "Bearer x"), ("Bearer x", "Bearer "), ("Bearer ",)])
def test_a_key_whose_file_is_missing_is_not_the_empty_key(gateway: Running, values: tuple[str, ...]) -> None:
    # HTTP/2 keeps the space at a value's end, which HTTP/1 takes off.
    headers = [part for value in values for part in ("--header", f"Authorization: {value}")]
    answered = ["--output", os.devnull, "--write-out", "%{http_version} %{http_code}"]
    url = f"https://localhost:{gateway.ports['8443']}/v1/models"
    asked = subprocess.run(
        ["curl", "--silent", "--insecure", "--http2", *headers, *answered, url], capture_output=True, text=True
    )
    assert asked.stdout == "2 401"
