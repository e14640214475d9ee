"""The few calls that the rehearsal's own controllers make to the API server.

Takes its server and credentials from a kubeconfig. Not a general client: no watch, no paging.
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

Object = dict[str, Any]


class Kube:
    """An API server as one kubeconfig's current user sees it. A refused call raises `httpx.HTTPError`."""

    def __init__(self, kubeconfig: Path, field_manager: str, timeout_seconds: float = 10) -> None:
        data = yaml.safe_load(kubeconfig.read_text())
        cluster: dict[str, str] = data["clusters"][0]["cluster"]
        user: dict[str, str] = data["users"][0]["user"]
        context = ssl.create_default_context(cadata=_material(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as both:  # ssl reads a client certificate from a file only
            both.write(_material(user, "client-certificate") + b"\n" + _material(user, "client-key"))
            both.flush()
            context.load_cert_chain(both.name)
        self._manager = field_manager
        self._client = httpx.Client(
            base_url=cluster["server"], verify=context, timeout=timeout_seconds, trust_env=False
        )

    def get(self, path: str) -> Object | None:
        """The object at an API path, or None if there is none."""
        answer = self._client.get(path)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else answer.raise_for_status().json()

    def list(self, path: str, **parameters: str) -> list[Object]:
        """The items of a list; none where the kind is not served."""
        answer = self._client.get(path, params=parameters)
        return [] if answer.status_code == HTTPStatus.NOT_FOUND else answer.raise_for_status().json()["items"]

    def text(self, path: str, **parameters: str) -> str:
        """A path's answer as it is, such as a pod's log."""
        return self._client.get(path, params=parameters).raise_for_status().text

    def apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Server-side apply of a manifest at its own API path; what other managers set stays theirs."""
        self._client.patch(
            path,
            params={"fieldManager": self._manager, "force": "true"},
            content=yaml.safe_dump(dict(manifest)),
            headers={"Content-Type": "application/apply-patch+yaml"},
        ).raise_for_status()

    def merge(self, path: str, patch: Mapping[str, Any]) -> None:
        """JSON merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self._client.patch(path, json=dict(patch), headers=headers).raise_for_status()

    def create(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Create an object; one that exists already is left as it is."""
        answer = self._client.post(path, json=dict(manifest))
        if answer.status_code != HTTPStatus.CONFLICT:
            answer.raise_for_status()

    def delete(self, path: str, grace_seconds: int | None = None) -> None:
        """Delete an object, a pod after its own grace unless told otherwise; one that is gone already is gone."""
        parameters = {} if grace_seconds is None else {"gracePeriodSeconds": str(grace_seconds)}
        answer = self._client.delete(path, params=parameters)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            answer.raise_for_status()

    def evict(self, pod: str) -> bool:
        """Ask for a pod, by its path, to be evicted; false if its disruption budget does not allow it now."""
        namespace, name = pod.split("/")[-3], pod.split("/")[-1]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        answer = self._client.post(f"{pod}/eviction", json=eviction)
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return False
        gone = answer.status_code == HTTPStatus.NOT_FOUND or (
            answer.status_code == HTTPStatus.FORBIDDEN and "NamespaceTerminating" in answer.text
        )
        if not gone:
            answer.raise_for_status()
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _material(entry: Mapping[str, str], name: str) -> bytes:
    if inline := entry.get(f"{name}-data"):
        return base64.b64decode(inline)
    return Path(entry[name]).read_bytes()
