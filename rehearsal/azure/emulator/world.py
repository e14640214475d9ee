"""What the emulated subscription holds, and the rules by which it changes.

Owns PUT, GET, DELETE and long-running operations as all resource types share them: existence of group and parent,
names, what is fixed at creation, references, conflicts. Does not own HTTP (`app`) nor what is particular to a type
(`kinds`).
"""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rehearsal.azure import SUBSCRIPTION_ID
from rehearsal.azure.emulator.errors import ArmError, bad_request, conflict
from rehearsal.azure.emulator.ids import GROUP_TYPE, ArmId, is_id, parse
from rehearsal.azure.emulator.registry import LocalRegistry
from rehearsal.azure.emulator.store import Body, Operation, Record, State, Store
from rehearsal.azure.emulator.validate import validate
from rehearsal.azure.types import BY_ARM_TYPE, ResourceType


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the emulator was started."""

    delay_factor: float = 1.0
    """Long-running operations take this many times their usual (already shortened) time; 0 for none at all."""
    issuer: str = "https://kubernetes.default.svc"
    """The issuer of the cluster's service-account tokens."""
    kubeconfig: Path | None = None
    registry: LocalRegistry = field(default_factory=LocalRegistry)
    directory_lag_seconds: float = 10.0
    """How long a new identity is unknown to whoever does not say that it is a service principal."""


@dataclass
class Put:
    """A PUT under way: `body` is valid for the type's model and is what is going to be stored."""

    id: ArmId
    type: ResourceType
    body: Body
    old: Record | None

    @property
    def properties(self) -> Body:
        """The body's `properties`, there or made."""
        return self.body.setdefault("properties", {})

    def kept(self, path: str, make: Callable[[], Any]) -> Any:
        """A value that the service chose when the resource was made, or chooses now."""
        found = at(self.old.body, path) if self.old else None
        return make() if found is None else found


def _nothing(*_: Any) -> None:
    return None


def _no_outputs(_world: "World", _put: Put) -> Body:
    return {}


def _stored(_world: "World", record: Record) -> Body:
    return record.body


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is particular to one resource type."""

    name: re.Pattern[str]
    name_rule: str
    """The rule for names as a sentence's end: `must be ...`."""
    seconds: float = 0
    """How long a PUT or DELETE goes on after its answer; 0 for one that is done when it is answered."""
    fixed: tuple[str, ...] = ()
    """Paths that cannot change after creation."""
    busy_code: str = "AnotherOperationInProgress"
    in_turn: bool = False
    """Whether one parent's children can only be written one after the other."""
    has_state: bool = True
    """Whether the type has a `provisioningState`."""
    check: Callable[["World", Put], None] = _nothing
    outputs: Callable[["World", Put], Body] = _no_outputs
    """What the service adds; merged over the body."""
    stored: Callable[["World", Put, Record], None] = _nothing
    """After the record was stored, in the same transaction."""
    failure: Callable[["World", Record], Body | None] = _nothing
    """At an operation's end: ARM's error, or None for success."""
    view: Callable[["World", Record], Body] = _stored
    """What a GET answers."""
    removable: Callable[["World", Record], None] = _nothing
    removed: Callable[["World", Record], None] = _nothing


class World:
    """The subscription. Every method expects `lock` to be held, and leaves the state on disk when it returns."""

    def __init__(self, store: Store, settings: Settings, rules: dict[str, Rules]) -> None:
        self._store = store
        self._rules = rules
        self.settings = settings
        self.lock = threading.RLock()
        self._writing: set[str] = set()

    @property
    def state(self) -> State:
        """The state, to be read; a change is followed by `save`."""
        return self._store.state

    def save(self) -> None:
        """Make the present state the one that survives."""
        self._store.save()

    def rules(self, kind: str) -> Rules:
        """The rules of a resource type."""
        return self._rules[kind.lower()]

    # --- looking ---

    def find(self, path: str) -> Record | None:
        """A resource by its id in any spelling."""
        return self.state.resources.get(path.lower())

    def get(self, wanted: ArmId) -> Record:
        """A resource by its id.

        Raises:
            ArmError: 404, with the code that says whether the group or the resource is missing.
        """
        record = self.find(wanted.text)
        if record is not None:
            return record
        self._require_group(wanted)
        if wanted.type.lower() == GROUP_TYPE.lower():
            raise _group_not_found(wanted.group)
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{wanted.type}/{wanted.name}' under resource group '{wanted.group}' was not found. "
            "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )

    def of_type(self, kind: str) -> list[Record]:
        """All resources of a type, the oldest first."""
        return [record for record in self.state.resources.values() if record.type.lower() == kind.lower()]

    def inside(self, path: str) -> list[Record]:
        """All resources below an id: children, what is in a group, role assignments."""
        prefix = path.lower() + "/"
        return [record for key, record in self.state.resources.items() if key.startswith(prefix)]

    def children(self, path: str, kind: str) -> list[Record]:
        """The resources of a type that are inside of one."""
        return [record for record in self.inside(path) if record.type.lower() == kind.lower()]

    def referring(self, path: str) -> list[Record]:
        """The resources whose own values name this one."""
        wanted = path.lower()
        return [
            record
            for key, record in self.state.resources.items()
            if key != wanted and any(found.lower() == wanted for found in _references(record.body))
        ]

    def view(self, record: Record) -> Body:
        """What a GET answers."""
        return self.rules(record.type).view(self, record)

    # --- changing ---

    def put(self, wanted: ArmId, body: Body) -> tuple[Record, bool, Operation | None]:
        """Create or replace a resource: its record, whether it is new, and the operation that goes on.

        Raises:
            ArmError: for everything that Azure refuses at once.
        """
        kind = BY_ARM_TYPE[wanted.type.lower()]
        rules = self.rules(wanted.type)
        self._require_group(wanted)
        self._require_parent(wanted)
        if not rules.name.fullmatch(wanted.name):
            raise bad_request(
                "InvalidResourceName", f"The resource name '{wanted.name}' is invalid: it {rules.name_rule}.", "name"
            )
        old = self.find(wanted.text)
        self._require_idle(wanted, rules, old)
        shown = self.view(old) if old else None
        namespace = wanted.type.partition("/")[0]
        put = Put(wanted, kind, validate(body, kind.request, shown, namespace), old)
        self._check_common(put, rules, shown)
        rules.check(self, put)
        return self._store_put(put, rules)

    def _store_put(self, put: Put, rules: Rules) -> tuple[Record, bool, Operation | None]:
        outputs = rules.outputs(self, put)
        record = put.old or Record(put.id.text, put.type.arm_type, {}, time.time())
        record.body = merged(merged(put.body, outputs), self._envelope(record, put))
        created = put.old is None
        self.state.resources[put.id.key] = record
        rules.stored(self, put, record)
        operation = self._begin(record, rules, deletes=False)
        if operation is not None and rules.has_state:
            is_update = put.old is not None or record.type.startswith("Microsoft.Network")
            set_state(record, "Updating" if is_update else "Creating")
        self.save()
        return record, created, operation

    @staticmethod
    def _envelope(record: Record, put: Put) -> Body:
        return {"id": record.id, "name": put.old.body["name"] if put.old else put.id.name, "type": record.type}

    def delete(self, wanted: ArmId) -> Operation | None:
        """Delete a resource and all that is inside of it; the operation that goes on, if any.

        Raises:
            ArmError: 404 for what is not there, and for what is in use.
        """
        record = self.get(wanted)
        rules = self.rules(record.type)
        self._require_idle(wanted, rules, record)
        rules.removable(self, record)
        operation = self._begin(record, rules, deletes=True)
        if operation is None:
            self._remove(record)
        elif rules.has_state:
            set_state(record, "Deleting")
        self.save()
        return operation

    def remove(self, record: Record) -> None:
        """Take a resource away that its service made itself, with all inside of it."""
        self._remove(record)

    def add(self, record: Record) -> None:
        """Keep a resource that a service makes itself."""
        self.state.resources[record.id.lower()] = record

    def _remove(self, record: Record) -> None:
        for inner in sorted(self.inside(record.id), key=lambda one: -len(one.id)):
            if inner.id.lower() in self.state.resources:
                self._forget(inner)
        self._forget(record)

    def _forget(self, record: Record) -> None:
        self.state.resources.pop(record.id.lower(), None)
        self.rules(record.type).removed(self, record)

    # --- long-running operations ---

    def _begin(self, record: Record, rules: Rules, *, deletes: bool) -> Operation | None:
        slow = max((fault["factor"] for fault in self.faults("slow")), default=1)
        seconds = rules.seconds * self.settings.delay_factor * slow
        if rules.seconds == 0:
            self._finish(record)
            return None
        operation = Operation(str(uuid.uuid4()), record.id.lower(), deletes, time.time() + seconds)
        self.state.operations[operation.id] = operation
        record.operation = operation.id
        return operation

    def _finish(self, record: Record) -> Body | None:
        error = self.rules(record.type).failure(self, record)
        if self.rules(record.type).has_state:
            set_state(record, "Failed" if error else "Succeeded")
        return error

    def settle(self) -> None:
        """Finish every operation whose time has come."""
        now = time.time()
        due = [one for one in self.state.operations.values() if one.status == "InProgress" and one.ready_at <= now]
        for operation in sorted(due, key=lambda one: one.ready_at):
            record = self.state.resources.get(operation.resource)
            operation.status = "Succeeded"
            if record is None:
                continue
            record.operation = ""
            if operation.deletes:
                self._remove(record)
            elif (error := self._finish(record)) is not None:
                operation.status, operation.error = "Failed", error
        if due:
            self.save()

    def begin_in_turn(self, wanted: ArmId) -> None:
        """Enter a write of which a parent takes one at a time.

        Raises:
            ArmError: 409 while another one is under way.
        """
        if wanted.parent.lower() in self._writing:
            raise conflict(
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                "Too many Federated Identity Credentials are written concurrently for the managed identity "
                f"'{wanted.parent}'. Concurrent Federated Identity Credentials writes under the same managed identity "
                "are not supported.",
            )
        self._writing.add(wanted.parent.lower())

    def end_in_turn(self, wanted: ArmId) -> None:
        """Leave such a write."""
        self._writing.discard(wanted.parent.lower())

    # --- faults ---

    def faults(self, name: str) -> list[Body]:
        """The faults of a name that were asked for."""
        return [fault for fault in self.state.faults if fault["fault"] == name]

    # --- checks that all types share ---

    def _require_group(self, wanted: ArmId) -> None:
        if wanted.subscription.lower() != SUBSCRIPTION_ID:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{wanted.subscription}' could not be found.")
        if not wanted.group or wanted.type.lower() == GROUP_TYPE.lower():
            return
        group = self.find(f"/subscriptions/{wanted.subscription}/resourceGroups/{wanted.group}")
        if group is None:
            raise _group_not_found(wanted.group)

    def _require_parent(self, wanted: ArmId) -> None:
        missing = wanted.parent if wanted.parent and self.find(wanted.parent) is None else ""
        if missing:
            raise ArmError(
                404,
                "ParentResourceNotFound",
                f"Failed to perform 'write' on resource(s) of type '{wanted.type.partition('/')[2]}', because the "
                f"parent resource '{missing}' could not be found.",
            )
        group = self.find(f"/subscriptions/{wanted.subscription}/resourceGroups/{wanted.group}")
        if group is not None and group.operation and group.id.lower() != wanted.key:
            raise conflict(
                "ResourceGroupBeingDeleted",
                f"The resource group '{wanted.group}' is in deprovisioning state and cannot perform this operation.",
            )

    def _require_idle(self, wanted: ArmId, rules: Rules, old: Record | None) -> None:
        busy = [old] if old and old.operation else []
        parent = self.find(wanted.parent) if wanted.parent else None
        if parent is not None and parent.operation:
            busy.append(parent)
        if old is not None:
            busy += [one for one in self.inside(old.id) if one.operation]
        if wanted.type.lower().endswith("/subnets") and parent is not None:
            busy += [one for one in self.inside(parent.id) if one.operation]
        if busy:
            raise conflict(
                rules.busy_code,
                f"Another operation on this or dependent resource is in progress: {busy[0].id}. Wait until it has "
                "finished.",
            )

    def _check_common(self, put: Put, rules: Rules, shown: Body | None) -> None:
        self._check_location(put)
        if put.body.get("name", put.id.name).lower() != put.id.name.lower():
            raise bad_request("InvalidRequestContent", "The name in the body is not the one in the URL.", "name")
        for path in rules.fixed:
            new, before = at(put.body, path), at(shown or {}, path)
            if put.old is not None and new is not None and before is not None and new != before:
                raise bad_request("PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", path)
        for reference in _references(put.body):
            if reference.lower().startswith(put.id.key):
                continue
            found = parse(reference)
            if found.type.lower() in BY_ARM_TYPE and self.find(reference) is None:
                raise bad_request(
                    "InvalidResourceReference",
                    f"Resource {reference} referenced by resource {put.id.text} was not found. Please make sure that "
                    "the referenced resource exists, and that both resources are in the same region.",
                )

    def _check_location(self, put: Put) -> None:
        if "location" not in put.type.response.fields or put.type.arm_type.count("/") > 1:
            return
        location = normal_location(put.body.get("location", ""))
        if not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.", "location")
        put.body["location"] = location
        before = put.old.body["location"] if put.old else location
        if before != location:
            code = "InvalidResourceGroupLocation" if put.id.type == GROUP_TYPE else "InvalidResourceLocation"
            raise conflict(
                code,
                f"The resource '{put.id.name}' already exists in location '{before}' in resource group "
                f"'{put.id.group}'. A resource with the same name cannot be created in location '{location}'. Please "
                "select a new resource name.",
            )


# --- values ---


def at(body: Body, path: str) -> Any:
    """The value at a dotted path, or None."""
    found: Any = body
    for word in path.split("."):
        found = cast(Body, found).get(word) if isinstance(found, dict) else None
    return found


def merged(below: Body, above: Body) -> Body:
    """A copy of `below` with the values of `above` over it; maps are merged, everything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(cast(Body, old), cast(Body, value)) if both else value
    return result


def set_state(record: Record, state: str) -> None:
    """Set `properties.provisioningState`."""
    record.body = merged(record.body, {"properties": {"provisioningState": state}})


def normal_location(location: str) -> str:
    """`West Europe` and `westeurope` are one location."""
    return location.lower().replace(" ", "")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast(Body, value).items():
            if is_id(key):
                yield key
            yield from _references(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _references(item)
    elif is_id(value) and "/providers/microsoft.authorization/" not in value.lower():
        yield value


def names(records: Iterable[Record]) -> list[str]:
    """The names of resources."""
    return [record.body["name"] for record in records]


def _group_not_found(group: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
