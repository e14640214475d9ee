"""Resource groups: deleting one deletes all that is in it."""

import re

from rehearsal.azure.emulator.ids import GROUP_TYPE
from rehearsal.azure.emulator.world import Rules

RULES = {
    GROUP_TYPE: Rules(
        name=re.compile(r"[-\w.()]{0,89}[-\w()]"),
        name_rule="must be 1 to 90 letters, digits, `_`, `-`, `.` and parentheses, and not end with a dot",
        seconds=0,
    )
}
