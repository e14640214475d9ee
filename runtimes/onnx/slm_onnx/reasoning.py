"""`/reasoning`: a prompt and the kind of task it is, answered whole."""

import time

from fastapi import APIRouter, Request

from slm_onnx.answer import AnswerReader
from slm_onnx.api_errors import ApiError
from slm_onnx.chat import CUT_OFF, FAILED
from slm_onnx.genai import Sampling
from slm_onnx.generation import Generation
from slm_onnx.prompting import task_messages
from slm_onnx.schemas import ReasoningAnswer, ReasoningRequest
from slm_onnx.wire import watching
from slm_onnx.worker import Worker


def router(worker: Worker) -> APIRouter:
    """The route of one worker's model."""
    routes = APIRouter()

    @routes.post("/reasoning")
    async def reasoning(body: ReasoningRequest, request: Request) -> ReasoningAnswer:  # pyright: ignore[reportUnusedFunction]
        generation = await _generation(body, worker)
        worker.submit(generation)
        async with watching(request.receive, lambda: worker.cancel(generation)):
            text = "".join([part async for part in generation.texts()])
        _raise_on_failure(generation)
        return ReasoningAnswer(
            generated_text=text,
            task_type=body.task_type,
            inference_time=time.monotonic() - generation.created_at,
            model=worker.settings.model_name,
            prompt_tokens=len(generation.prompt),
            completion_tokens=generation.completion_tokens,
        )

    return routes


async def _generation(body: ReasoningRequest, worker: Worker) -> Generation:
    created_at = time.monotonic()
    prompt = await worker.encode(task_messages(body.prompt, body.task_type), field="prompt")
    return Generation(
        route="reasoning",
        prompt=prompt,
        max_new_tokens=min(body.max_length, worker.max_length - len(prompt)),
        sampling=Sampling(temperature=body.temperature),
        reader=AnswerReader(stops=[], functions=(), tokens=worker.tool_tokens),
        created_at=created_at,
    )


def _raise_on_failure(generation: Generation) -> None:
    if generation.finished.outcome == "error":
        raise ApiError(500, FAILED)
    if generation.finished.outcome == "cancelled":
        raise ApiError(503, CUT_OFF)
