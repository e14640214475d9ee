"""`pulumi-analyzer-policy-python` for engines that start policy packs themselves, without the language host.

Starts the SDK's own runner of policy packs with the interpreter of the pack's virtual environment, if it names one.
Newer engines ask the language host (`RunPlugin`) instead.
"""

import os
import sys
from pathlib import Path


def command(argv: list[str], working_directory: Path) -> list[str]:
    """What to run for the engine's arguments: its address, the pack's folder, and `-option=value` for its runtime."""
    options = dict(argument[1:].split("=", 1) for argument in argv if argument.startswith("-") and "=" in argument)
    places = [argument for argument in argv if not argument.startswith("-")]
    python = sys.executable
    if folder := options.get("virtualenv"):
        python = str(working_directory / folder / "bin" / "python")
    return [python, "-u", "-m", "pulumi.policy", *places]


def main(argv: list[str]) -> None:
    """Become the policy pack's process."""
    os.environ.pop("PYTHONPATH", None)
    arguments = command(argv, Path.cwd())
    os.execv(arguments[0], arguments)  # noqa: S606 - the pack takes this process' place and its pipes


if __name__ == "__main__":
    main(sys.argv[1:])
