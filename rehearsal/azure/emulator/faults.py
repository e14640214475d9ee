"""Faults that can be asked for at `/_faults`, and what each needs."""

from typing import Any, cast

from rehearsal.azure.emulator.errors import bad_request
from rehearsal.azure.emulator.store import Body

FAULTS: dict[str, dict[str, Any]] = {
    "quota": {"vm_size": str, "family": "the VM's family", "remaining": 0},
    "sku": {"vm_size": str},
    "throttle": {"requests": 3, "retry_after_seconds": 1},
    "slow": {"factor": 10},
    "late-success": {"type": str},
}
"""Each fault's fields with their defaults; a type instead of a default marks one that must be given. `vm_size` is a
pattern such as `Standard_NC*`; `late-success` answers the next PUT of a type with 504 though it is carried out."""


def fault(given: Any) -> Body:
    """A fault with its defaults filled in.

    Raises:
        ArmError: 400, for a fault that there is not.
    """
    asked = cast(Body, given) if isinstance(given, dict) else {}
    name = asked.get("fault")
    if name not in FAULTS:
        raise bad_request("UnknownFault", f"There is no fault {name!r}: use one of {', '.join(FAULTS)}.")
    fields = FAULTS[name]
    found: Body = {"fault": name}
    for key, default in fields.items():
        if isinstance(default, type) and key not in asked:
            raise bad_request("InvalidFault", f"The fault {name} needs {key}.")
        found[key] = asked.get(key, default)
        kind: type = default if isinstance(default, type) else type(default)
        if not isinstance(found[key], kind):
            raise bad_request("InvalidFault", f"{key} must be of type {kind.__name__}.")
    if extra := asked.keys() - found.keys():
        raise bad_request("InvalidFault", f"The fault {name} has no {', '.join(sorted(extra))}.")
    return found
