"""Registries, their cache rules and task runs.

Images are the local registry's business; a task run only looks whether the image that it would build is there.
"""

import re
import uuid
from datetime import UTC, datetime

from rehearsal.azure.emulator.errors import bad_request, conflict
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, at, merged

REGISTRY = "Microsoft.ContainerRegistry/registries"
CACHE_RULE = f"{REGISTRY}/cacheRules"
TASK_RUN = f"{REGISTRY}/taskRuns"
_SOURCES = (
    "docker.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "ghcr.io",
    "quay.io",
    "registry.k8s.io",
    "gcr.io",
    "nvcr.io",
)
"""Upstreams that a cache rule can have [learn.microsoft.com/azure/container-registry/artifact-cache-overview]."""


def now() -> str:
    """The time as ARM writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _check_registry(world: World, put: Put) -> None:
    for other in world.of_type(REGISTRY):
        if other.id.lower() != put.id.key and other.body["name"].lower() == put.id.name.lower():
            raise conflict("AlreadyInUse", f"The registry DNS name {put.id.name}.azurecr.io is already in use.")
    sku = str(at(put.body, "sku.name"))
    needs_premium = {
        "publicNetworkAccess": put.properties.get("publicNetworkAccess") == "Disabled",
        "networkRuleSet": bool(put.properties.get("networkRuleSet")),
        "zoneRedundancy": put.properties.get("zoneRedundancy") == "Enabled",
        "encryption": at(put.body, "properties.encryption.status") == "enabled",
        "dataEndpointEnabled": put.properties.get("dataEndpointEnabled") is True,
    }
    for name, needed in needs_premium.items():
        if needed and sku != "Premium":
            raise bad_request(
                "PropertyNotSupportedForSku", f"'{name}' is only supported for the Premium SKU, not {sku}.", name
            )
    if put.properties.get("anonymousPullEnabled") and sku == "Basic":
        raise bad_request("PropertyNotSupportedForSku", "Anonymous pull is not supported for the Basic SKU.")


def _registry_outputs(_world: World, put: Put) -> Body:
    below: Body = {
        "properties": {
            "adminUserEnabled": False,
            "anonymousPullEnabled": False,
            "dataEndpointEnabled": False,
            "publicNetworkAccess": "Enabled",
            "networkRuleBypassOptions": "AzureServices",
            "zoneRedundancy": "Disabled",
            "privateEndpointConnections": [],
        }
    }
    body = merged(below, put.body)
    body["sku"] = {"name": at(put.body, "sku.name"), "tier": at(put.body, "sku.name")}
    body["properties"]["loginServer"] = f"{put.id.name.lower()}.azurecr.io"
    body["properties"]["creationDate"] = put.kept("properties.creationDate", now)
    return body


def _check_rule(world: World, put: Put) -> None:
    source = str(put.properties.get("sourceRepository", ""))
    target = put.properties.get("targetRepository", "")
    if not source or not target:
        raise bad_request("InvalidParameter", "A cache rule needs both sourceRepository and targetRepository.")
    if source.partition("/")[0] not in _SOURCES or "/" not in source:
        raise bad_request(
            "InvalidSourceRepository",
            f"Source repository '{source}' is not of a supported registry. Use one of {', '.join(_SOURCES)}.",
            "properties.sourceRepository",
        )
    for other in world.children(put.id.parent, CACHE_RULE):
        if other.id.lower() != put.id.key and at(other.body, "properties.targetRepository") == target:
            raise conflict("CacheRuleConflict", f"Target repository '{target}' is used by rule '{other.body['name']}'.")


def _rule_outputs(_world: World, put: Put) -> Body:
    return {"properties": {"creationDate": put.kept("properties.creationDate", now)}}


# --- task runs ---


def _images(put_body: Body) -> list[str]:
    """The images that a build request names, without the registry in front."""
    request: Body = at(put_body, "properties.runRequest") or {}
    named: list[str] = request.get("imageNames") or []
    return [image.partition("/")[2] if ".azurecr.io/" in image else image for image in named]


def _check_run(_world: World, put: Put) -> None:
    request: Body | None = put.properties.get("runRequest")
    if request is None:
        raise bad_request("InvalidParameter", "A task run needs a runRequest.", "properties.runRequest")
    if request.get("type") == "DockerBuildRequest" and not request.get("sourceLocation"):
        raise bad_request("InvalidParameter", "A build needs a sourceLocation.", "properties.runRequest.sourceLocation")


def _run_outputs(_world: World, put: Put) -> Body:
    before: Body = put.old.body["properties"] if put.old else {}
    if before and all(before.get(key) == put.properties.get(key) for key in ("runRequest", "forceUpdateTag")):
        return {"properties": {"runResult": before["runResult"]}}  # nothing new to run
    run = uuid.uuid4().hex[:4]
    result: Body = {
        "id": f"{put.id.parent}/runs/{run}",
        "name": run,
        "type": f"{REGISTRY}/runs",
        "properties": {
            "runId": run,
            "status": "Queued",
            "runType": "QuickBuild",
            "createTime": now(),
            "platform": at(put.body, "properties.runRequest.platform") or {"os": "Linux", "architecture": "amd64"},
            "provisioningState": "Succeeded",
        },
    }
    return {"properties": {"runResult": result}}


def _run_failure(world: World, record: Record) -> Body | None:
    """The end of a run: it has the image if the local registry has it."""
    result: Body = record.body["properties"]["runResult"]["properties"]
    if result["status"] == "Succeeded":
        return None
    images = _images(record.body)
    reasons = [reason for image in images if (reason := world.settings.registry.missing(image))]
    result["finishTime"] = now()
    if reasons:
        result |= {"status": "Failed", "runErrorMessage": f"failed to build: {'; '.join(reasons)}"}
        record.private["log"] = result["runErrorMessage"]
        return {
            "code": "TaskRunFailed",
            "message": f"The run with ID '{result['runId']}' finished with unsuccessful status 'Failed': "
            f"{'; '.join(reasons)}. Show run status and run logs to find out why.",
        }
    result["status"] = "Succeeded"
    if world.settings.registry.address:
        record.private["log"] = f"rehearsal: nothing was built; the local registry has {', '.join(images) or 'nothing'}"
    else:
        record.private["log"] = "rehearsal: nothing was built, and there is no local registry to look into"
    return None


RULES = {
    REGISTRY: Rules(
        name=re.compile(r"[a-zA-Z0-9]{5,50}"),
        name_rule="must be 5 to 50 letters and digits",
        seconds=0.5,
        fixed=("properties.zoneRedundancy", "properties.encryption.status"),
        check=_check_registry,
        outputs=_registry_outputs,
    ),
    CACHE_RULE: Rules(
        name=re.compile(r"[a-zA-Z0-9][-_a-zA-Z0-9]{3,48}[a-zA-Z0-9]"),
        name_rule="must be 5 to 50 letters, digits, `-` and `_`",
        seconds=0.2,
        fixed=("properties.sourceRepository", "properties.targetRepository"),
        check=_check_rule,
        outputs=_rule_outputs,
    ),
    TASK_RUN: Rules(
        name=re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{3,48}[a-zA-Z0-9]"),
        name_rule="must be 5 to 50 letters, digits and `-`",
        seconds=0.5,
        check=_check_run,
        outputs=_run_outputs,
        failure=_run_failure,
    ),
}
