"""The post-deploy suite asks a running stack: `SLM_ENDPOINT` and `SLM_API_KEY_FILE` (or `SLM_API_KEY`) say which.

`SLM_CA_FILE` names an authority that the system does not know, as in rehearsal. Without an endpoint every test here is
skipped. A URL and a key are all it needs: it runs against a cloud stack just the same.
"""

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
ANSWER_TIMEOUT_SECONDS = 300
"""Long enough for a held request while a server starts; no test's result depends on it."""


@dataclass(frozen=True)
class Stack:
    """Where the stack answers and who may ask."""

    endpoint: str
    api_key: str
    trust: ssl.SSLContext

    def client(self, api_key: str | None) -> httpx.Client:
        """A client with this key, or with none."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        return httpx.Client(
            base_url=self.endpoint, headers=headers, verify=self.trust, timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests, and skip them where no endpoint is given."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("endpoints")
            if "SLM_ENDPOINT" not in os.environ:
                item.add_marker(pytest.mark.skip(reason="SLM_ENDPOINT names no running stack"))


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack that the environment names."""
    key_file = os.environ.get("SLM_API_KEY_FILE")
    return Stack(
        endpoint=os.environ["SLM_ENDPOINT"],
        api_key=Path(key_file).read_text().strip() if key_file else os.environ["SLM_API_KEY"],
        trust=ssl.create_default_context(cafile=os.environ.get("SLM_CA_FILE")),
    )


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[httpx.Client]:
    """A caller with the stack's key."""
    with stack.client(stack.api_key) as open_client:
        yield open_client


@pytest.fixture(scope="session")
def stranger(stack: Stack) -> Iterator[httpx.Client]:
    """A caller without a key."""
    with stack.client(None) as open_client:
        yield open_client


@pytest.fixture(scope="session")
def model(client: httpx.Client) -> str:
    """The id under which the default server serves its model."""
    return client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
