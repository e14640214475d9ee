"""What happens to a resource between the engine and ARM: made, read, changed, deleted; and the functions.

Owns the order of requests and what is kept in state. A preview asks ARM nothing but where a group is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from rehearsal.azure import DEPLOYER_CLIENT_ID, DEPLOYER_OBJECT_ID, SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.provider import checks, diff
from rehearsal.azure.provider.arm import ArmClient, ArmRefusedError
from rehearsal.azure.provider.translate import (
    API_VERSION,
    from_id,
    preview,
    to_body,
    to_id,
    to_inputs,
    to_outputs,
)
from rehearsal.azure.provider.values import UNKNOWN, Properties, Secret, bare, has_unknown, mark
from rehearsal.azure.types import BY_TOKEN, ResourceType

_GROUP = "azure-native:resources:ResourceGroup"
_SECRET = "azure-native:keyvault:Secret"  # noqa: S105 - a resource type
_CLUSTER = "azure-native:containerservice:ManagedCluster"
_STABLE = ("name", "location")
"""Outputs that no update changes."""


class RefusedError(Exception):
    """What cannot be done as the program wants it; the message is for the user."""


class UnfinishedError(Exception):
    """A resource that is there, though what was asked for has failed: the engine keeps it, and tries again later."""

    def __init__(self, resource: str, state: Properties, inputs: Properties, reason: str) -> None:
        self.resource = resource
        self.state = state
        self.inputs = inputs
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Settings:
    """The provider's configuration."""

    subscription_id: str = SUBSCRIPTION_ID
    tenant_id: str = TENANT_ID
    location: str = ""


@dataclass
class Lifecycle:
    """The operations on resources. `arm` is asked for when it is first needed, so that a check needs none."""

    arm: Callable[[], ArmClient]
    settings: Settings = field(default_factory=Settings)

    def check(
        self, urn: str, old: Properties, new: Properties, *, seed: bytes
    ) -> tuple[Properties, list[checks.Failure]]:
        """The completed inputs, and what is wrong with them."""
        kind = type_of(urn)

        def location() -> Any:
            return self.settings.location or self._group_location(new)

        inputs = checks.complete(kind, urn.rpartition("::")[2], old, new, seed=seed, location=location)
        return inputs, checks.failures(kind, inputs)

    def _group_location(self, inputs: Properties) -> Any:
        """Where the resource's group is, for a resource of which the program does not say it."""
        group = bare(inputs.get("resourceGroupName"))
        if group is UNKNOWN or not isinstance(group, str):
            return group
        kind = BY_TOKEN[_GROUP]
        path = to_id(kind, self.settings.subscription_id, {"resourceGroupName": group})
        found = self.arm().get(path, kind.api_version)
        return found["location"] if found else None

    def diff(self, urn: str, before: Properties, after: Properties) -> diff.Change:
        """How a program's inputs changed since the last time."""
        return diff.compare(type_of(urn), before, after)

    def create(
        self, urn: str, inputs: Properties, *, dry_run: bool, timeout_seconds: float = 0
    ) -> tuple[str, Properties]:
        """Make a resource: its id and state.

        Raises:
            RefusedError: if there is one already.
            UnfinishedError: if it is there, but not as it was asked for.
        """
        kind = type_of(urn)
        if dry_run:
            return "", _preview(kind, inputs)
        known = _known(kind, inputs)
        resource, arm = to_id(kind, self.settings.subscription_id, known), self.arm()
        if arm.get(resource, kind.api_version) is not None:
            raise RefusedError(
                f"cannot create already existing resource '{resource}': import it, or give this one another name"
            )
        body = self._put(kind, resource, to_body(kind, known), inputs, timeout_seconds)
        return str(body.get("id", resource)), _state(kind, body, inputs)

    def update(
        self,
        urn: str,
        resource: str,
        inputs: Properties,
        old_state: Properties,
        *,
        dry_run: bool,
        timeout_seconds: float = 0,
    ) -> Properties:
        """Change a resource in place: its new state."""
        kind = type_of(urn)
        if dry_run:
            return _preview(kind, inputs) | {key: old_state[key] for key in _STABLE if key in old_state}
        known = _known(kind, inputs)
        body = to_body(kind, known)
        self._keep_parts(kind, resource, body, known)
        return _state(kind, self._put(kind, resource, body, inputs, timeout_seconds), inputs)

    def _put(
        self, kind: ResourceType, resource: str, body: Properties, inputs: Properties, timeout_seconds: float
    ) -> Properties:
        arm = self.arm()
        try:
            return arm.put(resource, kind.api_version, body, timeout_seconds)
        except ArmRefusedError as error:
            found = arm.get(resource, kind.api_version) if error.accepted else None
            if found is None:
                raise
            raise UnfinishedError(resource, _state(kind, found, inputs), inputs, str(error)) from error

    def _keep_parts(self, kind: ResourceType, resource: str, body: Properties, inputs: Properties) -> None:
        """What other resources own inside of this one's body goes along as it is, or a PUT would take it away."""
        left_out = [part for part in kind.parts if _at(inputs, part) is None]
        if not left_out:
            return
        there = self.arm().get(resource, kind.api_version) or {}
        found = cast(Properties, there.get("properties") or {})
        for part in left_out:
            name = part.removeprefix("properties.")
            if name in found:
                body.setdefault("properties", {})[name] = found[name]

    def read(
        self, urn: str, resource: str, old_state: Properties, old_inputs: Properties
    ) -> tuple[Properties, Properties] | None:
        """A resource as it is: state and inputs; None if it is gone. Without old inputs it is an import."""
        kind = type_of(urn)
        named = from_id(kind, resource)
        body = self.arm().get(resource, kind.api_version)
        if body is None:
            return None
        outputs = to_outputs(kind, body)
        if not old_inputs:
            return outputs, to_inputs(kind, outputs) | named | {API_VERSION: kind.api_version}
        before = _without_parts(kind, to_inputs(kind, old_state), old_inputs)
        after = _without_parts(kind, to_inputs(kind, outputs), old_inputs)
        inputs = cast(Properties, diff.drifted(old_inputs, before, after))
        return mark(outputs, inputs), inputs

    def delete(self, urn: str, resource: str, *, timeout_seconds: float = 0) -> None:
        """Delete a resource and wait until it is gone."""
        kind = type_of(urn)
        if kind.token == _SECRET:
            where = from_id(kind, resource)
            self.arm().delete_secret(where["vaultName"], where["secretName"])
        else:
            self.arm().delete(resource, kind.api_version, timeout_seconds)

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """A function's result.

        Raises:
            RefusedError: for a function that is not here.
        """
        match token:
            case "azure-native:authorization:getClientConfig":
                return {
                    "clientId": DEPLOYER_CLIENT_ID,
                    "objectId": DEPLOYER_OBJECT_ID,
                    "subscriptionId": self.settings.subscription_id,
                    "tenantId": self.settings.tenant_id,
                }
            case "azure-native:containerservice:listManagedClusterUserCredentials":
                kind = BY_TOKEN[_CLUSTER]
                cluster = to_id(kind, self.settings.subscription_id, arguments)
                answer = self.arm().post(f"{cluster}/listClusterUserCredential", kind.api_version)
                return {"kubeconfigs": Secret(answer["kubeconfigs"])}
            case _:
                raise RefusedError(f"the rehearsal has no function {token}")


def type_of(urn: str) -> ResourceType:
    """The resource type in a URN.

    Raises:
        RefusedError: if the rehearsal has none of this name.
    """
    token = urn.split("::")[2].rpartition("$")[2]
    if token not in BY_TOKEN:
        raise RefusedError(f"the rehearsal has no resource type {token}; it has {', '.join(sorted(BY_TOKEN))}")
    return BY_TOKEN[token]


def _known(kind: ResourceType, inputs: Properties) -> Properties:
    if has_unknown(inputs):
        raise RefusedError(f"an input of a {kind.token} is not known outside of a preview")
    return cast(Properties, bare(inputs))


def _preview(kind: ResourceType, inputs: Properties) -> Properties:
    return mark(preview(kind, bare(inputs)), inputs)


def _state(kind: ResourceType, body: Properties, inputs: Properties) -> Properties:
    """Outputs as they are kept: secret where the inputs are."""
    return mark(to_outputs(kind, body), inputs)


def _without_parts(kind: ResourceType, projected: Properties, inputs: Properties) -> Properties:
    """What is a resource of its own, and left out by the program, is no drift of this one."""
    left_out = [part for part in kind.parts if _at(bare(inputs), part) is None]
    for part in left_out:
        *containers, name = part.split(".")
        where: Any = projected
        for container in containers:
            where = cast(Properties, where).get(container, {})
        cast(Properties, where).pop(name, None)
    return projected


def _at(value: Properties, path: str) -> Any:
    found: Any = value
    for word in path.split("."):
        found = cast(Properties, found).get(word) if isinstance(found, dict) else None
    return found
