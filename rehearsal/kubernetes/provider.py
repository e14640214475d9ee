"""`pulumi-resource-kubernetes` 4.34.2 as the engine starts it: a gRPC server that prints its port.

Owns the contract with the engine (configuration, errors, logging); what is done is in `lifecycle`. It reads no
kubeconfig but the one that the program gives, or `$KUBECONFIG`.

Not checked:
- `strictMode`, `renderYamlToDirectory`, Helm's and the client's rate settings are ignored.
- functions (`kubernetes:yaml:decode` and the like), components and the schema are not served.
- warnings that the API server sends along are not shown.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
import httpx
from google.protobuf import any_pb2, empty_pb2, message
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from rehearsal.errors import RehearsalError
from rehearsal.kubernetes import VERSION
from rehearsal.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from rehearsal.kubernetes.diff import Mutability
from rehearsal.kubernetes.kubeconfig import access, active_cluster, parse, read
from rehearsal.kubernetes.lifecycle import Lifecycle, Options, RefusedError, UnfinishedError
from rehearsal.kubernetes.values import Properties, from_struct, has_unknown, plain, to_struct

# Waiting blocks a thread; the engine asks for as many resources at a time as the user's `--parallel` allows.
_THREADS = 128
# The default of 4 MB is less than a large object with its history of field owners, several times over.
_LARGEST_MESSAGE_BYTES = 400 * 1024 * 1024
_PREFIX = "kubernetes:config:"

Answer = TypeVar("Answer", bound=message.Message)


@dataclass(frozen=True)
class _Status(grpc.Status):
    """An error with details, as `abort_with_status` wants it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: Any = ()


class EngineLog:
    """Progress lines in the engine's display; each shown once in a row."""

    def __init__(self, address: str) -> None:
        # Typed by hand: grpc's own stubs leave the generated client's types open.
        self._stub: Any = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None
        self._last: dict[str, str] = {}

    def show(self, urn: str, text: str) -> None:
        """Show a line beside a resource; an empty one clears it."""
        if self._stub is None or self._last.get(urn, "") == text:
            return
        self._last[urn] = text
        request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn, ephemeral=True)
        try:
            self._stub.Log(request)
        except grpc.RpcError:
            self._stub = None  # the engine is gone or going; the operation itself will show it


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider's methods, as the engine calls them."""

    def __init__(self, log: EngineLog, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` carries the requests to the cluster; None for the network."""
        self._log = log
        self._transport = transport
        self._cancelled = threading.Event()
        self._lifecycle = Lifecycle(None, Options(), "the provider is not configured yet", self._cancelled, log.show)

    # --- configuration --------------------------------------------------------------------------------------------

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802, D102
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return _answer(context, lambda: _diff_config(from_struct(request.olds), from_struct(request.news)))

    def Configure(  # noqa: N802, D102
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        settings = {key.removeprefix(_PREFIX): value for key, value in request.variables.items()}
        api, reason, namespace = _connect(settings, self._transport)
        self._lifecycle = Lifecycle(api, _options(settings, namespace), reason, self._cancelled, self._log.show)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    # --- resources ------------------------------------------------------------------------------------------------

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        def check() -> provider_pb2.CheckResponse:
            if request.autonaming.mode == request.autonaming.DISABLE and request.HasField("autonaming"):
                _require_name(request)
            inputs = self._lifecycle.check(
                request.urn,
                from_struct(request.olds),
                from_struct(request.news),
                seed=request.randomSeed,
                proposed_name=request.autonaming.proposed_name,
            )
            return provider_pb2.CheckResponse(inputs=to_struct(inputs))

        return _answer(context, check)

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        def diff() -> provider_pb2.DiffResponse:
            change = self._lifecycle.diff(from_struct(request.olds), from_struct(request.news), request.ignoreChanges)
            changed = bool(change.details or change.replaces)
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
                replaces=change.replaces,
                deleteBeforeReplace=change.delete_before_replace,
                detailedDiff=change.details,
                hasDetailedDiff=True,
            )

        return _answer(context, diff)

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        def create() -> provider_pb2.CreateResponse:
            identity, state = self._lifecycle.create(
                request.urn, from_struct(request.properties), preview=request.preview, timeout=request.timeout
            )
            return provider_pb2.CreateResponse(id=identity, properties=to_struct(state))

        return _answer(context, create)

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        def read_live() -> provider_pb2.ReadResponse:
            found = self._lifecycle.read(
                request.urn, request.id, from_struct(request.properties), from_struct(request.inputs)
            )
            if found is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=found.identity, properties=to_struct(found.state), inputs=to_struct(found.inputs)
            )

        return _answer(context, read_live)

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        def update() -> provider_pb2.UpdateResponse:
            state = self._lifecycle.update(
                request.urn,
                from_struct(request.olds),
                from_struct(request.news),
                ignored=list(request.ignoreChanges),
                preview=request.preview,
                timeout=request.timeout,
            )
            return provider_pb2.UpdateResponse(properties=to_struct(state))

        return _answer(context, update)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        def delete() -> empty_pb2.Empty:
            self._lifecycle.delete(request.urn, request.id, from_struct(request.properties), timeout=request.timeout)
            return empty_pb2.Empty()

        return _answer(context, delete)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        self._cancelled.set()
        return empty_pb2.Empty()


def _answer(context: grpc.ServicerContext, operation: Callable[[], Answer]) -> Answer:
    """Run an operation; failures that have a sentence become the engine's errors."""
    try:
        return operation()
    except UnfinishedError as error:
        _abort_unfinished(context, error)
    except (RefusedError, ApiError, NoSuchKindError, UnreachableError, RehearsalError, ValueError) as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _abort_unfinished(context: grpc.ServicerContext, error: UnfinishedError) -> NoReturn:
    detail = errors_detail(error)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    context.abort_with_status(
        _Status(grpc.StatusCode.UNKNOWN, str(error), (("grpc-status-details-bin", status.SerializeToString()),))
    )
    raise AssertionError("abort_with_status does not return")


def errors_detail(error: UnfinishedError) -> any_pb2.Any:
    """What the engine needs to keep an unfinished object in state."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.identity,
        properties=to_struct(error.state),
        reasons=error.reasons,
        inputs=None if error.inputs is None else to_struct(error.inputs),
    )
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _require_name(request: provider_pb2.CheckRequest) -> None:
    name: Any = plain(from_struct(request.news)).get("metadata", {}).get("name")
    if not name and not request.olds.fields:
        raise RefusedError(f'autonaming is disabled, so that "{request.urn}" needs `metadata.name`')


def _connect(settings: Mapping[str, str], transport: httpx.BaseTransport | None) -> tuple[Api | None, str, str]:
    """An API client, or why there is none; and the namespace for objects that name none."""
    given = settings.get("kubeconfig") or os.environ.get("KUBECONFIG", "")
    wanted_namespace = settings.get("namespace", "")
    if not given:
        return None, "no kubeconfig was given", wanted_namespace or "default"
    try:
        found = access(read(given), context=settings.get("context", ""), cluster=settings.get("cluster", ""))
        api = Api(found, transport=transport)
        api.server_version()
    except (RehearsalError, UnreachableError, ApiError, OSError) as error:
        return None, str(error), wanted_namespace or "default"
    return api, "", wanted_namespace or found.namespace or "default"


def _options(settings: Mapping[str, str], namespace: str) -> Options:
    def enabled(name: str, variable: str) -> bool:
        return (settings.get(name) or os.environ.get(variable, "")) == "true"

    return Options(
        namespace=namespace,
        mutability=Mutability(
            config_maps=enabled("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            secrets=enabled("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        ),
        upsert=enabled("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
        delete_unreachable=enabled("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        skip_unreachable=enabled("skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
    )


def _diff_config(old: Properties, new: Properties) -> provider_pb2.DiffResponse:
    """Another cluster replaces everything in it; other changes of the configuration replace nothing."""
    before, after = plain(old), plain(new)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if not changed:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
    replaces: list[str] = []
    if before.get("clusterIdentifier") or after.get("clusterIdentifier"):
        replaces = [key for key in changed if key == "clusterIdentifier"]
    elif not has_unknown(after):
        one, other = _cluster(before), _cluster(after)
        if one and other and one != other:
            replaces = [key for key in changed if key in ("kubeconfig", "context", "cluster")]
    return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=changed, replaces=replaces)


def _cluster(settings: Properties) -> Properties | None:
    try:
        config = parse(str(settings.get("kubeconfig", "")))
        return active_cluster(
            config, context=str(settings.get("context", "")), cluster=str(settings.get("cluster", ""))
        )
    except RehearsalError:
        return None


def main(argv: list[str]) -> int:
    """Serve until the engine ends the process. The last argument is the engine's address."""
    log = EngineLog(argv[-1] if argv and ":" in argv[-1] else "")
    options = [(f"grpc.max_{way}_message_length", _LARGEST_MESSAGE_BYTES) for way in ("receive", "send")]
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(log), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
