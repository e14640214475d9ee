"""Runs the program against mocks that keep every resource that it asks for."""

import asyncio
import base64
import json
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from google.protobuf import json_format
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks
from pulumi.runtime.mocks import MockMonitor

CHECKOUT = Path(__file__).parents[2]
PLANTED_KEY = "sk-planted-3f9c1d"
PLANTED_KUBECONFIG = "planted-kubeconfig-77aa"
_ANSWERS: dict[str, dict[str, Any]] = {
    "azure-native:authorization:getClientConfig": {"subscriptionId": "sub", "tenantId": "tenant", "clientId": "c"},
    "azure-native:containerservice:listManagedClusterUserCredentials": {
        "kubeconfigs": [{"name": "user", "value": base64.b64encode(PLANTED_KUBECONFIG.encode()).decode()}]
    },
}


class Recorder(Mocks):
    """Keeps every resource; an unexpected function call is an error."""

    def __init__(self) -> None:
        self.resources: list[MockResourceArgs] = []
        self.parents: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        state = plain(inputs_of(args)) | {"name": args.name}
        known = {"loginServer": "slm.azurecr.io", "clientId": f"{args.name}-client", "principalId": f"{args.name}-who"}
        if args.typ.endswith(":ManagedCluster"):
            state |= {"identity": {"type": "UserAssigned"}, "oidcIssuerProfile": {"issuerURL": "https://issuer"}}
        return f"{args.name}-id", state | known

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return _ANSWERS[args.token], []

    def of(self, token: str) -> list[dict[str, Any]]:
        """The inputs of every resource of a type, secrets unwrapped."""
        return [plain(inputs_of(resource)) for resource in self.resources if resource.typ.endswith(token)]

    def pods(self) -> Iterator[dict[str, Any]]:
        """Every pod template's `spec`."""
        for token in (":Deployment", ":Job"):
            for inputs in self.of(token):
                yield inputs["spec"]["template"]["spec"]


def inputs_of(resource: MockResourceArgs) -> dict[str, Any]:
    return cast(dict[str, Any], resource.inputs)  # pyright: ignore[reportUnknownMemberType]


def plain(value: Any) -> Any:
    """A value without Pulumi's wrapping of secrets."""
    if isinstance(value, dict):
        found = cast(dict[str, Any], value)
        if pulumi.runtime.rpc._special_sig_key in found and "value" in found:  # pyright: ignore[reportPrivateUsage]
            return plain(found["value"])
        return {key: plain(entry) for key, entry in found.items()}
    return [plain(entry) for entry in cast(list[Any], value)] if isinstance(value, list) else value


def settings_of(stack: str) -> dict[str, Any]:
    """A stack file's settings as the file has them."""
    text = (CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml").read_text()
    return yaml.safe_load(text)["config"]["slm:settings"]


class _Monitor(MockMonitor):
    """Keeps what mocks are not told: each resource's parent, and what the stack puts out."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        self._recorder.parents[f"{request.type}::{request.name}"] = request.parent
        return super().RegisterResource(request)  # pyright: ignore[reportUnknownMemberType]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if "slm:index:Stack::" in request.urn:
            self._recorder.outputs = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)  # pyright: ignore[reportUnknownMemberType]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop for every program that is run here: Pulumi's outputs stay tied to the one that they came from."""
    return asyncio.new_event_loop()


def deployed(
    settings: dict[str, Any] | None = None, api_keys: str | None = None, hub_token: str | None = None
) -> Recorder:
    """Run the real `__main__.py` to its end, so that every resource is recorded before anything is asserted."""
    recorder = Recorder()
    asyncio.set_event_loop(_loop())  # `asyncio.run` in any test before leaves none behind
    pulumi.runtime.set_mocks(recorder, project="slm", stack="dev", preview=False, monitor=_Monitor(recorder))
    config = {
        "slm:settings": json.dumps(settings or settings_of("dev")),
        "slm:apiKeys": json.dumps({"default": PLANTED_KEY}) if api_keys is None else api_keys,
        "azure-native:location": "westeurope",
    }
    if hub_token is not None:
        config["slm:hfToken"] = hub_token
    pulumi.runtime.set_all_config(config, ["slm:apiKeys", "slm:hfToken"])

    @pulumi.runtime.test  # pyright: ignore[reportUnknownMemberType]
    def run() -> None:
        runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")

    run()
    return recorder
