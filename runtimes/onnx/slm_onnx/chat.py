"""`/v1/chat/completions`: OpenAI's chat API over the worker."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from slm_onnx.answer import AnswerReader, ToolCall
from slm_onnx.api_errors import error_body
from slm_onnx.genai import Sampling
from slm_onnx.generation import Generation
from slm_onnx.prompting import template_messages
from slm_onnx.schemas import ChatRequest
from slm_onnx.wire import DONE, EventStream, event, watching
from slm_onnx.worker import Worker

FAILED = "The model failed on this request; the server's log says why"
CUT_OFF = "The server was shut down before the answer was whole"


def router(worker: Worker) -> APIRouter:
    """The route of one worker's model."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        worker.refuse_other_model(body.model)
        generation = await _generation(body, worker)
        worker.submit(generation)
        answer = Answer(worker, generation)
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            return EventStream(answer.events(with_usage=usage), lambda: worker.cancel(generation))
        async with watching(request.receive, lambda: worker.cancel(generation)):
            return await answer.whole()

    return routes


@dataclass
class Answer:
    """One answer in OpenAI's shape."""

    worker: Worker
    generation: Generation
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> JSONResponse:
        """The answer once it is complete."""
        text = "".join([part async for part in self.generation.texts()])
        if (failure := self._failure()) is not None:
            return failure
        calls = [_tool_call(call) for call in self.generation.finished.tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason()}
        body = self._body("chat.completion", [choice])
        return JSONResponse(body | {"usage": self._usage()})

    async def events(self, *, with_usage: bool) -> AsyncIterator[bytes]:
        """The answer as it comes: the role, the text in parts, tool calls, how it ended, usage if it was asked for."""
        extra = {"usage": None} if with_usage else {}

        def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return event(self._body("chat.completion.chunk", [choice]) | extra)

        yield chunk({"role": "assistant", "content": ""})
        # Text chunks differ in their text alone: what surrounds it is written once.
        before, after = chunk({"content": ""}).split(b'"content":""')
        async for text in self.generation.texts():
            yield b'%s"content":%s%s' % (before, json.dumps(text, ensure_ascii=False).encode(), after)
        if (failure := self._failure()) is not None:
            yield b"data: " + bytes(failure.body) + b"\n\n"
            return
        if calls := self.generation.finished.tool_calls:
            yield chunk({"tool_calls": [{"index": at} | _tool_call(call) for at, call in enumerate(calls)]})
        end = chunk({}, self._finish_reason())
        if with_usage:
            end += event(self._body("chat.completion.chunk", []) | {"usage": self._usage()})
        yield end + DONE

    def _body(self, kind: str, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        folder = self.worker.folder
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.worker.settings.model_name,
            "system_fingerprint": folder.system_fingerprint if folder else None,
            "choices": choices,
        }

    def _finish_reason(self) -> str:
        finished = self.generation.finished
        return "tool_calls" if finished.tool_calls and finished.outcome == "stop" else finished.outcome

    def _failure(self) -> JSONResponse | None:
        messages = {"error": (500, FAILED), "cancelled": (503, CUT_OFF)}
        if (found := messages.get(self.generation.finished.outcome)) is None:
            return None
        status, message = found
        return JSONResponse(error_body(status, message), status)

    def _usage(self) -> dict[str, int]:
        prompt, completion = len(self.generation.prompt), self.generation.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _generation(body: ChatRequest, worker: Worker) -> Generation:
    created_at = time.monotonic()
    tools = body.offered_tools
    prompt = await worker.encode(template_messages(body.messages, tools), field="messages")
    room = worker.max_length - len(prompt)
    return Generation(
        route="chat",
        prompt=prompt,
        max_new_tokens=min(body.limit or room, room),
        # OpenAI's defaults.
        sampling=Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=body.seed,
        ),
        reader=AnswerReader(
            stops=body.stop or [], functions={tool.function.name for tool in tools}, tokens=worker.tool_tokens
        ),
        created_at=created_at,
    )


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
