"""Kubernetes objects as plain maps: identity, annotations, the form in which inputs and state are compared.

Owns what the provider does to an object without asking the cluster. The rules are those of the recorded provider:
inputs are named and cleaned, the live object is cut down to the shape of the inputs, and the state of a resource is
the live object with the inputs beside it under `__inputs`.
"""

import base64
import copy
import hashlib
import secrets
from typing import Any, cast

from rehearsal.kubernetes.quantities import with_canonical_quantities
from rehearsal.kubernetes.values import Properties, has_unknown, in_state_spelling, mark_secrets, plain

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
PATCH_FORCE = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER = "pulumi.com/patchFieldManager"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
REPLACE_UNREADY = "pulumi.com/replaceUnready"

FIELD_MANAGER_KEY = "__fieldManager"
INITIAL_VERSION_KEY = "__initialApiVersion"
INPUTS_KEY = "__inputs"

_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
_BUILT_IN_GROUPS = frozenset({"apps", "batch", "autoscaling", "policy", "extensions", ""})


def metadata(obj: Properties) -> Properties:
    """The object's metadata; an empty map, not part of the object, if it has none."""
    found = obj.get("metadata")
    return cast(Properties, found) if isinstance(found, dict) else {}


def name_of(obj: Properties) -> str:
    """The object's name, or "" if it has none or an unknown one."""
    name = metadata(obj).get("name")
    return name if isinstance(name, str) else ""


def namespace_of(obj: Properties) -> str:
    """The object's namespace, or "" if it has none or an unknown one."""
    namespace = metadata(obj).get("namespace")
    return namespace if isinstance(namespace, str) else ""


def annotation(obj: Properties, key: str) -> str:
    """The value of an annotation, or ""."""
    found = metadata(obj).get("annotations")
    value = cast(Properties, found).get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def resource_id(obj: Properties) -> str:
    """Pulumi's id of an object: `namespace/name`, or `name` for one that has no namespace."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_id(identity: str) -> tuple[str, str]:
    """Namespace ("" if none) and name in an id."""
    namespace, _, name = identity.rpartition("/")
    return namespace, name


def is_patch(urn: str) -> bool:
    """Whether a resource is one of the `...Patch` kinds, which change objects that something else owns."""
    return _type_of(urn).endswith("Patch")


def group_version_kind(urn: str) -> tuple[str, str]:
    """`apiVersion` and `kind` that a resource's type names, e.g. ("apps/v1", "Deployment")."""
    _, module, kind = _type_of(urn).split(":", 2)
    return module.removeprefix("core/"), kind


def _type_of(urn: str) -> str:
    """The resource's own type in a URN, without those of its parents."""
    return urn.split("::", 3)[2].rsplit("$", 1)[-1]


def is_built_in(obj: Properties) -> bool:
    """Whether an object is of a group that Kubernetes itself serves, and so has fields of known types."""
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    return group in _BUILT_IN_GROUPS or group.endswith(".k8s.io")


def clean_inputs(inputs: Properties) -> Properties:
    """A copy of inputs in the form in which the server gives them back, without what only the server may set."""
    cleaned = copy.deepcopy(inputs)
    if not has_unknown(inputs) and is_built_in(inputs):
        cleaned = _encode_string_data(cast(Properties, with_canonical_quantities(cleaned)))
    for key in _READ_ONLY:
        metadata(cleaned).pop(key, None)
    return cleaned


def _encode_string_data(obj: Properties) -> Properties:
    if obj.get("kind") != "Secret" or obj.get("apiVersion") != "v1" or not isinstance(obj.get("stringData"), dict):
        return obj
    texts = cast(dict[str, Any], obj.pop("stringData"))
    encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
    given = obj.get("data")
    obj["data"] = {**(cast(Properties, given) if isinstance(given, dict) else {}), **encoded}
    return obj


def assign_name(obj: Properties, logical_name: str, seed: bytes, proposed: str) -> None:
    """Name an object that has no name, in place, and remember in an annotation that the name is ours."""
    name = proposed or f"{logical_name}-{_suffix(seed)}"
    _set_autoname(obj, name)


def adopt_name(obj: Properties, old: Properties) -> None:
    """Keep the name that an earlier check made up, if the program still gives none."""
    if "name" not in metadata(obj) and annotation(old, AUTONAMED) == "true":
        _set_autoname(obj, name_of(old))


def _set_autoname(obj: Properties, name: str) -> None:
    meta = cast(Properties, obj.setdefault("metadata", {}))
    meta["name"] = name
    annotations = cast(Properties, meta.setdefault("annotations", {}))
    annotations[AUTONAMED] = "true"


def _suffix(seed: bytes) -> str:
    return hashlib.sha256(seed).hexdigest()[:8] if seed else secrets.token_hex(4)


def field_manager(state: Properties, inputs: Properties) -> str:
    """Who the provider says it is in an apply: what the object asks for, else what state says, else a new name."""
    if wanted := annotation(inputs, PATCH_FIELD_MANAGER):
        return wanted
    known = state.get(FIELD_MANAGER_KEY)
    return known if isinstance(known, str) else f"pulumi-kubernetes-{secrets.token_hex(4)}"


def prune(live: Any, shape: Any) -> Any:
    """The part of a live value that has a counterpart in `shape`: what the program said something about."""
    if isinstance(live, dict) and isinstance(shape, dict):
        wanted = cast(Properties, shape)
        found = cast(Properties, live)
        return {key: prune(value, wanted[key]) for key, value in found.items() if key in wanted}
    if isinstance(live, list) and isinstance(shape, list):
        pairs = zip(cast(list[Any], live), cast(list[Any], shape), strict=False)
        return [prune(value, wanted) for value, wanted in pairs]
    return cast(Any, live)


def checkpoint(
    inputs: Properties, live: Properties, secret_inputs: Properties, *, initial_version: str, manager: str
) -> Properties:
    """The state of a resource: the live object, with the inputs and the provider's own notes beside it."""
    state = in_state_spelling(live)
    kept = in_state_spelling(inputs)
    mark_secrets(state, secret_inputs)
    mark_secrets(kept, secret_inputs)
    state[INPUTS_KEY] = kept
    state[INITIAL_VERSION_KEY] = initial_version
    state[FIELD_MANAGER_KEY] = manager
    return state


def from_checkpoint(state: Properties) -> tuple[Properties, Properties]:
    """Inputs and live object in a resource's state, both plain. The inverse of `checkpoint`."""
    live = plain(state)
    inputs = live.pop(INPUTS_KEY, None)
    return (cast(Properties, inputs) if isinstance(inputs, dict) else {}), live


def initial_version(state: Properties, inputs: Properties) -> str:
    """The `apiVersion` with which a resource was created."""
    known = state.get(INITIAL_VERSION_KEY)
    return known if isinstance(known, str) else str(inputs.get("apiVersion", ""))
