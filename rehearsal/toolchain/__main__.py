"""`python -m rehearsal.toolchain [list | ensure [NAME ...]]`: what the tools are, and having them."""

import os
import sys
from collections.abc import Sequence

from rehearsal.errors import RehearsalError
from rehearsal.paths import cache_dir
from rehearsal.toolchain import CONTROL, ENGINE, NODE, Toolchain
from rehearsal.toolchain.catalogue import GO_TOOLS


def main(argv: Sequence[str]) -> int:
    """Have the named tools, or all that this user can use; or list them."""
    command, *names = argv or ["list"]
    toolchain = Toolchain(cache_dir(), lambda line: print(f"    {line}", file=sys.stderr, flush=True))
    if command == "list":
        for tool in GO_TOOLS.values():
            state = str(toolchain.tool(tool.name)) if toolchain.has(tool.name) else "missing"
            print(f"{tool.name:<24}{tool.version:<10}{tool.purpose:<40}{state}")
        return 0
    root = os.geteuid() == 0
    unknown = [name for name in names if name not in GO_TOOLS]
    try:
        if command != "ensure" or unknown:
            raise RehearsalError(
                f"There is no {' '.join(unknown) or command}",
                f"Say `list`, or `ensure` with any of {', '.join(GO_TOOLS)}",
            )
        if root:
            toolchain.ensure_packages()
        toolchain.ensure(names or [*ENGINE, *(NODE if root else CONTROL)])
    except RehearsalError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
