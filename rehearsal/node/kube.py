"""The few calls that the node makes to the API server: read an object, apply one.

Takes its server and credentials from a kubeconfig. Not a general client: no watch, no lists of kinds.
"""

import base64
import ssl
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import yaml

FIELD_MANAGER = "slm-rehearsal-node"


class Kube:
    """An API server as one kubeconfig's current user sees it."""

    def __init__(self, kubeconfig: Path, timeout_seconds: float = 10) -> None:
        data = yaml.safe_load(kubeconfig.read_text())
        cluster: dict[str, str] = data["clusters"][0]["cluster"]
        user: dict[str, str] = data["users"][0]["user"]
        context = ssl.create_default_context(cadata=_material(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as both:  # ssl reads a client certificate from a file only
            both.write(_material(user, "client-certificate") + b"\n" + _material(user, "client-key"))
            both.flush()
            context.load_cert_chain(both.name)
        self._client = httpx.Client(
            base_url=cluster["server"], verify=context, timeout=timeout_seconds, trust_env=False
        )

    def get(self, path: str) -> Any:
        """The object at an API path, or None if there is none.

        Raises:
            httpx.HTTPError: if the server refuses or does not answer.
        """
        answer = self._client.get(path)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else answer.raise_for_status().json()

    def apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Server-side apply of a manifest at its own API path.

        Raises:
            httpx.HTTPError: if the server refuses or does not answer.
        """
        self._client.patch(
            path,
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            content=yaml.safe_dump(dict(manifest)),
            headers={"Content-Type": "application/apply-patch+yaml"},
        ).raise_for_status()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _material(entry: Mapping[str, str], name: str) -> bytes:
    if inline := entry.get(f"{name}-data"):
        return base64.b64decode(inline)
    return Path(entry[name]).read_bytes()
