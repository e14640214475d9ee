"""The application: a worker's routes, with every error in OpenAI's shape."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from slm_onnx import api_errors, chat, reasoning, status
from slm_onnx.worker import Worker


def create_app(worker: Worker) -> FastAPI:
    """The routes of `worker`, which runs for as long as the application does."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        worker.start()
        yield
        worker.stop()

    app = FastAPI(title="slm-onnx", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    for module in (chat, reasoning, status):
        app.include_router(module.router(worker))
    api_errors.install(app)
    return app
