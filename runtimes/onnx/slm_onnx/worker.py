"""The one thread that owns the model: loads it, and generates one answer after the other.

Owns the queue of requests that wait, and the server's state. Does not own what a request looks like on the wire.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

from slm_onnx.answer import TOOL_CALL_CLOSE, TOOL_CALL_OPEN, ToolTokens
from slm_onnx.api_errors import ApiError, unavailable
from slm_onnx.folder import FolderError, ModelFolder
from slm_onnx.genai import GenaiError, Generator, Model, Tokenizer
from slm_onnx.generation import Finished, Generation, Outcome
from slm_onnx.metrics import Metrics
from slm_onnx.settings import ServerSettings

log = logging.getLogger("slm_onnx")


class State(StrEnum):
    """What the server can do now."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Worker:
    """The model and those who wait for it.

    `on_failure` is called, in the worker's thread, if the model cannot be loaded or the thread ends by a mistake.
    """

    def __init__(self, settings: ServerSettings, on_failure: Callable[[str], None]) -> None:
        self.settings = settings
        self.state = State.LOADING
        self.folder: ModelFolder | None = None
        self.metrics = Metrics(
            model=settings.model_name,
            fixture=lambda: self.folder is not None and self.folder.fixture,
            waiting=lambda: len(self._waiting),
        )
        self.tool_tokens = ToolTokens(-1, -1)
        self._on_failure = on_failure
        self._waiting: deque[Generation] = deque()
        self._running: Generation | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name="model", daemon=True)
        # The library allows a tokenizer one thread, and encoding a long prompt on the event loop would hold up streams.
        self._encoder = ThreadPoolExecutor(1, "tokenizer")
        self._request_tokenizer: Tokenizer | None = None

    # --- from the event loop

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread does its work."""
        return self._thread.is_alive() and self.state is not State.FAILED

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        with self._changed:
            return self._running is None and not self._waiting

    @property
    def max_length(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return min(self.settings.max_length, self._loaded().context_length)

    def refuse_other_model(self, name: str | None) -> None:
        """Raises ApiError, 404, if the caller names a model that is not the one that is served."""
        served = self.settings.model_name
        if name is not None and name != served:
            message = f"The model `{name}` does not exist: this server serves `{served}`"
            raise ApiError(404, message, code="model_not_found", param="model")

    async def encode(self, messages: Sequence[dict[str, Any]], *, field: str) -> list[int]:
        """The tokens of a conversation, which the request's `field` holds.

        Raises:
            ApiError: 503 while the server cannot answer; 400 for a prompt that leaves no room for an answer.
        """
        self._refuse_unless_ready()
        tokens = await asyncio.get_running_loop().run_in_executor(self._encoder, self._encode, messages)
        if len(tokens) >= self.max_length:
            raise ApiError(
                400,
                f"This model's maximum context length is {self.max_length} tokens, prompt and answer together. "
                f"The prompt has {len(tokens)} tokens: shorten it to at most {self.max_length - 1}",
                code="context_length_exceeded",
                param=field,
            )
        return tokens

    def submit(self, generation: Generation) -> None:
        """Take a request on.

        Raises:
            ApiError: 503 while the server cannot answer, or if too many wait.
        """
        self._refuse_unless_ready()
        with self._changed:
            if len(self._waiting) + (self._running is not None) > self.settings.max_queue:
                self.metrics.refused("queue_full")
                raise unavailable("The server is busy and its queue is full. Try again later", "queue_full")
            self._waiting.append(generation)
            self.metrics.accepted()
            self._changed.notify()

    def cancel(self, generation: Generation) -> None:
        """Give a request up: one that waits is forgotten, one that runs is stopped."""
        with self._changed:
            waited = generation in self._waiting
            if waited:
                self._waiting.remove(generation)
        generation.cancel()
        if waited:
            self._finish(generation, Finished(outcome="cancelled"))

    def drain(self) -> None:
        """Take nothing new on; what was accepted is answered."""
        if self.state is not State.FAILED:
            self.state = State.DRAINING

    def cancel_all(self) -> None:
        """Give up every request, waiting or running."""
        with self._changed:
            left = [*self._waiting, *([self._running] if self._running else [])]
        for generation in left:
            self.cancel(generation)

    def stop(self) -> None:
        """Give everything up and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.cancel_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._encoder.shutdown()

    # --- in the worker's thread

    def _main(self) -> None:
        try:
            model, tokenizer = self._load()
        except (FolderError, GenaiError) as error:
            self._fail(str(error))
            return
        try:
            while (generation := self._next()) is not None:
                self._answer(model, tokenizer, generation)
        except Exception:
            log.exception("The model's thread ended by a mistake")
            self._fail("The model's thread ended by a mistake")

    def _load(self) -> tuple[Model, Tokenizer]:
        started = time.monotonic()
        self.folder = ModelFolder.read(self.settings.model_path)
        model = Model(self.settings.model_path, self.settings.threads)
        tokenizer = model.tokenizer()
        self._request_tokenizer = model.tokenizer()
        self.tool_tokens = ToolTokens(tokenizer.token_id(TOOL_CALL_OPEN), tokenizer.token_id(TOOL_CALL_CLOSE))
        if self.state is State.LOADING:
            self.state = State.READY
        kind = " (a fixture: it knows a few prompts by heart)" if self.folder.fixture else ""
        log.info("%s%s is ready after %.1f s", self.settings.model_name, kind, time.monotonic() - started)
        return model, tokenizer

    def _fail(self, message: str) -> None:
        self.state = State.FAILED
        self._on_failure(message)

    def _next(self) -> Generation | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _answer(self, model: Model, tokenizer: Tokenizer, generation: Generation) -> None:
        maximum = len(generation.prompt) + generation.max_new_tokens
        try:
            generator = model.generator(max_length=maximum, sampling=generation.sampling)
        except GenaiError:
            log.exception("A generation could not begin")
            self._finish(generation, Finished(outcome="error"))
            return
        try:
            generation.attach(generator)
            finished = self._generate(generator, tokenizer, generation)
        finally:
            generation.attach(None)
            generator.close()
        self._finish(generation, finished)

    def _generate(self, generator: Generator, tokenizer: Tokenizer, generation: Generation) -> Finished:
        outcome: Outcome
        try:
            generator.append(generation.prompt)
            outcome = self._tokens(generator, tokenizer, generation)
        except GenaiError:
            outcome = "cancelled" if generation.cancelled else "error"
            if outcome == "error":
                log.exception("A generation failed")
        if rest := generation.reader.finish():
            generation.push(rest)
        return Finished(outcome=outcome, tool_calls=generation.reader.tool_calls)

    def _tokens(self, generator: Generator, tokenizer: Tokenizer, generation: Generation) -> Outcome:
        """The loop itself."""
        end_tokens, reader, stream = self._loaded().end_tokens, generation.reader, tokenizer.stream()
        try:
            while generation.completion_tokens < generation.max_new_tokens:
                token = generator.next_token()
                generation.completion_tokens += 1
                if generation.first_token_at is None:
                    generation.first_token_at = time.monotonic()
                if token in end_tokens:
                    return "stop"
                if text := reader.feed(token, stream.decode(token)):
                    generation.push(text)
                if reader.stopped:
                    return "stop"
                if generation.cancelled:
                    return "cancelled"
            return "length"
        finally:
            stream.close()

    def _finish(self, generation: Generation, finished: Finished) -> None:
        self.metrics.finished(generation, finished, time.monotonic())
        generation.finish(finished)

    # --- both

    def _encode(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        assert self._request_tokenizer is not None
        return self._request_tokenizer.encode(self._request_tokenizer.chat(messages))

    def _loaded(self) -> ModelFolder:
        assert self.folder is not None
        return self.folder

    def _refuse_unless_ready(self) -> None:
        if self.state is not State.READY:
            self.metrics.refused(self.state)
            raise unavailable(f"The server is {self.state}. Try again later", f"server_{self.state}")
