"""Refusals in OpenAI's error shape, as its clients read them."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

RETRY_AFTER_SECONDS = 5
"""Long enough for a short answer to end, short enough not to leave the server idle."""


class ApiError(Exception):
    """A request that is refused; `param` names the field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = error_body(status, message, code=code, param=param)


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """What OpenAI's API answers for an error of this status."""
    # A caller's own words may hold half a surrogate pair, which no answer can carry.
    message, param = _encodable(message), None if param is None else _encodable(param)
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def unavailable(message: str, code: str) -> ApiError:
    """A refusal that is over soon: the caller is told when to come back."""
    return ApiError(503, message, code=code, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def install(app: FastAPI) -> None:
    """Have every error of the application answered in this shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status, headers=error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """422 for a field, 400 for a body that is no JSON at all."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse(error_body(400, "The body is not valid JSON", code="invalid_json"), 400)
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ")
    return JSONResponse(error_body(422, f"{place}: {message}" if place else message, param=place or None), 422)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    code = "not_found" if error.status_code == 404 else None
    return JSONResponse(error_body(error.status_code, message, code=code), error.status_code, headers=error.headers)


async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse(error_body(500, "The server failed; its log says why"), 500)
