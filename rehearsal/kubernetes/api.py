"""Requests to a Kubernetes API server: discovery, the verbs that the provider needs, and its errors.

One client for each provider process, used by many threads. Owns no waiting and no decision about what a resource is.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from rehearsal.kubernetes import VERSION
from rehearsal.kubernetes.kubeconfig import Access
from rehearsal.kubernetes.objects import name_of, namespace_of
from rehearsal.kubernetes.values import Properties

# The server names an unnamed field manager after the part of the user agent before the slash.
_USER_AGENT = f"pulumi-kubernetes/{VERSION}"
_REQUEST_SECONDS = 60.0
_CONNECT_SECONDS = 10.0


_RACES = 5
"""How often an apply is sent that meets another writer; controllers write a new object's status a few times."""


class ApiError(Exception):
    """The server's refusal; the text is its own message."""

    def __init__(self, status: Properties) -> None:
        self.code = int(status.get("code") or 0)
        self.reason = str(status.get("reason", ""))
        self.details = cast(Properties, status.get("details") or {})
        super().__init__(str(status.get("message") or self.reason))

    @property
    def not_found(self) -> bool:
        """The object, its namespace or its kind is not there."""
        return self.code == 404

    @property
    def raced(self) -> bool:
        """Somebody else wrote the object at the same moment; a conflict over fields has its causes in the details."""
        return self.code == 409 and "the object has been modified" in str(self)

    @property
    def namespace_missing(self) -> bool:
        """It is the namespace that is not there."""
        return self.not_found and self.details.get("kind") == "namespaces"

    @property
    def already_exists(self) -> bool:
        """An object of this name is there already."""
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """Another field manager owns a field, or the object changed meanwhile."""
        return self.reason == "Conflict"

    @property
    def forbidden(self) -> bool:
        """We may not do this."""
        return self.code == 403

    @property
    def no_dry_run(self) -> bool:
        """A webhook in the way has side effects, so that the server cannot do a dry run."""
        return self.code == 400 and "dry run" in str(self)


class NoSuchKindError(Exception):
    """The server serves no such kind in this version: usually a custom resource without its definition."""

    def __init__(self, kind: str, version: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{version}"')


class UnreachableError(Exception):
    """The server did not answer. The text holds its address and the cause, no credentials."""


@dataclass(frozen=True)
class Resource:
    """How the server serves a kind."""

    version: str
    """`apiVersion`, e.g. `apps/v1`."""
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of an object, or of the list of all (in a namespace, if one is given)."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """A client of one API server."""

    def __init__(self, access: Access, *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        self._server = access.server
        self._client = httpx.Client(
            base_url=access.server,
            headers=headers,
            verify=access.verify,
            timeout=httpx.Timeout(_REQUEST_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=64),
            trust_env=False,
            transport=transport,
        )
        self._served: dict[str, Mapping[str, Resource]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop all connections."""
        self._client.close()

    def server_version(self) -> str:
        """The server's own version, e.g. `v1.34.2`; proves that it can be reached and lets us in."""
        return str(self._request("GET", "/version").get("gitVersion", ""))

    def resource(self, version: str, kind: str) -> Resource:
        """How the server serves a kind; asked anew for a kind that it did not have before.

        Raises:
            NoSuchKindError: if it does not.
        """
        with self._lock:
            served = self._served.get(version, {})
            if kind not in served:
                served = self._served[version] = self._discover(version)
        if kind not in served:
            raise NoSuchKindError(kind, version)
        return served[kind]

    def _discover(self, version: str) -> Mapping[str, Resource]:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            found = cast(list[Properties], self._request("GET", path).get("resources", []))
        except ApiError as error:
            if error.not_found:
                return {}
            raise
        return {
            str(entry["kind"]): Resource(version, str(entry["name"]), bool(entry["namespaced"]))
            for entry in found
            if "/" not in str(entry["name"])
        }

    def get(self, like: Properties, name: str = "") -> Properties:
        """The live version of an object of this kind and namespace (and name, unless another is given)."""
        return self._request("GET", self._path(like, name or name_of(like)))

    def find(self, version: str, kind: str, namespace: str = "", *, labels: str = "") -> Sequence[Properties]:
        """All objects of a kind in a namespace, or in all, that carry the labels."""
        parameters = {"labelSelector": labels} if labels else {}
        path = self.resource(version, kind).path(namespace)
        return cast(list[Properties], self._request("GET", path, parameters).get("items") or [])

    def create(self, obj: Properties, *, dry_run: bool) -> Properties:
        """Make an object that is not there yet."""
        return self._request("POST", self._path(obj), {"fieldValidation": "Warn", **_dry(dry_run)}, obj)

    def apply(self, obj: Properties, *, manager: str, force: bool, dry_run: bool) -> Properties:
        """Server-side apply: own the given fields, and with `force` take them from whoever owns them."""
        parameters = {"fieldManager": manager, "force": str(force).lower(), **_dry(dry_run)}
        path, media_type = self._path(obj, name_of(obj)), "application/apply-patch+yaml"
        for _ in range(_RACES - 1):
            try:
                return self._request("PATCH", path, parameters, obj, media_type=media_type)
            except ApiError as error:
                if not error.raced:
                    raise
        return self._request("PATCH", path, parameters, obj, media_type=media_type)

    def replace(self, obj: Properties, *, manager: str, dry_run: bool) -> Properties:
        """Put an object in the place of the live one, whose `resourceVersion` it must name."""
        return self._request("PUT", self._path(obj, name_of(obj)), {"fieldManager": manager, **_dry(dry_run)}, obj)

    def patch(self, like: Properties, operations: Sequence[Properties]) -> Properties:
        """Apply a JSON patch."""
        return self._request(
            "PATCH", self._path(like, name_of(like)), {}, operations, media_type="application/json-patch+json"
        )

    def delete(self, like: Properties, name: str, *, propagation: str) -> None:
        """Ask for deletion; the object may be there for a while after that."""
        self._request("DELETE", self._path(like, name), {}, {"propagationPolicy": propagation})

    def _path(self, obj: Properties, name: str = "") -> str:
        resource = self.resource(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
        return resource.path(namespace_of(obj) or "default", name)

    def _request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        media_type: str = "application/json",
    ) -> Properties:
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": media_type}
        try:
            response = self._client.request(method, path, params=parameters, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{method} {self._server}{path}: {error or type(error).__name__}") from error
        answer = _json(response)
        if response.is_error:
            raise ApiError({"code": response.status_code, "message": response.text[:200], **answer})
        return answer


def _json(response: httpx.Response) -> Properties:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return cast(Properties, answer) if isinstance(answer, dict) else {}


def _dry(dry_run: bool) -> Mapping[str, str]:
    return {"dryRun": "All"} if dry_run else {}
