"""Serves the provider's contract with the engine; what is done is in `lifecycle`."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
from google.protobuf import empty_pb2, message
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from rehearsal.azure.provider import VERSION, lifecycle
from rehearsal.azure.provider.arm import ArmClient, ArmRefusedError
from rehearsal.azure.provider.lifecycle import INPUTS, Change, UnknownTypeError
from rehearsal.azure.provider.values import Properties, bare, from_struct, to_struct
from rehearsal.errors import RehearsalError

_THREADS = 64
Answer = TypeVar("Answer", bound=message.Message)
_KINDS = provider_pb2.PropertyDiff.Kind


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider's methods, as the engine calls them."""

    def __init__(self, arm: ArmClient | None = None) -> None:
        """`arm` is the Resource Manager; None for the one that the environment names."""
        self._cancelled = threading.Event()
        self._given = arm
        self._location = ""

    @property
    def _arm(self) -> ArmClient:
        self._given = self._given or ArmClient.from_environment(self._cancelled)
        return self._given

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
        self._location = request.variables.get("azure-native:config:location", "")
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        def check() -> provider_pb2.CheckResponse:
            old, new = from_struct(request.olds), from_struct(request.news)
            inputs, failures = lifecycle.check(request.urn, old, new, location=self._location, seed=request.randomSeed)
            answer = provider_pb2.CheckResponse(inputs=to_struct(inputs))
            answer.failures.extend(
                provider_pb2.CheckFailure(property=place, reason=reason) for place, reason in failures
            )
            return answer

        return _answer(context, check)

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        def diff() -> provider_pb2.DiffResponse:
            old: Properties = bare(from_struct(request.olds)).get(INPUTS) or from_struct(request.old_inputs)
            return _diff(lifecycle.diff(request.urn, old, from_struct(request.news), list(request.ignoreChanges)))

        return _answer(context, diff)

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        def create() -> provider_pb2.CreateResponse:
            resource, state = lifecycle.create(
                request.urn, from_struct(request.properties), self._arm, dry_run=request.preview
            )
            return provider_pb2.CreateResponse(id=resource, properties=to_struct(state))

        return _answer(context, create)

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        def read() -> provider_pb2.ReadResponse:
            found = lifecycle.read(request.urn, request.id, from_struct(request.inputs), self._arm)
            if found is None:
                return provider_pb2.ReadResponse()
            state, inputs = found
            return provider_pb2.ReadResponse(id=request.id, properties=to_struct(state), inputs=to_struct(inputs))

        return _answer(context, read)

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        def update() -> provider_pb2.UpdateResponse:
            new, old = from_struct(request.news), from_struct(request.olds)
            for name in request.ignoreChanges:
                _keep(name, old, new)
            state = lifecycle.update(request.urn, request.id, new, self._arm, dry_run=request.preview)
            return provider_pb2.UpdateResponse(properties=to_struct(state))

        return _answer(context, update)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        def delete() -> empty_pb2.Empty:
            lifecycle.delete(request.urn, request.id, self._arm)
            return empty_pb2.Empty()

        return _answer(context, delete)

    def Invoke(  # noqa: N802, D102
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        def invoke() -> provider_pb2.InvokeResponse:
            found = lifecycle.invoke(request.tok, bare(from_struct(request.args)), self._arm)
            # `return` is a word of Python's own.
            return provider_pb2.InvokeResponse(**{"return": to_struct(found)})

        return _answer(context, invoke)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        self._cancelled.set()
        return empty_pb2.Empty()


def _keep(name: str, old: Properties, new: Properties) -> None:
    """An ignored input stays as the service has it now."""
    if name in old:
        new[name] = old[name]


def _diff(change: Change) -> provider_pb2.DiffResponse:
    kinds = {"add": _KINDS.ADD, "delete": _KINDS.DELETE, "update": _KINDS.UPDATE}
    replacing = {"add": _KINDS.ADD_REPLACE, "delete": _KINDS.DELETE_REPLACE, "update": _KINDS.UPDATE_REPLACE}
    details = {
        path: provider_pb2.PropertyDiff(kind=(replacing if path in change.replaces else kinds)[what], inputDiff=True)
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
    except (ArmRefusedError, UnknownTypeError, RehearsalError, ValueError) as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def main() -> int:
    """Serve until the engine ends the process."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
