"""The server says what it is, how it is, and that a fixture is a fixture."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.runtimes.conftest import MODEL, NAME, Running, serving


def test_a_ready_server_is_live_and_ready(client: httpx.Client) -> None:
    for path, status in (("/health", "ready"), ("/health/ready", "ready"), ("/health/live", "live")):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, status)


def test_the_served_model_is_listed_and_found(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"]) == (NAME, "model")
    assert client.get(f"/v1/models/{NAME}").json() == model


def test_another_model_is_not_found(client: httpx.Client) -> None:
    refused = client.get("/v1/models/other")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_an_unknown_path_and_a_wrong_method_are_refused_in_openais_shape(client: httpx.Client) -> None:
    unknown, method = client.get("/nowhere"), client.get("/reasoning")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["type"]) == (405, "invalid_request_error")


def test_no_documentation_pages_are_served(client: httpx.Client) -> None:
    assert {client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_metrics_count_tokens_and_time(server: Running, client: httpx.Client) -> None:
    before = server.metric("slm_generated_tokens_total")
    client.post("/reasoning", json={"prompt": "Hello", "max_length": 3, "temperature": 0}).raise_for_status()
    assert server.metric("slm_generated_tokens_total") == before + 3
    assert server.metric("slm_time_to_first_token_seconds_count") > 0
    assert server.metric('slm_request_duration_seconds_count{outcome="length",route="reasoning"}') > 0
    assert server.metric("slm_requests_in_flight") == server.metric("slm_requests_waiting") == 0


@pytest.mark.parametrize("fixture", [True, False])
def test_a_fixture_is_named_so_wherever_the_model_is_named(tmp_path: Path, fixture: bool) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    manifest: dict[str, Any] = {
        "repository": "microsoft/x",
        "fingerprint": "0123456789abcdef",
        "fixture": fixture,
        "files": {},
    }
    (folder / "slm-manifest.json").write_text(json.dumps(manifest))
    with serving(folder) as running, running.client() as client:
        (model,) = client.get("/v1/models").json()["data"]
        assert (model["fixture"], model["owned_by"]) == (fixture, "microsoft")
        assert ("fixture" in client.get("/").text) is fixture
        body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        answer = client.post("/v1/chat/completions", json=body).json()
        assert answer["system_fingerprint"] == ("fixture" if fixture else "fp") + "_0123456789ab"
        assert running.metric(f'slm_fixture{{model="{NAME}"}}') == float(fixture)
