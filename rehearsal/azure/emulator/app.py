"""The emulator's one web application: which service a request is for, and the faults' endpoint.

Owns the lock that makes requests follow each other, and the log line of each (method, path and status; never a body).
"""

import re
import sys
import time
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rehearsal.azure.emulator.arm import Arm
from rehearsal.azure.emulator.entra import Entra
from rehearsal.azure.emulator.errors import ArmError
from rehearsal.azure.emulator.faults import fault
from rehearsal.azure.emulator.http import Answer, Call, refusal
from rehearsal.azure.emulator.ids import parse
from rehearsal.azure.emulator.secrets import HOST_SUFFIX, Secrets
from rehearsal.azure.emulator.world import World

_TOKEN = re.compile(r"/[^/]+/oauth2/v2\.0/token")
_IN_TURN_SECONDS = 0.2
_METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"]


class Emulator:
    """All services in front of one world."""

    def __init__(self, world: World, arm: Arm, entra: Entra, secrets: Secrets) -> None:
        self._world = world
        self._arm = arm
        self._entra = entra
        self._secrets = secrets

    def application(self) -> Starlette:
        """The application to serve."""
        return Starlette(routes=[Route("/{path:path}", self._endpoint, methods=_METHODS)])

    async def _endpoint(self, request: Request) -> Response:
        call = Call(
            method=request.method,
            host=request.headers.get("host", ""),
            path=request.url.path,
            query=dict(request.query_params),
            headers=dict(request.headers),
            body=await request.body(),
            is_loopback=request.client is not None and request.client.host == "127.0.0.1",
        )
        answer = await run_in_threadpool(self.answer, call)
        print(f"{call.method} {call.host} {call.path} {int(answer.status)}", flush=True)
        headers = dict(answer.headers)
        if answer.body is None:
            return Response(status_code=answer.status, headers=headers)
        if isinstance(answer.body, str):
            return PlainTextResponse(answer.body, answer.status, headers)
        return JSONResponse(answer.body, answer.status, headers)

    def answer(self, call: Call) -> Answer:
        """Carry out one request; requests of all threads follow each other."""
        try:
            return self._in_turn(call) if self._takes_turns(call) else self._locked(call)
        except ArmError as error:
            return refusal(error)
        except Exception as error:
            # The type alone: a message could hold a part of the request.
            print(f"emulator: {type(error).__name__} in {call.method} {call.path}", file=sys.stderr, flush=True)
            raise

    def _locked(self, call: Call) -> Answer:
        with self._world.lock:
            self._world.settle()
            return self._dispatch(call)

    def _takes_turns(self, call: Call) -> bool:
        return call.method == "PUT" and "/federatedidentitycredentials/" in call.path.lower()

    def _in_turn(self, call: Call) -> Answer:
        """A write that takes a while, during which its siblings' writes are refused, as Azure does."""
        wanted = parse(call.path)
        with self._world.lock:
            self._world.begin_in_turn(wanted)
        try:
            time.sleep(_IN_TURN_SECONDS * self._world.settings.delay_factor)
            return self._locked(call)
        finally:
            with self._world.lock:
                self._world.end_in_turn(wanted)

    def _dispatch(self, call: Call) -> Answer:
        if call.host.partition(":")[0].endswith(HOST_SUFFIX):
            return self._secrets.answer(call)
        if call.path == "/_faults":
            return self._faults(call)
        if call.path.startswith("/_runs/") and call.method == "GET":
            return Answer(200, self._arm.run_log(call.path.removeprefix("/_runs/")))
        if _TOKEN.fullmatch(call.path) and call.method == "POST":
            return self._entra.answer(call)
        return self._arm.answer(call)

    def _faults(self, call: Call) -> Answer:
        if not call.is_loopback:
            raise ArmError(403, "Forbidden", "Faults can only be asked for on this machine's loopback.")
        faults: list[dict[str, Any]] = self._world.state.faults
        if call.method == "POST":
            faults.append(fault(call.json()))
        elif call.method == "DELETE":
            faults.clear()
        self._world.save()
        return Answer(200, {"value": faults})
