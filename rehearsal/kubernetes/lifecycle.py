"""What happens to one resource: check, diff, create, read, update, delete.

Follows the recorded provider call by call. Objects are created by a POST (an object that exists is never taken over
in silence), updated by server-side apply under a field manager of the resource's own, and previewed by dry runs of
the same requests, so that the cluster's own validation shows in a preview. Values come and go as plain Python;
`provider` speaks gRPC.

Not checked:
- `...Patch` resources, lists, Helm, Kustomize and YAML components are refused; `generateName` too.
- client-side apply, rendering to YAML and custom resources' immutable fields are not there.
- inputs are not validated against the OpenAPI schema on check; the server's dry run does it on create and update.
- deprecated and removed API versions are not warned of.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rehearsal.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from rehearsal.kubernetes.diff import Change, Mutability, compare, replacing_fields
from rehearsal.kubernetes.objects import (
    PROPAGATION,
    REPLACE_UNREADY,
    adopt_name,
    annotation,
    assign_name,
    checkpoint,
    clean_inputs,
    field_manager,
    from_checkpoint,
    group_version_kind,
    initial_version,
    is_patch,
    metadata,
    name_of,
    prune,
    resource_id,
    split_id,
)
from rehearsal.kubernetes.ownership import forced, respect_ignored, take_over
from rehearsal.kubernetes.readiness import look
from rehearsal.kubernetes.values import Properties, has_unknown, in_state_spelling, mark_secrets, plain
from rehearsal.kubernetes.waiting import IncompleteError, Waiter

_CREATE_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
_CLUSTER_SCOPED = """
    APIService CertificateSigningRequest ClusterRole ClusterRoleBinding CSIDriver CSINode CustomResourceDefinition
    IngressClass MutatingWebhookConfiguration Namespace Node PersistentVolume PriorityClass RuntimeClass StorageClass
    ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttachment
"""
_EXISTS_HELP = """

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)
    to manage specific fields without owning the resource lifecycle.
  - Adopting a resource into Pulumi: use `pulumi import`. Note that
    protected resources (e.g. kube-system) cannot be deleted on destroy.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""
_CONFLICT_HELP = (
    "Server-Side Apply field conflict detected. See https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
    "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting help."
)


class RefusedError(Exception):
    """The operation failed and left nothing behind that state does not know of."""


class UnfinishedError(Exception):
    """The object is in the cluster but not as it should be; state must remember it."""

    def __init__(
        self, message: str, *, identity: str, state: Properties, inputs: Properties | None, reasons: Iterable[str]
    ) -> None:
        super().__init__(message)
        self.identity = identity
        self.state = state
        self.inputs = inputs
        self.reasons = [message, *reasons]


@dataclass(frozen=True)
class Options:
    """The provider's own configuration, without what concerns the connection."""

    namespace: str = "default"
    mutability: Mutability = field(default_factory=Mutability)
    upsert: bool = False
    delete_unreachable: bool = False
    skip_unreachable: bool = False


@dataclass(frozen=True)
class Found:
    """What a read returns: state, and the inputs that would make it."""

    identity: str
    state: Properties
    inputs: Properties


Progress = Callable[[str, str], None]
"""Shows a line of progress for a resource: URN and text."""


@dataclass
class Lifecycle:
    """The operations on resources of one cluster."""

    api: Api | None
    """None while no cluster can be reached; previews then work from inputs alone."""
    options: Options
    unreachable: str = ""
    """Why there is no cluster."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    progress: Progress = lambda urn, text: None
    _definitions: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])
    """Kinds that the program itself defines, and whether they have a namespace; the cluster may not know them yet."""

    # --- without side effects -------------------------------------------------------------------------------------

    def check(self, urn: str, old: Properties, new: Properties, *, seed: bytes, proposed_name: str) -> Properties:
        """Complete and clean the program's inputs; the same each time, but for the name of a new object.

        Raises:
            RefusedError: for resources that the stand-in does not know.
        """
        inputs = clean_inputs(plain(new))
        if is_patch(urn):
            raise RefusedError(f'"{urn}" is a Patch resource, which needs the real kubernetes provider on PATH')
        if "generateName" in metadata(inputs):
            raise RefusedError("`.metadata.generateName` is not supported; leave the name out to have one made up")
        if old:
            adopt_name(inputs, clean_inputs(plain(old)))
        if not has_unknown(inputs.get("metadata", {})) or "metadata" not in inputs or metadata(inputs):
            self._complete(urn, inputs, fresh=not old, seed=seed, proposed_name=proposed_name)
        self._remember_definition(inputs)
        mark_secrets(inputs, new)
        return inputs

    def _complete(self, urn: str, inputs: Properties, *, fresh: bool, seed: bytes, proposed_name: str) -> None:
        if fresh and "name" not in metadata(inputs):
            assign_name(inputs, urn.split("::", 3)[3], seed, proposed_name)
        if "namespace" not in metadata(inputs) and self._namespaced(inputs):
            inputs.setdefault("metadata", {})["namespace"] = self.options.namespace

    def _remember_definition(self, inputs: Properties) -> None:
        if inputs.get("kind") != "CustomResourceDefinition" or has_unknown(inputs):
            return
        spec: Properties = inputs.get("spec", {})
        for version in spec.get("versions", []):
            key = (f"{spec.get('group')}/{version.get('name')}", str(spec.get("names", {}).get("kind")))
            self._definitions[key] = spec.get("scope") == "Namespaced"

    def _namespaced(self, obj: Properties) -> bool:
        version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        if kind in _CLUSTER_SCOPED.split():
            return False
        if (known := self._definitions.get((version, kind))) is not None:
            return known
        if self.api is None:
            return True
        try:
            return self.api.resource(version, kind).namespaced
        except (NoSuchKindError, ApiError, UnreachableError):
            return True  # most likely a custom resource whose definition comes later

    def diff(self, state: Properties, new: Properties, ignored: Iterable[str]) -> Change:
        """What an update to new inputs would change."""
        old_inputs, live = from_checkpoint(state)
        inputs = clean_inputs(plain(new))
        pruned = prune(live, clean_inputs(old_inputs))
        for obj in (pruned, inputs):
            meta = obj.get("metadata")
            if isinstance(meta, dict):
                self._canonical_namespace(obj)
                metadata(obj).pop("resourceVersion", None)
        if name_of(inputs) and metadata(pruned):
            metadata(pruned)["name"] = name_of(live)
        replacing = replacing_fields(inputs, self.options.mutability)
        change = compare(live, pruned, inputs, replacing=replacing, ignored=ignored)
        if annotation(inputs, REPLACE_UNREADY) == "true" and self._is_unready_job(live):
            mark = f'.metadata.annotations["{REPLACE_UNREADY}"]'
            return Change(change.details, [*change.replaces, mark], change.delete_before_replace)
        return change

    def _canonical_namespace(self, obj: Properties) -> None:
        if not self._namespaced(obj):
            metadata(obj).pop("namespace", None)
        elif not metadata(obj).get("namespace"):
            metadata(obj)["namespace"] = "default"

    def _is_unready_job(self, live: Properties) -> bool:
        if self.api is None or live.get("kind") != "Job":
            return False
        try:
            return not look(self.api, self.api.get(live)).ready
        except (ApiError, NoSuchKindError, UnreachableError):
            return False

    # --- create ---------------------------------------------------------------------------------------------------

    def create(self, urn: str, properties: Properties, *, preview: bool, timeout: float) -> tuple[str, Properties]:
        """Make an object and wait until it is ready; in a preview, a dry run. Returns id ("" in a preview) and state.

        Raises:
            RefusedError: if the server does not take it.
            UnfinishedError: if it took it, but it does not become ready.
        """
        inputs = plain(properties)
        if preview and (has_unknown(inputs) or not self._served(inputs)):
            return "", properties
        api = self._reachable()
        manager = field_manager({}, inputs)
        try:
            live = self._make(api, urn, inputs, manager, preview=preview)
        except NoSuchKindError as error:
            version, kind = group_version_kind(urn)
            raise RefusedError(
                f'creation of resource "{urn}" with kind {version}/{kind} failed because the Kubernetes API server '
                "reported that the apiVersion for this resource does not exist. Verify that any required CRDs have "
                f"been created: {error}"
            ) from error
        except ApiError as error:
            if preview and (error.forbidden or error.no_dry_run or error.namespace_missing or error.already_exists):
                return "", properties
            raise RefusedError(_not_created(urn, error)) from error

        def state_of(found: Properties) -> Properties:
            version = str(inputs.get("apiVersion", ""))
            return checkpoint(inputs, found, properties, initial_version=version, manager=manager)

        if preview:
            live.pop("status", None)
            return "", state_of(live)
        try:
            live = self._settle(api, urn, live, inputs, timeout)
        except IncompleteError as error:
            message = (
                f'resource "{urn}" was successfully created, but the Kubernetes API server reported that it failed '
                f"to fully initialize or become live: {error}"
            )
            raise UnfinishedError(
                message,
                identity=resource_id(error.live),
                state=state_of(error.live),
                inputs=None,
                reasons=error.reasons,
            ) from error
        return resource_id(live), state_of(live)

    def _make(self, api: Api, urn: str, inputs: Properties, manager: str, *, preview: bool) -> Properties:
        """Create; again for a while, if what it needs (a namespace, a definition) may be on its way."""
        pauses = iter(() if preview else _CREATE_RETRY_SECONDS)
        while True:
            try:
                if self.options.upsert:
                    force = forced(inputs, None, preview=preview)
                    return api.apply(inputs, manager=manager, force=force, dry_run=preview)
                return api.create(inputs, dry_run=preview)
            except (NoSuchKindError, ApiError) as error:
                pause = next(pauses, None)
                if pause is None or (isinstance(error, ApiError) and not error.not_found):
                    raise
                self.progress(urn, f"creation failed, will be tried again: {error}")
                if self.cancelled.wait(pause):
                    raise

    def _settle(self, api: Api, urn: str, live: Properties, inputs: Properties, timeout: float) -> Properties:
        """Wait until an object is ready, and return it as it is then."""
        self._waiter(api, urn).until_ready(live, inputs, timeout)
        self.progress(urn, "")
        try:
            return api.get(live)
        except (ApiError, UnreachableError):
            return live  # it was made: state must know of it, with what was seen last

    # --- read -----------------------------------------------------------------------------------------------------

    def read(self, urn: str, identity: str, state: Properties, old_inputs: Properties) -> Found | None:
        """The live object; None if it is gone. Without earlier inputs, the inputs are made from it (an import).

        Raises:
            RefusedError: if there is no cluster to ask.
            UnfinishedError: if it is there but not ready.
        """
        if self.api is None:
            return self._read_without_cluster(identity, state, old_inputs)
        namespace, name = split_id(identity)
        inputs = clean_inputs(plain(old_inputs))
        adopted = "kind" not in inputs
        if adopted:
            version, kind = group_version_kind(urn)
            inputs |= {"apiVersion": version, "kind": kind}
            inputs["metadata"] = {**({"namespace": namespace} if namespace else {}), "name": name}
        try:
            live = self.api.get(inputs, name)
        except NoSuchKindError:
            return None
        except ApiError as error:
            if error.not_found:
                return None
            raise
        version, manager = initial_version(state, inputs), field_manager(state, inputs)
        live_inputs = _imported_inputs(live) if adopted else prune(live, inputs)
        found = Found(
            identity,
            checkpoint(live_inputs, live, old_inputs, initial_version=version, manager=manager),
            in_inputs_form(live_inputs, old_inputs),
        )
        try:
            if not adopted:
                self._waiter(self.api, urn).check_once(live, inputs)
        except IncompleteError as error:
            raise UnfinishedError(
                str(error), identity=identity, state=found.state, inputs=found.inputs, reasons=error.reasons
            ) from error
        return found

    def _read_without_cluster(self, identity: str, state: Properties, inputs: Properties) -> Found | None:
        if self.options.delete_unreachable:
            return None
        if self.options.skip_unreachable:
            return Found(identity, state, inputs)
        raise RefusedError(
            "failed to read resource state due to unreachable cluster. If the cluster was deleted, you can remove this "
            "resource from Pulumi state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE "
            'variable set to "true"'
        )

    # --- update ---------------------------------------------------------------------------------------------------

    def update(
        self,
        urn: str,
        state: Properties,
        new: Properties,
        *,
        ignored: Sequence[str],
        preview: bool,
        timeout: float,
    ) -> Properties:
        """Change an object and wait until it is ready again; in a preview, a dry run. Returns the new state.

        Raises:
            RefusedError: if the object cannot be found.
            UnfinishedError: if the server does not take the change, or the object does not become ready.
        """
        inputs = clean_inputs(plain(new))
        if preview and (has_unknown(inputs) or not self._served(inputs)):
            return new
        api = self._reachable()
        old_inputs, old_live = from_checkpoint(state)
        version, manager = initial_version(state, old_inputs), field_manager(state, inputs)
        try:
            live = self._change(api, old_live, inputs, manager, ignored=ignored, preview=preview)
            if not preview:
                live = self._settle(api, urn, live, inputs, timeout)
        except NoSuchKindError as error:
            raise RefusedError(
                f'update of resource "{urn}" failed because the Kubernetes API server reported that the apiVersion '
                f"for this resource does not exist. Verify that any required CRDs have been created: {error}"
            ) from error
        except (ApiError, IncompleteError) as error:
            if preview and isinstance(error, ApiError) and error.forbidden:
                return new
            live = self._after_failed_update(api, urn, old_live, error)
            identity = resource_id(live)
            message = _explained(error, manager)
            raise UnfinishedError(
                f'the Kubernetes API server reported that "{identity}" failed to fully initialize or become live: '
                f"{message}",
                identity=identity,
                state=checkpoint(inputs, live, new, initial_version=version, manager=manager),
                inputs=None,
                reasons=error.reasons if isinstance(error, IncompleteError) else (),
            ) from error
        return checkpoint(inputs, live, new, initial_version=version, manager=manager)

    def _change(
        self,
        api: Api,
        old_live: Properties,
        inputs: Properties,
        manager: str,
        *,
        ignored: Sequence[str],
        preview: bool,
    ) -> Properties:
        live = api.get({**inputs, "metadata": {**metadata(inputs), "name": name_of(old_live)}})
        wanted = {**inputs, "metadata": {**metadata(inputs), "name": name_of(live)}}
        if wanted.get("kind") == "CustomResourceDefinition":
            # A definition is replaced as a whole: versions that go must go, and its objects stay.
            wanted["metadata"] = {**wanted["metadata"], "resourceVersion": metadata(live).get("resourceVersion")}
            return api.replace(wanted, manager=manager, dry_run=preview)
        if not preview and (operations := take_over(live, manager)):
            live = api.patch(live, operations)
        respect_ignored(wanted, live, manager, ignored)
        force = forced(wanted, live, preview=preview)
        return api.apply(wanted, manager=manager, force=force, dry_run=preview)

    def _after_failed_update(
        self, api: Api, urn: str, old_live: Properties, error: ApiError | IncompleteError
    ) -> Properties:
        try:
            return api.get(old_live)
        except (ApiError, NoSuchKindError, UnreachableError) as second:
            raise RefusedError(
                f'update of resource "{urn}" failed: {error}\nunable to get cluster state: {second}'
            ) from error

    # --- delete ---------------------------------------------------------------------------------------------------

    def delete(self, urn: str, identity: str, state: Properties, *, timeout: float) -> None:
        """Delete an object, and by default all that it owns first, and wait until it is gone.

        Raises:
            RefusedError: if there is no cluster to ask.
            UnfinishedError: if it does not go.
        """
        if self.api is None:
            self._delete_without_cluster()
            return
        inputs, live = from_checkpoint(state)
        _, name = split_id(identity)
        propagation = {"orphan": "Orphan", "background": "Background"}.get(annotation(inputs, PROPAGATION).lower())
        try:
            self.api.delete(live, name, propagation=propagation or "Foreground")
            self._waiter(self.api, urn).until_gone(live, name, inputs, timeout)
            self.progress(urn, "")
        except NoSuchKindError:
            return
        except ApiError as error:
            if not error.not_found:
                raise
        except IncompleteError as error:
            version, manager = initial_version(state, {}), field_manager(state, inputs)
            raise UnfinishedError(
                str(error),
                identity=resource_id(error.live),
                state=checkpoint(inputs, error.live, state, initial_version=version, manager=manager),
                inputs=None,
                reasons=error.reasons,
            ) from error

    def _delete_without_cluster(self) -> None:
        if not self.options.delete_unreachable:
            raise RefusedError(
                "configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this "
                "resource from Pulumi state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE "
                'variable set to "true"'
            )

    # --- shared ---------------------------------------------------------------------------------------------------

    def _served(self, obj: Properties) -> bool:
        if self.api is None:
            return False
        try:
            self.api.resource(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
        except NoSuchKindError:
            return False
        return True

    def _reachable(self) -> Api:
        if self.api is None:
            raise RefusedError(f"configured Kubernetes cluster is unreachable: {self.unreachable}")
        return self.api

    def _waiter(self, api: Api, urn: str) -> Waiter:
        return Waiter(api, self.cancelled, lambda text: self.progress(urn, text))


def in_inputs_form(inputs: Properties, secret_inputs: Properties) -> Properties:
    """Inputs as a read returns them: marked secret where the earlier ones were."""
    marked = in_state_spelling(inputs)
    mark_secrets(marked, secret_inputs)
    return marked


def _imported_inputs(live: Properties) -> Properties:
    inputs = clean_inputs({key: value for key, value in live.items() if key != "status"})
    annotations = metadata(inputs).get("annotations", {})
    for key in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"):
        annotations.pop(key, None)
    return inputs


def _not_created(urn: str, error: ApiError) -> str:
    text = f'resource "{urn}" was not successfully created by the Kubernetes API server: {error}'
    return text + _EXISTS_HELP if error.already_exists else text


def _explained(error: ApiError | IncompleteError, manager: str) -> str:
    if isinstance(error, ApiError) and error.conflict:
        return f'{_CONFLICT_HELP}\nThe resource managed by field manager "{manager}" had an apply conflict: {error}'
    return str(error)
