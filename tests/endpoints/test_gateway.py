"""The gateway lets in who has a key, to the routes that are meant for callers, in OpenAI's own error shape."""

import socket
import ssl
from urllib.parse import urlsplit

import httpx
import pytest

from tests.endpoints.conftest import Stack

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
UNLISTED = [
    "/metrics",
    "/docs",
    "/openapi.json",
    "/api/pull",
    "/api/delete",
    "/invocations",
    "/health/live",
    "/v1",
    "/",
]
TRICKS = [
    "/v1/../metrics",
    "/v1/%2e%2e/metrics",
    "//metrics",
    "/v1/models/../../metrics",
    "/%6detrics",
    "/onnx/metrics",
]


def error(response: httpx.Response) -> dict[str, object]:
    """The `error` object of a refusal, as OpenAI's clients read it."""
    found = response.json()["error"]
    assert {"message", "type", "code"} <= set(found)
    return found


def test_without_a_key_nobody_is_answered(stranger: httpx.Client) -> None:
    refused = stranger.post("/v1/chat/completions", json=CHAT)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert error(refused)["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", ["wrong", "{file./etc/slm/keys/default}", "{env.HOME}", "*"])
def test_a_wrong_key_is_no_key(stack: Stack, key: str) -> None:
    with stack.client(key) as client:
        assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize("header", ["Bearer ", "Bearer", "bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer sk-\u00e9"])
def test_no_form_of_the_header_opens_without_the_key(stack: Stack, header: str) -> None:
    assert status_of_raw_request(stack, f"GET /v1/models HTTP/1.1\r\nAuthorization: {header}") in (400, 401)


def test_a_part_of_the_key_is_no_key(stack: Stack) -> None:
    for key in (stack.api_key[:-1], stack.api_key + "x", stack.api_key.swapcase()):
        with stack.client(key) as client:
            assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize("path", UNLISTED)
def test_what_is_not_meant_for_callers_does_not_exist(client: httpx.Client, path: str) -> None:
    refused = client.get(path)
    assert refused.status_code == 404
    assert error(refused)["code"] == "not_found"


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_leads_past_the_list(stack: Stack, path: str) -> None:
    status = status_of_raw_request(stack, f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {stack.api_key}")
    assert status in (400, 404)


def test_a_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    refused = client.post("/v1/chat/completions", content=b"{" + b" " * (11 * 2**20))
    assert refused.status_code == 413
    assert error(refused)["type"] == "invalid_request_error"


def test_health_needs_no_key(stranger: httpx.Client) -> None:
    assert stranger.get("/health").status_code == 200


def test_an_unknown_model_is_named(client: httpx.Client) -> None:
    refused = client.post("/v1/chat/completions", json=CHAT | {"model": "gpt-unknown"})
    assert refused.status_code == 404
    assert error(refused)["code"] == "model_not_found"


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "hello"},
        {"messages": []},
        CHAT | {"temperature": "hot"},
        CHAT | {"temperature": -1},
        CHAT | {"max_tokens": 0},
        CHAT | {"top_p": 2},
    ],
)
def test_a_wrong_field_is_the_callers_error(client: httpx.Client, model: str, wrong: dict[str, object]) -> None:
    refused = client.post("/v1/chat/completions", json={"model": model} | wrong)
    assert refused.status_code in (400, 422)
    assert error(refused)["type"] == "invalid_request_error"


def test_a_named_server_answers_at_its_own_path(client: httpx.Client, model: str) -> None:
    health = client.get("/health").json()
    for name in health["servers"]:
        assert client.get(f"/{name}/v1/models").raise_for_status().json()["object"] == "list"


def status_of_raw_request(stack: Stack, head: str) -> int:
    """The status of a request that is sent as it is: clients tidy a path up before they send it."""
    address = urlsplit(stack.endpoint)
    host = address.hostname or ""
    with (
        socket.create_connection((host, address.port or 443)) as plain,
        stack.trust.wrap_socket(plain, server_hostname=host) as connection,
    ):
        assert isinstance(connection, ssl.SSLSocket)
        connection.sendall(f"{head}\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])
