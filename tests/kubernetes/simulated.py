"""A Kubernetes API of recorded answers, for tests that must not need a cluster."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import httpx
from pulumi.runtime.proto import provider_pb2, status_pb2

from rehearsal.kubernetes.provider import EngineLog, Provider

KUBECONFIG = json.dumps(
    {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://cluster.invalid"}}],
        "users": [{"name": "u", "user": {"token": "not-a-real-token"}}],
    }
)

Json = dict[str, Any]

_SERVED = {
    "/api/v1": ["ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod", "Namespace"],
    "/apis/apps/v1": ["Deployment", "StatefulSet", "ReplicaSet"],
    "/apis/batch/v1": ["Job"],
    "/apis/policy/v1": ["PodDisruptionBudget"],
    "/apis/autoscaling/v2": ["HorizontalPodAutoscaler"],
    "/apis/networking.k8s.io/v1": ["NetworkPolicy", "Ingress"],
    "/apis/rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    "/apis/apiextensions.k8s.io/v1": ["CustomResourceDefinition"],
    "/apis/keda.sh/v1alpha1": ["ScaledObject"],
    "/apis/discovery.k8s.io/v1": ["EndpointSlice"],
    "/apis/storage.k8s.io/v1": ["StorageClass"],
}
_WITHOUT_NAMESPACE = {"Namespace", "CustomResourceDefinition", "StorageClass"}


def plural(kind: str) -> str:
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


class AbortedError(Exception):
    """A call ended with an error, as the engine would see it."""

    def __init__(self, text: str, detail: provider_pb2.ErrorResourceInitFailed | None = None) -> None:
        super().__init__(text)
        self.detail = detail


class Context:
    """The part of gRPC's context that the provider uses."""

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        assert code is grpc.StatusCode.UNKNOWN
        raise AbortedError(details)

    def abort_with_status(self, status: Any) -> None:
        ((key, value),) = status.trailing_metadata
        assert key == "grpc-status-details-bin"
        detail = provider_pb2.ErrorResourceInitFailed()
        assert status_pb2.Status.FromString(value).details[0].Unpack(detail)
        raise AbortedError(status.details, detail)


@dataclass
class SimulatedApi:
    """Answers by method and path; everything else is not found. Keeps what it was asked."""

    answers: dict[tuple[str, str], tuple[int, Json]] = field(default_factory=dict[tuple[str, str], tuple[int, Json]])
    after_apply: dict[tuple[str, str], tuple[int, Json]] = field(
        default_factory=dict[tuple[str, str], tuple[int, Json]]
    )
    """Answers that hold from the first apply on."""
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/version":
            return httpx.Response(200, json={"gitVersion": "v1.34.2"})
        if path in _SERVED:
            return httpx.Response(200, json={"resources": [self._entry(kind) for kind in _SERVED[path]]})
        self.requests.append(request)
        if request.headers.get("content-type") == "application/apply-patch+yaml":
            self.answers |= self.after_apply
        known = self.answers.get((request.method, path))
        if known is None:
            return httpx.Response(404, json={"code": 404, "reason": "NotFound", "message": f"{path} not found"})
        return httpx.Response(known[0], json=known[1])

    def sent(self, method: str) -> tuple[httpx.URL, Json]:
        """URL and body of the only request of a method."""
        (request,) = [request for request in self.requests if request.method == method]
        return request.url, cast(Json, json.loads(request.content))

    def provider(self) -> Provider:
        """A provider configured to use this API."""
        provider = Provider(EngineLog(""), httpx.MockTransport(self))
        variables = {"kubernetes:config:kubeconfig": KUBECONFIG, "kubernetes:config:enableServerSideApply": "true"}
        provider.Configure(provider_pb2.ConfigureRequest(variables=variables, acceptSecrets=True), Context())  # type: ignore[arg-type] - a stub of gRPC's untyped context
        return provider

    @staticmethod
    def _entry(kind: str) -> Json:
        return {"kind": kind, "name": plural(kind), "namespaced": kind not in _WITHOUT_NAMESPACE}


def path_of(obj: Json, name: str = "") -> str:
    """The path of an object's list, or of the object."""
    version, meta = str(obj["apiVersion"]), cast(Json, obj["metadata"])
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{scope}/{plural(str(obj['kind']))}" + (f"/{name}" if name else "")
