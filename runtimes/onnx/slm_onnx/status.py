"""What the server says of itself: health, the served model, metrics and a page for people."""

from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from slm_onnx.worker import State, Worker

FIXTURE = (
    "The weights are a fixture for rehearsals: a tiny model that knows the deployment guide's prompts by heart "
    "and nothing else."
)


def router(worker: Worker) -> APIRouter:
    """The routes of one worker."""
    routes = APIRouter()

    @routes.get("/health/live")
    async def live() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return JSONResponse({"status": "live" if worker.alive else "dead"}, 200 if worker.alive else 503)

    @routes.get("/health")
    @routes.get("/health/ready")
    async def ready() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        body = {"status": worker.state, "model": worker.settings.model_name}
        return JSONResponse(body, 200 if worker.state is State.READY else 503)

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return {"object": "list", "data": [model_entry(worker)]}

    @routes.get("/v1/models/{name}")
    async def model(name: str) -> Any:  # pyright: ignore[reportUnusedFunction]
        worker.refuse_other_model(name)
        return model_entry(worker)

    @routes.get("/metrics")
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(worker.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/")
    async def page() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(page_text(worker))

    return routes


def model_entry(worker: Worker) -> dict[str, Any]:
    """The served model as OpenAI lists models, and beside that whether its weights are a fixture."""
    folder = worker.folder
    return {
        "id": worker.settings.model_name,
        "object": "model",
        "created": folder.created if folder else 0,
        "owned_by": folder.owner if folder else "local",
        "fixture": bool(folder and folder.fixture),
        "max_model_len": worker.max_length if folder else worker.settings.max_length,
    }


def page_text(worker: Worker) -> str:
    """The page at `/`."""
    name = escape(worker.settings.model_name)
    note = f"<p><strong>{FIXTURE}</strong></p>" if worker.folder and worker.folder.fixture else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<h1>{name}</h1><p>onnxruntime-genai; the server is {worker.state}.</p>{note}"
        "<ul><li>POST /v1/chat/completions</li><li>GET /v1/models</li><li>POST /reasoning</li>"
        "<li>GET /health, /health/live, /health/ready</li><li>GET /metrics</li></ul></html>\n"
    )
