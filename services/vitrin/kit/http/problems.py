"""Errors as `application/problem+json` (RFC 9457) with a stable code, the field and what to do."""

import http
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vitrin.kit.errors import FieldError, Malformed, Unavailable, VitrinError
from vitrin.kit.logs import get_logger

_log = get_logger("vitrin.http")
MEDIA_TYPE = "application/problem+json"
ERRORS_MAX = 100
"""Field errors named in one answer; the rest is counted."""

_HTTP_FIXES = {
    404: "Check the path against /openapi.json.",
    405: "Check the method against /openapi.json.",
}
_PYDANTIC_CODES = {
    "missing": "missing",
    "extra_forbidden": "field_unknown",
    "json_invalid": "json_invalid",
}
_PYDANTIC_FIXES = {
    "missing": "Send this field.",
    "extra_forbidden": "Remove this field, or check its spelling.",
    "json_invalid": "Send a JSON document with the header 'Content-Type: application/json'.",
}


def problem(error: VitrinError, request_id: str) -> dict[str, object]:
    document: dict[str, object] = {
        **error.extra,
        "type": f"urn:vitrin:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "fix": error.fix,
        "request_id": request_id,
    }
    if error.field is not None:
        document["field"] = error.field
    if error.errors:
        document["errors"] = [
            {"field": one.field, "code": one.code, "message": one.message, "fix": one.fix}
            for one in error.errors[:ERRORS_MAX]
        ]
        if len(error.errors) > ERRORS_MAX:
            document["errors_total"] = len(error.errors)
    return document


def problem_bytes(error: VitrinError, request_id: str) -> bytes:
    return orjson.dumps(problem(error, request_id), default=str, option=orjson.OPT_NON_STR_KEYS)


def problem_headers(error: VitrinError) -> dict[str, str]:
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if "retry_after_s" in error.extra:
        headers["retry-after"] = str(error.extra["retry_after_s"])
    return headers


def request_id_of(scope: Mapping[str, Any]) -> str:
    return str(scope.get("vitrin.request_id", ""))


def _answer(request: Request, error: VitrinError) -> Response:
    request.scope["vitrin.problem_code"] = error.code
    return Response(
        problem_bytes(error, request_id_of(request.scope)),
        status_code=error.status,
        headers=problem_headers(error),
    )


def field_path(location: Sequence[int | str]) -> str:
    """`("body", "items", 3, "price")` is `items[3].price`; a query parameter is its name."""
    parts = location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def malformed(problems: Sequence[Mapping[str, Any]]) -> Malformed:
    """What pydantic found, without repeating the input: it may hold a token."""
    errors = []
    for one in problems:
        kind = str(one["type"])
        path = "" if kind == "json_invalid" else field_path(tuple(one["loc"]))
        message = str(one["msg"]).removeprefix("Value error, ")
        errors.append(
            FieldError(path, _PYDANTIC_CODES.get(kind, "invalid"), message, _PYDANTIC_FIXES.get(kind, ""))
        )
    first = errors[0]
    where = f"{first.field}: " if first.field else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Malformed(
        f"{where}{first.message}{more}",
        field=first.field or None,
        fix=first.fix or "Correct the fields named in 'errors'.",
        errors=errors,
    )


def http_error(status: int, detail: str) -> VitrinError:
    """An error of the framework itself (no such route, wrong method) in our words."""
    phrase = http.HTTPStatus(status).phrase
    kind = type(
        "FrameworkRefusal",
        (VitrinError,),
        {"code": phrase.lower().replace(" ", "_").replace("-", "_"), "status": status, "title": phrase},
    )
    error = kind(detail, fix=_HTTP_FIXES.get(status, ""))
    assert isinstance(error, VitrinError)
    return error


def install_problem_handlers(app: FastAPI) -> None:
    async def on_vitrin(request: Request, error: Exception) -> Response:
        assert isinstance(error, VitrinError)
        return _answer(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _answer(request, malformed(error.errors()))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = _answer(request, http_error(error.status_code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    async def on_database_away(request: Request, error: Exception) -> Response:
        _log.error("database_away", reason=str(error).splitlines()[0])
        return _answer(request, Unavailable("The database does not answer."))

    app.add_exception_handler(VitrinError, on_vitrin)
    for away in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(away, on_database_away)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
