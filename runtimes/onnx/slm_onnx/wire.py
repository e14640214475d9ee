"""Answers on their way to a caller who may hang up: whole, or as server-sent events.

Owns the watch for a caller's going. Does not own what an answer says.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def watching(receive: Receive, gone: Callable[[], None]) -> AsyncGenerator[None]:
    """Call `gone` if the caller hangs up, or if the block is left before its end."""
    watch = asyncio.create_task(_wait_for_hang_up(receive, gone))
    try:
        yield
    except BaseException:
        gone()
        raise
    finally:
        watch.cancel()


async def _wait_for_hang_up(receive: Receive, gone: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event with JSON as its data."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response):
    """A stream of events, sent as they come; `gone` is called if the caller hangs up.

    Starlette's own streaming response starts a task group for each request and looks at every part twice: at a fraction
    of a millisecond for each token that counts.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], gone: Callable[[], None]) -> None:
        self.status_code = 200
        self.background: BackgroundTask | None = None
        self._events = events
        self._gone = gone
        # A proxy that collects a stream before it passes it on would undo it.
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream to its end."""
        async with watching(receive, self._gone):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self._events:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
