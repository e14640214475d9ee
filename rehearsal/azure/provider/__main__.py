"""Serves the provider's contract with the engine; what is done is in `lifecycle`."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, message
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from rehearsal.azure.provider import VERSION
from rehearsal.azure.provider.arm import ArmClient, ArmRefusedError
from rehearsal.azure.provider.diff import Change
from rehearsal.azure.provider.lifecycle import Lifecycle, RefusedError, Settings, UnfinishedError
from rehearsal.azure.provider.schema import inputs_of, outputs_of
from rehearsal.azure.provider.values import from_struct, to_struct
from rehearsal.azure.types import TYPES
from rehearsal.errors import RehearsalError

# Waiting blocks a thread; the engine asks for as many resources at a time as the user's `--parallel` allows.
_THREADS = 128
_PREFIX = "azure-native:config:"
_KINDS = provider_pb2.PropertyDiff.Kind
_UPDATES = {"add": _KINDS.ADD, "delete": _KINDS.DELETE, "update": _KINDS.UPDATE}
_REPLACEMENTS = {"add": _KINDS.ADD_REPLACE, "delete": _KINDS.DELETE_REPLACE, "update": _KINDS.UPDATE_REPLACE}

Answer = TypeVar("Answer", bound=message.Message)


@dataclass(frozen=True)
class _Status(grpc.Status):
    """An error with details, as `abort_with_status` wants it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: Any = ()


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider's methods, as the engine calls them."""

    def __init__(self, connect: Callable[[threading.Event], ArmClient] = ArmClient.from_environment) -> None:
        """`connect` makes the client, when it is first needed, of the event that ends its waits."""
        self._cancelled = threading.Event()
        self._connect = connect
        self._client: ArmClient | None = None
        self._connecting = threading.Lock()
        self._lifecycle = Lifecycle(self._arm)

    def _arm(self) -> ArmClient:
        with self._connecting:
            self._client = self._client or self._connect(self._cancelled)
            return self._client

    # --- configuration ---

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802, D102
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse()

    def Configure(  # noqa: N802, D102
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        given = {key.removeprefix(_PREFIX): value for key, value in request.variables.items()}
        default = Settings()
        self._lifecycle.settings = Settings(
            subscription_id=given.get("subscriptionId") or default.subscription_id,
            tenant_id=given.get("tenantId") or default.tenant_id,
            location=given.get("location") or default.location,
        )
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    # --- resources ---

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        def check() -> provider_pb2.CheckResponse:
            inputs, failures = self._lifecycle.check(
                request.urn, from_struct(request.olds), from_struct(request.news), seed=request.randomSeed
            )
            found = [provider_pb2.CheckFailure(property=place, reason=reason) for place, reason in failures]
            return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=found)

        return _answer(context, check)

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return _answer(
            context,
            lambda: _diff(
                self._lifecycle.diff(request.urn, from_struct(request.old_inputs), from_struct(request.news))
            ),
        )

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        def create() -> provider_pb2.CreateResponse:
            resource, state = self._lifecycle.create(
                request.urn,
                from_struct(request.properties),
                dry_run=request.preview,
                timeout_seconds=request.timeout,
            )
            return provider_pb2.CreateResponse(id=resource, properties=to_struct(state))

        return _answer(context, create)

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        def read() -> provider_pb2.ReadResponse:
            found = self._lifecycle.read(
                request.urn, request.id, from_struct(request.properties), from_struct(request.inputs)
            )
            if found is None:
                return provider_pb2.ReadResponse()
            state, inputs = found
            return provider_pb2.ReadResponse(id=request.id, properties=to_struct(state), inputs=to_struct(inputs))

        return _answer(context, read)

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        def update() -> provider_pb2.UpdateResponse:
            state = self._lifecycle.update(
                request.urn,
                request.id,
                from_struct(request.news),
                from_struct(request.olds),
                dry_run=request.preview,
                timeout_seconds=request.timeout,
            )
            return provider_pb2.UpdateResponse(properties=to_struct(state))

        return _answer(context, update)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        def delete() -> empty_pb2.Empty:
            self._lifecycle.delete(request.urn, request.id, timeout_seconds=request.timeout)
            return empty_pb2.Empty()

        return _answer(context, delete)

    def Invoke(  # noqa: N802, D102
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        def invoke() -> provider_pb2.InvokeResponse:
            found = to_struct(self._lifecycle.invoke(request.tok, from_struct(request.args)))
            # `return` is a word of Python's own.
            named: dict[str, Any] = {"return": found}
            return provider_pb2.InvokeResponse(**named)

        return _answer(context, invoke)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        self._cancelled.set()
        return empty_pb2.Empty()


def _diff(change: Change) -> provider_pb2.DiffResponse:
    details = {
        path: provider_pb2.PropertyDiff(kind=(_REPLACEMENTS if path in change.replaces else _UPDATES)[what])
        for path, what in change.details.items()
    }
    some = provider_pb2.DiffResponse.DIFF_SOME if details else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some,
        diffs=sorted(change.details),
        replaces=change.replaces,
        deleteBeforeReplace=change.delete_first,
        detailedDiff=details,
        hasDetailedDiff=True,
    )


def _answer(context: grpc.ServicerContext, operation: Callable[[], Answer]) -> Answer:
    """Run an operation; failures that have a sentence become the engine's errors."""
    try:
        return operation()
    except UnfinishedError as error:
        _abort_unfinished(context, error)
    except (ArmRefusedError, RefusedError, RehearsalError, ValueError) as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _abort_unfinished(context: grpc.ServicerContext, error: UnfinishedError) -> NoReturn:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.resource,
        properties=to_struct(error.state),
        inputs=to_struct(error.inputs),
        reasons=[error.reason],
    )
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=error.reason, details=[packed])
    context.abort_with_status(
        _Status(grpc.StatusCode.UNKNOWN, error.reason, (("grpc-status-details-bin", status.SerializeToString()),))
    )
    raise AssertionError("abort_with_status does not return")


def _read_types() -> None:
    for kind in TYPES:
        inputs_of(kind.token)
        outputs_of(kind.token)


def main() -> int:
    """Serve until the engine ends the process."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # Reading the SDK's types takes seconds that the program spends importing as well: better at the same time.
    threading.Thread(target=_read_types, daemon=True).start()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
