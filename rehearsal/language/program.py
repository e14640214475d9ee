"""Runs one Pulumi program the way the real language host's executor does.

Needs the `pulumi` package alone, so that it can also be started as a plain file by another interpreter: then the
request comes through standard input (it holds the configuration, secrets included, which argument lists would show
to every user of the machine). A failure is shown once, through the engine's log; the exit status only says that.
"""

import asyncio
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pulumi
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import language_pb2

SHOWN = 32
"""Exit status of a program that failed and whose failure has been shown; the real executor's too."""


def run(request: language_pb2.RunRequest, engine_address: str) -> int:
    """Run the program and show what goes wrong. Returns 0, `SHOWN`, or what the program gave to `sys.exit`."""
    program = Path(request.info.program_directory) / request.info.entry_point
    os.chdir(request.pwd)
    sys.path.insert(0, str(program if program.is_dir() else program.parent))
    sys.argv = [str(program), *request.args]
    reset_options(
        project=request.project,
        stack=request.stack,
        root_directory=request.info.root_directory,
        parallel=request.parallel,
        engine_address=engine_address,
        monitor_address=request.monitor_address,
        preview=request.dryRun,
        organization=request.organization or "organization",
    )
    set_all_config(dict(request.config), list(request.configSecretKeys))
    try:
        _run_in_loop(program, max(request.parallel, 1))
    except SystemExit as exit_request:
        return _status(exit_request.code)
    except BaseException as error:
        return _show(error, program)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _run_in_loop(program: Path, parallel: int) -> None:
    # What is left unfinished when a program fails is not worth a word: the failure itself is shown.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    # Each resource in flight holds a thread while the engine works on it; outputs may need some more.
    loop.set_default_executor(ThreadPoolExecutor(max_workers=parallel * 4))

    def execute() -> None:
        runpy.run_path(str(program), run_name="__main__")

    try:
        loop.run_until_complete(run_in_stack(execute))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    pulumi.log.error(str(code))
    return SHOWN


def _show(error: BaseException, program: Path) -> int:
    if isinstance(error, grpc.RpcError) and _monitor_is_gone(error):
        return SHOWN  # the engine ends the program; it knows why and says so itself
    if isinstance(error, pulumi.RunError):
        pulumi.log.error(str(error))
    else:
        pulumi.log.error("Program failed with an unhandled exception:\n" + _own_traceback(error, program))
    return SHOWN


def _monitor_is_gone(error: grpc.RpcError) -> bool:
    code = getattr(error, "code", None)
    return callable(code) and code() == grpc.StatusCode.UNAVAILABLE


def _own_traceback(error: BaseException, program: Path) -> str:
    """The traceback from the program's first line on; how it was started is of no interest to its author."""
    root = str(program.resolve())
    frames = traceback.extract_tb(error.__traceback__)
    start = next((index for index, frame in enumerate(frames) if _within(frame.filename, root)), None)
    lines = [] if start is None else ["Traceback (most recent call last):\n", *traceback.format_list(frames[start:])]
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def _within(filename: str, root: str) -> bool:
    if filename.startswith("<"):  # of Python itself, e.g. <frozen runpy>
        return False
    path = os.path.realpath(filename)
    return path == root or (path.startswith(root + os.sep) and "site-packages" not in path)


def main() -> int:
    """Run the request on standard input; the engine's address is the only argument."""
    return run(language_pb2.RunRequest.FromString(sys.stdin.buffer.read()), sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
