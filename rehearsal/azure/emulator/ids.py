"""ARM's resource ids: parsing and comparing them, which ARM does without regard to case."""

from dataclasses import dataclass

from rehearsal.azure.emulator.errors import ArmError

GROUP_TYPE = "Microsoft.Resources/resourceGroups"


@dataclass(frozen=True)
class ArmId:
    """A resource's id, or a collection's (then `name` is empty). `text` keeps the request's own case."""

    text: str
    subscription: str
    group: str
    type: str
    """`Namespace/type/type`, in the request's case."""
    names: tuple[str, ...]
    scope: str
    """For an extension, such as a role assignment: the resource that it is of, in the request's case."""

    @property
    def key(self) -> str:
        """What two spellings of one id have in common."""
        return self.text.lower()

    @property
    def name(self) -> str:
        """The resource's own name; empty for a collection."""
        return self.names[-1] if len(self.names) == max(1, self.type.count("/")) else ""

    @property
    def parent(self) -> str:
        """The id of the resource that this one is inside of; empty for a top-level one."""
        return self.text.rsplit("/", 2)[0] if self.type.count("/") > 1 else ""


def parse(path: str) -> ArmId:
    """Read an id or a collection's path.

    Raises:
        ArmError: 404, for what is no such path.
    """
    text = "/" + path.strip("/")
    words = text[1:].split("/")
    scope, divider, extension = text.rpartition("/providers/")
    in_group = len(words) >= 3 and words[2].lower() == "resourcegroups"
    if len(words) < 2 or words[0].lower() != "subscriptions" or "" in words:
        raise ArmError(404, "InvalidResourceId", f"The path {text} is not one of a resource.")
    group = words[3] if in_group and len(words) > 3 else ""
    if not divider:
        names = (group,) if group else ()
        text = f"/subscriptions/{words[1]}/resourceGroups" + (f"/{group}" if group else "")
        if not in_group or len(words) > 4:
            raise ArmError(404, "InvalidResourceType", f"The path {path} has no provider.")
        return ArmId(text, words[1], group, GROUP_TYPE, names, "")
    namespace, *rest = extension.split("/")
    kind = "/".join([namespace, *rest[0::2]])
    # A role assignment's scope may itself be a resource; anything else lies directly in its group.
    is_extension = namespace.lower() == "microsoft.authorization"
    return ArmId(text, words[1], group, kind, tuple(rest[1::2]), scope if is_extension else "")


def is_id(value: object) -> bool:
    """Whether a value looks like the id of a resource in a group."""
    return isinstance(value, str) and value.lower().startswith("/subscriptions/") and "/providers/" in value
