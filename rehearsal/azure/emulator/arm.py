"""Azure Resource Manager's own part: verbs, api-versions, long-running operations and the few actions that are used.

Owns the translation between requests and the `World`. Does not own what a resource is.
"""

import base64
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from rehearsal.azure import SUBSCRIPTION_ID, TENANT_ID
from rehearsal.azure.emulator.errors import ArmError, bad_request
from rehearsal.azure.emulator.http import Answer, Call
from rehearsal.azure.emulator.ids import GROUP_TYPE, ArmId, parse
from rehearsal.azure.emulator.kinds import vault
from rehearsal.azure.emulator.kinds.identity import ROLE_ASSIGNMENT
from rehearsal.azure.emulator.kinds.pools import CLUSTER
from rehearsal.azure.emulator.kinds.registry import TASK_RUN
from rehearsal.azure.emulator.store import Body, Operation, Record
from rehearsal.azure.emulator.world import World, merged
from rehearsal.azure.types import BY_ARM_TYPE

_OPERATION = re.compile(
    r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/(operations|operationresults)/([^/]+)", re.IGNORECASE
)
_PURGE = re.compile(
    r"/subscriptions/[^/]+/providers/microsoft\.keyvault/locations/[^/]+/deletedvaults/([^/]+)/purge", re.IGNORECASE
)
_ACTION = re.compile(r"(.*)/(listClusterUserCredential|listLogSasUrl)", re.IGNORECASE)


class Arm:
    """The management endpoint."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._token = token

    def answer(self, call: Call) -> Answer:
        """Carry out a request.

        Raises:
            ArmError: for everything that ARM refuses.
        """
        self._authenticate(call)
        self._throttle()
        if not call.query.get("api-version"):
            raise bad_request(
                "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
            )
        if found := _OPERATION.fullmatch(call.path):
            return self._operation(found[2], call, results=found[1].lower() == "operationresults")
        if call.method == "POST":
            return self._post(call)
        if call.method == "GET" and (special := self._special(call)) is not None:
            return special
        wanted = parse(call.path)
        self._check_version(wanted, call.query["api-version"])
        return self._verb(call, wanted)

    def _authenticate(self, call: Call) -> None:
        if not call.bearer:
            raise ArmError(
                401,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                headers={
                    "WWW-Authenticate": f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT_ID}"'
                },
            )
        if call.bearer != self._token:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")

    def _throttle(self) -> None:
        for fault in self._world.faults("throttle"):
            if fault["requests"] > 0:
                fault["requests"] -= 1
                self._world.save()
                seconds = str(fault["retry_after_seconds"])
                raise ArmError(
                    429,
                    "SubscriptionRequestsThrottled",
                    f"Number of requests for subscription '{SUBSCRIPTION_ID}' exceeded the limit. Please try again "
                    f"after '{seconds}' seconds.",
                    headers={"Retry-After": seconds},
                )

    @staticmethod
    def _check_version(wanted: ArmId, version: str) -> None:
        kind = BY_ARM_TYPE.get(wanted.type.lower())
        if kind is None:
            raise ArmError(404, "InvalidResourceType", f"The resource type '{wanted.type}' could not be found.")
        known = sorted({kind.api_version, kind.model_version})
        if version not in known:
            raise bad_request(
                "NoRegisteredProviderFound",
                f"No registered resource provider found for API version '{version}' for type '{kind.arm_type}'. The "
                f"supported api-versions are '{', '.join(known)}'.",
            )

    # --- verbs ---

    def _verb(self, call: Call, wanted: ArmId) -> Answer:
        if not wanted.name:
            if call.method != "GET":
                raise ArmError(405, "MethodNotAllowed", f"{call.method} is not possible on a collection.")
            return self._list(wanted)
        match call.method:
            case "GET":
                return Answer(200, self._world.view(self._world.get(wanted)))
            case "HEAD":
                self._world.get(wanted)
                return Answer(204)
            case "PUT":
                return self._put(call, wanted, call.json())
            case "PATCH":
                return self._put(call, wanted, merged(self._world.view(self._world.get(wanted)), call.json()))
            case "DELETE":
                return self._delete(call, wanted)
            case _:
                raise ArmError(405, "MethodNotAllowed", f"{call.method} is not a method of resources.")

    def _put(self, call: Call, wanted: ArmId, body: Body) -> Answer:
        self._check_put(wanted)
        record, created, operation = self._world.put(wanted, body)
        self._lose_answer(wanted)
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        if operation is None:
            return Answer(status, self._world.view(record))
        return Answer(status, self._world.view(record), self._headers(call, record, operation, deletes=False))

    @staticmethod
    def _check_put(wanted: ArmId) -> None:
        if wanted.type.lower() == ROLE_ASSIGNMENT.lower() and not wanted.scope:
            raise bad_request("InvalidScope", "A role assignment needs a scope.")

    def _lose_answer(self, wanted: ArmId) -> None:
        for fault in self._world.faults("late-success"):
            if fault["type"].lower() == wanted.type.lower():
                self._world.state.faults.remove(fault)
                self._world.save()
                raise ArmError(504, "GatewayTimeout", "The gateway did not receive a response within the time-out.")

    def _delete(self, call: Call, wanted: ArmId) -> Answer:
        if wanted.type.lower() == vault.SECRET.lower():
            raise ArmError(405, "MethodNotAllowed", "Secrets are deleted through the vault itself.")
        if self._world.find(wanted.text) is None and wanted.type.lower() != GROUP_TYPE.lower():
            self._world.get(parse(f"/subscriptions/{wanted.subscription}/resourceGroups/{wanted.group}"))
            return Answer(204)
        record = self._world.get(wanted)
        operation = self._world.delete(wanted)
        if operation is None:
            return Answer(200)
        return Answer(202, None, self._headers(call, record, operation, deletes=True))

    def _list(self, wanted: ArmId) -> Answer:
        prefix = wanted.text.rpartition("/providers/")[0] if wanted.type.count("/") == 1 else wanted.text
        if wanted.type.lower() == GROUP_TYPE.lower():
            prefix = f"/subscriptions/{wanted.subscription}"
        elif wanted.group:
            self._world.get(parse(f"/subscriptions/{wanted.subscription}/resourceGroups/{wanted.group}"))
        if wanted.parent:
            self._world.get(parse(wanted.text.rpartition("/")[0]))
        found = self._world.children(prefix, wanted.type)
        return Answer(200, {"value": [self._world.view(record) for record in found]})

    def _special(self, call: Call) -> Answer | None:
        words = call.path.strip("/").split("/")
        match [word.lower() for word in words]:
            case ["subscriptions", subscription]:
                if subscription != SUBSCRIPTION_ID:
                    raise ArmError(
                        404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
                    )
                return Answer(200, _subscription())
            case ["subscriptions", _, "resourcegroups", _, "resources"]:
                group = self._world.get(parse("/" + "/".join(words[:-1])))
                found = [one for one in self._world.inside(group.id) if BY_ARM_TYPE[one.type.lower()]]
                top = [one for one in found if one.type.count("/") == 1 and one.type != ROLE_ASSIGNMENT]
                return Answer(200, {"value": [{key: one.body.get(key) for key in _LISTED} for one in top]})
            case _:
                return None

    # --- operations and actions ---

    @staticmethod
    def _headers(call: Call, record: Record, operation: Operation, *, deletes: bool) -> Mapping[str, str]:
        namespace = record.type.partition("/")[0]
        location = record.body.get("location", "global")
        base = f"{call.base}/subscriptions/{SUBSCRIPTION_ID}/providers/{namespace}/locations/{location}"
        query = f"?api-version={call.query['api-version']}"
        headers = {"Azure-AsyncOperation": f"{base}/operations/{operation.id}{query}"}
        if deletes:
            headers["Location"] = f"{base}/operationresults/{operation.id}{query}"
        if (seconds := int(operation.ready_at - time.time())) >= 1:
            headers["Retry-After"] = str(seconds)
        return headers

    def _operation(self, name: str, call: Call, *, results: bool) -> Answer:
        operation = self._world.state.operations.get(name)
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation '{name}' was not found.")
        if results:
            running = operation.status == "InProgress"
            return Answer(202, None, {"Location": f"{call.base}{call.path}"}) if running else Answer(204)
        body: Body = {"id": call.path, "name": name, "status": operation.status}
        if operation.status != "InProgress":
            body["endTime"] = datetime.fromtimestamp(operation.ready_at, UTC).isoformat()
        if operation.error:
            body["error"] = operation.error
        return Answer(200, body)

    def _post(self, call: Call) -> Answer:
        if found := _PURGE.fullmatch(call.path):
            vault.purge(self._world, found[1])
            return Answer(200)
        action = _ACTION.fullmatch(call.path)
        if action is None:
            raise ArmError(404, "InvalidAction", f"There is no action at {call.path}.")
        if action[2].lower() == "listlogsasurl":
            return self._run_log(call, action[1])
        cluster = parse(action[1])
        if cluster.type.lower() != CLUSTER.lower():
            raise ArmError(404, "InvalidAction", f"There is no action at {call.path}.")
        self._check_version(cluster, call.query["api-version"])
        return self._credential(self._world.get(cluster))

    def _credential(self, record: Record) -> Answer:
        kubeconfig = self._world.settings.kubeconfig
        if kubeconfig is None or not kubeconfig.exists():
            raise ArmError(
                400, "ControlPlaneNotFound", "Could not find the control plane: the rehearsal's cluster does not run."
            )
        value = base64.b64encode(kubeconfig.read_bytes()).decode()
        return Answer(200, {"kubeconfigs": [{"name": "clusterUser", "value": value}]}, {"x-cluster": record.id})

    def _run_log(self, call: Call, path: str) -> Answer:
        for record in self._world.of_type(TASK_RUN):
            result = cast(Body, record.body["properties"]["runResult"])
            if str(result["id"]).lower() == path.lower():
                return Answer(200, {"logLink": f"{call.base}/_runs/{result['name']}"})
        raise ArmError(404, "ResourceNotFound", f"The run {path} was not found.")

    def run_log(self, name: str) -> str:
        """The log of a task run.

        Raises:
            ArmError: 404 if there is none.
        """
        for record in self._world.of_type(TASK_RUN):
            if record.body["properties"]["runResult"]["name"] == name:
                return str(record.private.get("log", "the run has not finished"))
        raise ArmError(404, "BlobNotFound", "The specified blob does not exist.")


_LISTED = ("id", "name", "type", "location", "tags")


def _subscription() -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION_ID}",
        "subscriptionId": SUBSCRIPTION_ID,
        "tenantId": TENANT_ID,
        "displayName": "rehearsal",
        "state": "Enabled",
    }
