"""One request's answer in the making, between the thread that generates it and the event loop that sends it.

Owns the hand-over: a queue without a lock, and one wake-up of the loop for all the text that it has not yet seen. Does
not own generating (`slm_onnx.worker`) nor the wire.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from slm_onnx.answer import AnswerReader, ToolCall
from slm_onnx.genai import Generator, Sampling

Outcome = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How an answer ended."""

    outcome: Outcome
    tool_calls: Sequence[ToolCall] = ()


@dataclass(kw_only=True, eq=False)
class Generation:
    """A request that was accepted. Made on the event loop; `push` and `finish` are called by the generating thread.

    Times are on the monotonic clock; `completion_tokens` counts the end-of-turn token too.
    """

    route: str
    prompt: Sequence[int]
    max_new_tokens: int
    sampling: Sampling
    reader: AnswerReader
    created_at: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    completion_tokens: int = 0
    cancelled: bool = False

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._texts: deque[str] = deque()
        self._finished: Finished | None = None
        self._wake_is_due = False
        self._generator: Generator | None = None
        self._generator_lock = threading.Lock()

    @property
    def finished(self) -> Finished:
        """How it ended; only once `texts` has come to its end."""
        assert self._finished is not None
        return self._finished

    async def texts(self) -> AsyncIterator[str]:
        """The text as it comes; all that has come since the last time at once, so a slow reader is not slowed more."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            ended = self._finished is not None
            if text := "".join(self._texts.popleft() for _ in range(len(self._texts))):
                yield text
            if ended:
                return

    def push(self, text: str) -> None:
        """Hand text over to the event loop."""
        self._texts.append(text)
        self._wake()

    def finish(self, finished: Finished) -> None:
        """Say that no more text comes."""
        self._finished = finished
        self._wake()

    def cancel(self) -> None:
        """Nobody waits for the answer any more: stop, at once and even amid the prefill. From any thread."""
        self.cancelled = True
        with self._generator_lock:
            if self._generator is not None:
                self._generator.terminate()

    def attach(self, generator: Generator | None) -> None:
        """Name the generator that a cancellation has to end."""
        with self._generator_lock:
            self._generator = generator
            if generator is not None and self.cancelled:
                generator.terminate()

    def _wake(self) -> None:
        if self._wake_is_due:
            return
        self._wake_is_due = True
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        self._wake_is_due = False
        self._arrived.set()
