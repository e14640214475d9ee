"""The Pulumi engine as the rehearsal runs it: the user's own program, a state of its own.

Owns the folder with Pulumi's home, backend, passphrase and the copy of the stack's file that the secrets are written
to, so that neither the checkout nor `~/.pulumi` is touched. Does not own the program or the plugins' launchers.
"""

import hashlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.processes import end_session

Line = Callable[[str], None]
PROJECT = "slm"


class Engine:
    """One stack of the program in `checkout`, with everything that Pulumi writes kept in `folder`."""

    def __init__(
        self, *, pulumi: Path, folder: Path, checkout: Path, stack: str, environment: Mapping[str, str]
    ) -> None:
        self._pulumi = pulumi
        self._folder = folder
        self._checkout = checkout
        self._stack = stack
        self._environment = dict(environment)

    @property
    def stack_file(self) -> Path:
        """The rehearsal's copy of the stack's file; secrets and their salt are only ever written to this one."""
        return self._folder / f"Pulumi.{self._stack}.yaml"

    @property
    def variables(self) -> dict[str, str]:
        """What a plain `pulumi` needs in its environment to work against this rehearsal. Holds no secret."""
        return {
            **self._environment,
            "PULUMI_HOME": str(self._folder / "home"),
            "PULUMI_BACKEND_URL": (self._folder / "backend").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._folder / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def prepare(self, config_secrets: Mapping[str, str]) -> None:
        """Make the stack with its configuration, or bring an existing one up to date with the checkout's stack file."""
        self._make_folders()
        if not self._exists():
            self._init()
        source = (self._checkout / "stacks" / f"Pulumi.{self._stack}.yaml").read_text()
        made_from = f"# made from {hashlib.sha256(f'{source}{sorted(config_secrets.items())}'.encode()).hexdigest()}\n"
        if self.stack_file.exists() and self.stack_file.read_text().startswith(made_from):
            return
        unfinished = self.stack_file.with_suffix(".new.yaml")
        unfinished.write_text(f"{self._salt()}\n{source}")
        for key, value in config_secrets.items():
            # Through standard input: arguments are readable by every user of the machine.
            flags = ("-s", self._stack, "--config-file", str(unfinished))
            self._run("config", "set", "--secret", key, *flags, stdin=value)
        unfinished.write_text(made_from + unfinished.read_text())
        unfinished.replace(self.stack_file)

    def up(self, line: Line, log: Path) -> None:
        """Bring the stack to what the program says.

        Raises:
            RehearsalError: with the engine's first error message, if it fails.
        """
        self._stream(["up", "--yes", "--skip-preview", "--suppress-outputs", *self._configured], line, log)

    def repair(self) -> None:
        """Make a stack usable again whose engine was killed: remove its lock and forget operations that never ended."""
        if list((self._folder / "backend").glob(".pulumi/locks/**/*.json")):
            self._run("cancel", "--yes", self._stack)
        if not self._exists():
            return
        state = json.loads(self._run("stack", "export", "-s", self._stack))
        if state["deployment"].pop("pending_operations", None):
            self._run("stack", "import", "-s", self._stack, stdin=json.dumps(state))

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; secret ones are masked."""
        return json.loads(self._run("stack", "output", "--json", "-s", self._stack))

    @property
    def _configured(self) -> tuple[str, ...]:
        return ("-s", self._stack, "--config-file", str(self.stack_file))

    def _make_folders(self) -> None:
        for name in ("home", "backend"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        passphrase = self._folder / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_text(secrets.token_urlsafe(32))

    def _exists(self) -> bool:
        found = (self._folder / "backend").glob(f".pulumi/stacks/{PROJECT}/{self._stack}.json*")
        return any(file.suffix != ".bak" for file in found)

    def _init(self) -> None:
        """Make the stack from an empty project of the same name: `stack init` writes the secrets' salt into the project
        that it is run in, and the checkout is not ours to write to."""
        project = self._folder / "project"
        project.mkdir(exist_ok=True)
        (project / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        self._salted_file.unlink(missing_ok=True)
        self._run("stack", "init", self._stack, "--secrets-provider", "passphrase", "--no-select", cwd=project)

    @property
    def _salted_file(self) -> Path:
        return self._folder / "project" / f"Pulumi.{self._stack}.yaml"

    def _salt(self) -> str:
        """The line that ties the stack's secrets to its passphrase."""
        lines = self._salted_file.read_text().splitlines()
        return next(line for line in lines if line.startswith("encryptionsalt:"))

    def _run(self, *arguments: str, stdin: str | None = None, cwd: Path | None = None) -> str:
        """A short command's standard output."""
        done = subprocess.run(
            [self._pulumi, *arguments, "--non-interactive", "--color", "never"],
            cwd=cwd or self._checkout,
            env={**os.environ, **self.variables},
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RehearsalError(
                f"`pulumi {' '.join(arguments[:2])}` failed: {first_error(done.stderr.splitlines())}",
                "Run `./scripts/rehearse down` and try again",
            )
        return done.stdout

    def _stream(self, arguments: Sequence[str], line: Line, log: Path) -> None:
        """A long command, its output to the log and line by line to the caller."""
        log.parent.mkdir(parents=True, exist_ok=True)
        seen: list[str] = []
        with (
            log.open("w") as output,
            subprocess.Popen(
                [self._pulumi, *arguments, "--non-interactive", "--color", "never"],
                cwd=self._checkout,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                # A session of its own: it is interrupted once, by us, and what it started is found if it is killed.
                start_new_session=True,
            ) as process,
        ):
            try:
                for text in process.stdout or ():
                    output.write(text)
                    output.flush()
                    seen.append(text.rstrip())
                    line(text.rstrip())
                process.wait()
            except KeyboardInterrupt:
                # It finishes the step that it is in and writes its state.
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
            finally:
                end_session(process.pid)  # its plugins end with it, unless it was killed
        if process.returncode < 0:
            raise RehearsalError(
                f"The engine was ended by {signal.Signals(-process.returncode).name}",
                "Run the same command again: it repairs the stack and goes on",
            )
        if process.returncode:
            raise RehearsalError(
                f"`pulumi {arguments[0]}` failed: {first_error(seen)}",
                f"The whole output is in {log}; mend the cause and run the same command again",
            )


def first_error(lines: Sequence[str]) -> str:
    """The first message that says what went wrong; the last line where none is marked as an error."""
    messages = [text.strip() for text in lines if text.strip()]
    for message in messages:
        if message.startswith("error:"):
            return message.removeprefix("error:").strip()
    return messages[-1] if messages else "it printed nothing"
