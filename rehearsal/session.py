"""One rehearsal, from nothing to an answer and back: what is started in which order, and how it is found again.

Owns the state folder: `session.json` says what runs, and each stack and depth has a folder of its own beside it. Does
not own how a part works: the engine, the emulator, the node and the control plane each have a module of their own.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from rehearsal import ask, parts
from rehearsal.cluster import Cluster, RealCluster, SimulatedCluster
from rehearsal.console import Steps
from rehearsal.control.kube import Kube
from rehearsal.control.plane import FIELD_MANAGER
from rehearsal.engine import Engine
from rehearsal.errors import RehearsalError
from rehearsal.front import Front
from rehearsal.language.launchers import write_launchers
from rehearsal.lock import working
from rehearsal.processes import Processes
from rehearsal.toolchain import CONTROL, ENGINE, NODE, Toolchain

EXAMPLE = (
    "A train travels 240 km in 3 hours. If it increases its speed by 20 km/h, how long would the same journey take?"
)
NAMESPACE = "slm"


class Depth(StrEnum):
    """How much of the cluster is real."""

    full = "full"
    control = "control"


@dataclass(frozen=True)
class Running:
    """What `session.json` says: the rehearsal that runs, or that a command was cut off from bringing up."""

    stack: str
    depth: Depth
    endpoint: str | None = None
    servers: Mapping[str, Any] | None = None


class Session:
    """The rehearsal of a checkout."""

    def __init__(self, *, checkout: Path, cache: Path, state: Path, steps: Steps) -> None:
        self._checkout = checkout
        self._cache = cache
        self._state = state
        self._steps = steps
        self._toolchain = Toolchain(cache, steps.say)

    def up(self, stack: str, depth: Depth, question: str | None) -> None:
        """Bring a stack up, or up to date, and ask it. Every step finds what an earlier run left: it can be repeated.

        Raises:
            RehearsalError: if a step fails; what runs by then goes on running for the next try, or for `down`.
        """
        if depth is Depth.full and os.geteuid() != 0:
            raise RehearsalError(
                "A rehearsal with a real node needs root",
                "Run it as root, or add `--depth control` to simulate the node",
            )
        with working(self._state, f"rehearse {stack}"):
            self._refuse_another(stack, depth)
            with self._steps.step("tools"):
                self._have_tools(depth)
            self._remember(Running(stack, depth))
            rehearsal = _Rehearsal(self._checkout, self._cache, self._state, self._toolchain, stack, depth)
            outputs = rehearsal.bring_up(self._steps)
            endpoint = rehearsal.publish(outputs)
            self._remember(Running(stack, depth, endpoint, outputs["servers"]))
            if endpoint is None:
                sys.stdout.write(
                    f"Every workload of {stack} is Ready. Every node and pod is simulated, so no model answered.\n"
                )
                return
            with self._steps.step("endpoint tests"):
                self._steps.say(rehearsal.test(endpoint))
            sys.stdout.write(rehearsal.answer(endpoint, question or EXAMPLE))

    def status(self) -> dict[str, Any]:
        """What runs, for people and scripts; every value is null where nothing does."""
        running = self._running()
        if running is None:
            keys = ("stack", "depth", "endpoint", "ca_file", "api_key_file", "kubeconfig")
            return dict.fromkeys(keys) | {"servers": {}, "parts": {}, "pulumi_env": {}}
        rehearsal = self._rehearsal(running)
        return {
            "stack": running.stack,
            "depth": running.depth.value,
            "endpoint": running.endpoint,
            "ca_file": str(self._cache / "ca" / "root.crt") if running.endpoint else None,
            "api_key_file": str(rehearsal.api_key_file),
            "kubeconfig": str(rehearsal.cluster.kubeconfig),
            "servers": dict(running.servers or {}),
            "parts": rehearsal.parts(),
            "pulumi_env": rehearsal.engine.variables,
        }

    def logs(self, name: str | None, lines: int) -> Iterator[tuple[str, str]]:
        """The last lines of pods' and parts' logs whose names begin with `name`."""
        running = self._running()
        if running is None:
            raise RehearsalError("Nothing is running", "Start with `./scripts/rehearse dev`")
        rehearsal = self._rehearsal(running)
        found = [entry for entry in rehearsal.logs(lines) if name is None or entry[0].split("/")[-1].startswith(name)]
        if not found:
            raise RehearsalError(f"Nothing that is called `{name}` has a log", "Leave the name out to see them all")
        yield from found

    def down(self, *, wipe: bool) -> None:
        """End everything, also what another command is bringing up right now; keep the state unless told."""
        if not self._state.exists():
            return
        with working(self._state, "rehearse down", take_over=True):
            if (running := self._running()) is not None:
                with self._steps.step(f"ending {running.stack}"):
                    self._rehearsal(running).end()
                (self._state / "session.json").unlink()
            if wipe:
                for folder in self._state.iterdir():
                    if folder.is_dir():
                        shutil.rmtree(folder)

    def _rehearsal(self, running: Running) -> "_Rehearsal":
        return _Rehearsal(self._checkout, self._cache, self._state, self._toolchain, running.stack, running.depth)

    def _refuse_another(self, stack: str, depth: Depth) -> None:
        running = self._running()
        if running is not None and (running.stack, running.depth) != (stack, depth):
            raise RehearsalError(
                f"{running.stack} is being rehearsed here already, in {running.depth} depth",
                "End it with `./scripts/rehearse down`; its state is kept",
            )

    def _have_tools(self, depth: Depth) -> None:
        if depth is Depth.full:
            self._toolchain.ensure_packages()
        self._toolchain.ensure((*ENGINE, *(NODE if depth is Depth.full else CONTROL)))

    def _running(self) -> Running | None:
        try:
            found = json.loads((self._state / "session.json").read_text())
            return Running(found["stack"], Depth(found["depth"]), found["endpoint"], found["servers"])
        except (OSError, ValueError, KeyError):
            return None

    def _remember(self, running: Running) -> None:
        file = self._state / "session.json"
        unfinished = file.with_suffix(".new")
        unfinished.write_text(json.dumps(running.__dict__, default=dict))
        unfinished.replace(file)


class _Rehearsal:
    """One stack at one depth, in a folder of its own."""

    def __init__(
        self, checkout: Path, cache: Path, state: Path, toolchain: Toolchain, stack: str, depth: Depth
    ) -> None:
        self._checkout = checkout
        self._cache = cache
        self._toolchain = toolchain
        self._stack = stack
        self._depth = depth
        self._folder = state / (stack if depth is Depth.full else f"{stack}-{depth}")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._processes = Processes(self._folder)
        self._azure = parts.Azure(self._folder / "azure", self._processes)
        self.cluster = self._cluster()
        self.engine = Engine(
            pulumi=toolchain.tool("pulumi"),
            folder=self._folder / "pulumi",
            checkout=checkout,
            stack=stack,
            environment={
                "PATH": ":".join(
                    [
                        str(self._folder / "bin"),
                        str(checkout / ".venv/bin"),
                        str(cache / "bin"),
                        os.environ.get("PATH", ""),
                    ]
                ),
                **self._azure.variables,
            },
        )

    @property
    def api_key_file(self) -> Path:
        """The file with the key that this rehearsal's gateway was given."""
        return self._folder / "secrets" / "api-key"

    def bring_up(self, steps: Steps) -> dict[str, Any]:
        """From nothing, or from whatever runs, to a stack that is up to date; the stack's outputs."""
        write_launchers(self._folder / "bin", Path(sys.executable), self._checkout)
        with steps.step("cluster"):
            self.cluster.start()
        with steps.step("emulator of Azure"):
            # After the cluster, whose public key tells its service accounts' tokens from others.
            self._azure.start(self.cluster)
        if self.cluster.registry is not None:
            with steps.step("images"):
                parts.have_images(self._checkout, self._cache, self._toolchain, self.cluster.registry, steps.say)
        self._azure.start_controller(self.cluster)
        with steps.step("pulumi up"):
            self.engine.repair()
            self.engine.prepare({"slm:apiKeys": json.dumps({"default": self._api_key()})})
            self.engine.up(lambda line: None, self._folder / "logs" / "up.log")
        return self.engine.outputs()

    def publish(self, outputs: Mapping[str, Any]) -> str | None:
        """Serve the gateway on this machine, under the name that the stack gave it; None where no gateway runs."""
        if self.cluster.gateway_port is None:
            return None
        front = Front(
            port=parts.front_port(self._folder / "front-port", running=self._processes.alive("front")),
            gateway_port=self.cluster.gateway_port,
            public_name=str(outputs["endpoint"]).removeprefix("https://"),
            root_certificate=self._cache / "ca" / "root.crt",
            root_key=self._cache / "ca" / "root.key",
            storage=self._folder / "front",
        )
        parts.start_front(front, self._folder, self._toolchain.tool("caddy"), self._processes)
        return front.endpoint

    def test(self, endpoint: str) -> str:
        """Run the post-deploy suite; its closing line.

        Raises:
            RehearsalError: if a test fails.
        """
        return parts.run_endpoint_tests(self._checkout, self._asking(endpoint), self._folder / "logs" / "tests.log")

    def answer(self, endpoint: str, question: str) -> str:
        """Stream the model's answer to stdout; then what a user needs to go on."""
        ask.stream(endpoint, self._certificate, self.api_key_file.read_text(), question, sys.stdout)
        return ask.how_to_go_on(endpoint, self._certificate, self.api_key_file)

    def parts(self) -> dict[str, bool]:
        """Everything that runs for it."""
        own = {name: self._processes.alive(name) for name in self._processes.names()}
        return own | self.cluster.parts()

    def logs(self, lines: int) -> Iterator[tuple[str, str]]:
        """The last lines of each pod's and each part's log."""
        with suppress(httpx.HTTPError, OSError):
            kube = Kube(self.cluster.kubeconfig, FIELD_MANAGER)
            for pod in kube.list(f"/api/v1/namespaces/{NAMESPACE}/pods"):
                name = pod["metadata"]["name"]
                with suppress(httpx.HTTPError):
                    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/log"
                    yield f"pod/{name}", kube.text(path, tailLines=str(lines))
        for log in sorted(self._folder.glob("**/logs/*.log")):
            yield f"part/{log.stem}", "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    def end(self) -> None:
        """End every process; the folder stays."""
        self._processes.stop_all()
        self.cluster.stop()

    def _asking(self, endpoint: str) -> dict[str, str]:
        return {
            "SLM_ENDPOINT": endpoint,
            "SLM_API_KEY_FILE": str(self.api_key_file),
            "SLM_CA_FILE": str(self._certificate),
        }

    @property
    def _certificate(self) -> Path:
        return self._cache / "ca" / "root.crt"

    def _cluster(self) -> Cluster:
        names = (*ENGINE, *NODE)
        tools = {name: self._toolchain.tool(name) for name in names}
        if self._depth is Depth.control:
            return SimulatedCluster(self._folder / "cluster", tools)
        return RealCluster(self._folder / "node", self._cache, tools, self._azure.socket)

    def _api_key(self) -> str:
        """This rehearsal's key: made once, kept in a file that only its owner reads."""
        if not self.api_key_file.exists():
            self.api_key_file.parent.mkdir(mode=0o700, exist_ok=True)
            self.api_key_file.touch(mode=0o600)
            self.api_key_file.write_text(f"sk-{secrets.token_urlsafe(32)}")
        return self.api_key_file.read_text()
