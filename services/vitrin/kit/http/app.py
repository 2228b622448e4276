"""The application factory: what every service's HTTP door has, in one place."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from vitrin.kit import metrics
from vitrin.kit.errors import CatchingUp
from vitrin.kit.http.middleware import BodyLimit, Observe, PossiblePath, RequestId
from vitrin.kit.http.problems import MEDIA_TYPE, install_problem_handlers
from vitrin.kit.http.rate_limit import Quota, RateFields
from vitrin.kit.logs import get_logger
from vitrin.kit.settings import HttpSettings

READINESS_TIMEOUT_S = 2.0
Readiness = Callable[[], Awaitable[None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_log = get_logger("vitrin.http")

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "fix", "request_id"],
    "properties": {
        "type": {"type": "string", "example": "urn:vitrin:problem:malformed"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; programs decide by it."},
        "detail": {"type": "string", "description": "What was wrong."},
        "fix": {"type": "string", "description": "What to do."},
        "field": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "code", "message", "fix")},
            },
        },
        "request_id": {"type": "string"},
    },
}


RATE_LIMITED_ANSWER: dict[str, Any] = {
    "description": "`rate_limited`: the API key has used up its quota in this process. Every answer to a key says in"
    " RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers) how much of it is left.",
    "headers": {
        "Retry-After": {"description": "Seconds until the next request.", "schema": {"type": "integer"}},
        "RateLimit-Policy": {"description": "q requests in w seconds.", "schema": {"type": "string"}},
        "RateLimit": {
            "description": "r requests are left; all of them are back in t seconds.",
            "schema": {"type": "string"},
        },
    },
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def create_app(
    *,
    title: str,
    description: str,
    version: str,
    settings: HttpSettings,
    routers: Sequence[APIRouter],
    readiness: Mapping[str, Readiness],
    state: Mapping[str, object],
    lifespan: Lifespan | None = None,
    body_limits: Mapping[str, int] | None = None,
) -> FastAPI:
    """`readiness` checks raise when their part cannot serve; `body_limits` are bytes by path prefix."""
    app = FastAPIOffline(
        title=title,
        description=description,
        version=version,
        lifespan=lifespan,
        redirect_slashes=False,
        middleware=[
            Middleware(RequestId),
            Middleware(Observe, service=settings.service),
            Middleware(RateFields),
            Middleware(PossiblePath),
            Middleware(BodyLimit, bytes_max=settings.body_bytes_max, limits=body_limits or {}),
        ],
    )
    install_problem_handlers(app)
    for router in routers:
        app.include_router(router)
    app.include_router(_probes(readiness))
    for name, value in state.items():
        setattr(app.state, name, value)
    app.state.http_settings = settings
    app.state.quota = Quota(requests_max=settings.rate_requests_max, window_s=settings.rate_window_s)
    _describe_problems(app)
    return app


def _json(document: object, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status_code=status, media_type="application/json")


def _probes(readiness: Mapping[str, Readiness]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def livez(_request: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        found = dict(zip(readiness, await asyncio.gather(*map(_check, readiness.values())), strict=True))
        checks = {name: outcome for name, (outcome, _) in found.items()}
        if all(outcome == "ok" for outcome in checks.values()):
            return _json({"status": "ok", "checks": checks})
        _log.warning("not_ready", checks=checks)
        # Who waits for us tells catching up from being stuck by this.
        progress = {name: {"read": far.read, "left": far.left} for name, (_, far) in found.items() if far}
        return _json({"status": "not_ready", "checks": checks, "progress": progress}, 503)

    async def prometheus(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    router.add_route("/livez", livez)
    router.add_route("/readyz", readyz)
    router.add_route("/metrics", prometheus)
    return router


async def _check(check: Readiness) -> tuple[str, CatchingUp | None]:
    try:
        async with asyncio.timeout(READINESS_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {READINESS_TIMEOUT_S:g} s", None
    except CatchingUp as error:
        return f"{type(error).__name__}: {error}", error
    except Exception as error:
        return f"{type(error).__name__}: {error}", None
    return "ok", None


def _describe_problems(app: FastAPI) -> None:
    """OpenAPI tells the truth about errors: problem documents instead of FastAPI's own validation schema."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas["Problem"] = PROBLEM_SCHEMA
        answer = {
            "description": "A problem document (RFC 9457); `code` is stable.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for operations in document.get("paths", {}).values():
            for operation in operations.values():
                # The function's name, without the path that FastAPI appends: generated clients are named by it.
                operation["operationId"] = operation["operationId"].partition("_v1_")[0]
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = answer
                if {"ApiKey": []} in operation.get("security", []):
                    operation["responses"]["429"] = RATE_LIMITED_ANSWER
        for told in document.get("webhooks", {}).values():
            for operation in told.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]
