"""`./scripts/rehearse`: the deployment on this machine. Owns the command line, not what happens behind it."""

import json
import signal
import sys
from typing import Annotated, Any

import typer

from rehearsal.console import Steps
from rehearsal.errors import RehearsalError
from rehearsal.paths import CHECKOUT, cache_dir, state_dir
from rehearsal.session import Depth, Session

STACKS = sorted(file.name.split(".")[1] for file in (CHECKOUT / "stacks").glob("Pulumi.*.yaml"))
EXIT_INTERRUPTED = 130


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run a stack's real deployment on this machine: no subscription, nothing outside this checkout and the cache. "
    "`./scripts/rehearse dev` ends with an answer from the model and keeps running until `./scripts/rehearse down`.",
)


def _session(steps: Steps | None = None) -> Session:
    return Session(checkout=CHECKOUT, cache=cache_dir(), state=state_dir(), steps=steps or Steps())


def _add_stack(stack: str) -> None:
    def rehearse(
        ask: Annotated[
            str | None, typer.Option(help="Ask the model this once it is up, instead of the example.")
        ] = None,
        depth: Annotated[
            Depth,
            typer.Option(help="`full` needs root and answers; `control` simulates every node and answers nothing."),
        ] = Depth.full,
        timings: Annotated[bool, typer.Option("--timings", help="Print a table of where the time went.")] = False,
    ) -> None:
        steps = Steps()
        try:
            _session(steps).up(stack, depth, ask)
        finally:
            if timings:
                steps.print_timings()

    app.command(name=stack, help=f"Bring the {stack} stack up (or up to date) and ask its model a question.")(rehearse)


for _stack in STACKS:
    _add_stack(_stack)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For a script to read.")] = False) -> None:
    """What runs, where it answers, and what it costs this machine."""
    session = _session()
    found = session.status()
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _print_status(found)
    if found["stack"] is None:
        raise typer.Exit(code=3)


@app.command()
def logs(
    name: Annotated[
        str | None, typer.Argument(help="A pod's or a part's name or its beginning; all without it.")
    ] = None,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines of each at most.")] = 40,
) -> None:
    """The last lines of the pods' and the rehearsal's own logs."""
    for title, text in _session().logs(name, lines):
        sys.stdout.write(f"==> {title} <==\n{text.rstrip()}\n\n")


@app.command()
def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Also forget the stack, its volumes and its key.")] = False,
) -> None:
    """End the rehearsal and all that it started. What was built stays in the cache, the stack's state in its folder."""
    _session().down(wipe=wipe)


def _print_status(found: dict[str, Any]) -> None:
    if found["stack"] is None:
        sys.stdout.write("Nothing is running. Start with: ./scripts/rehearse dev\n")
        return
    for key in ("stack", "depth", "endpoint", "ca_file", "api_key_file", "kubeconfig"):
        sys.stdout.write(f"{key:<14}{found[key] or '-'}\n")
    sys.stdout.write(f"{'servers':<14}{', '.join(found['servers']) or '-'}\n")
    for part, alive in found["parts"].items():
        sys.stdout.write(
            f"{'  ' + part:<24}{'running' if alive else 'ended: run `./scripts/rehearse ' + found['stack'] + '`'}\n"
        )


def main(arguments: list[str]) -> int:
    """Run a command: 0, 1 for a failure that was explained, 2 for a command that was typed wrong, 130 for Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _check_command(arguments)
        app(args=arguments, prog_name="rehearse")
    except RehearsalError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            sys.stderr.write(
                "Stopped. The same command goes on from here; `./scripts/rehearse down` ends everything.\n"
            )
        return end.code if isinstance(end.code, int) else 0
    return 0


def _check_command(arguments: list[str]) -> None:
    """A word that is neither a stack nor a command is answered with what there is."""
    words = [*STACKS, "status", "logs", "down"]
    if arguments and not arguments[0].startswith("-") and arguments[0] not in words:
        raise RehearsalError(
            f"There is no stack or command `{arguments[0]}`", f"Use one of {', '.join(words)}; `--help` explains them"
        )


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
