"""Pure ASGI layers around every service: request id, access log with metrics and last resort, body limit."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrin.kit import metrics
from vitrin.kit.errors import NotFound, TooLarge, VitrinError
from vitrin.kit.http.problems import problem_bytes, problem_headers, request_id_of
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger, log_context

REQUESTS = metrics.counter(
    "vitrin_http_requests_total",
    "HTTP requests answered, by route template and status.",
    ("service", "method", "route", "status"),
)
SECONDS = metrics.histogram(
    "vitrin_http_request_seconds",
    "Time from the request's head to the end of its answer, in seconds.",
    ("service", "method", "route"),
)

DRAIN_BYTES_MAX = 32 * 1024 * 1024
DRAIN_S = 5.0
"""How much of a refused body is read and thrown away, so that the client reads our answer, not a reset."""
REQUEST_ID_LENGTH_MAX = 128
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,%d}" % REQUEST_ID_LENGTH_MAX)
_PROBES = {"/livez", "/readyz", "/metrics"}
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_log = get_logger("vitrin.http")


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


async def _send_problem(send: Send, scope: Scope, error: VitrinError, *, close: bool = False) -> None:
    scope["vitrin.problem_code"] = error.code
    body = problem_bytes(error, request_id_of(scope))
    headers = problem_headers(error) | {"content-length": str(len(body))}
    if close:
        headers["connection"] = "close"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class RequestId:
    """Takes `X-Request-Id` where it is well-formed, else makes one; answers with it; puts it on log lines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else str(new_uuid()).encode()
        scope["vitrin.request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        with log_context(request_id=request_id.decode()):
            await self._app(scope, receive, send_with_id)


class Observe:
    """One log line and the RED metrics per request; an unexpected exception answers 500 without its text."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            _log.exception("request_failed", method=scope["method"], path=scope["path"])
            if status:
                raise
            await _send_problem(watched, scope, VitrinError(fix="Tell us the request_id."))
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route_of(scope)
        REQUESTS.labels(self._service, method, route, str(status)).inc()
        SECONDS.labels(self._service, method, route).observe(seconds)
        write = _log.debug if scope["path"] in _PROBES else _log.info
        extra = {"code": scope["vitrin.problem_code"]} if "vitrin.problem_code" in scope else {}
        write(
            "request",
            method=method,
            path=scope["path"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            **extra,
        )


def route_of(scope: Mapping[str, Any]) -> str:
    """The route's template, so that a metric has as many series as there are routes, not ids."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return str(path) if path else "unmatched"


class PossiblePath:
    """No id holds U+0000, and PostgreSQL refuses to compare with it: such a path leads nowhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "\x00" in scope["path"]:
            await _send_problem(send, scope, NotFound("The path contains the character U+0000."))
            return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses a body over the limit: by its announced length at once, else while it streams in.

    `limits` names other limits for a path and everything below it (longest prefix wins), in bytes.
    """

    def __init__(self, app: ASGIApp, bytes_max: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._limits = sorted(limits.items(), key=lambda one: -len(one[0]))

    def _limit(self, path: str) -> int:
        for prefix, limit in self._limits:
            if path == prefix or path.startswith(prefix + "/"):
                return limit
        return self._bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        error = TooLarge(
            f"The body is over the limit of {limit} bytes for {scope['path']}.",
            fix="Send less at once, for example in several requests.",
            limit_bytes=limit,
        )
        announced = _header(scope, b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit:
            if _header(scope, b"expect") is None:
                await drain(receive)
            await _send_problem(send, scope, error, close=True)
            return
        await self._stream(scope, receive, send, limit, error)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, limit: int, error: TooLarge) -> None:
        seen = 0
        exceeded = answered = ended = False

        async def counted() -> Message:
            nonlocal seen, exceeded, ended
            message = await receive()
            ended = not message.get("more_body", False)
            if message["type"] == "http.request" and not exceeded:
                seen += len(message.get("body", b""))
                if seen > limit:
                    exceeded = True
                    raise error
            return message

        async def guarded(message: Message) -> None:
            nonlocal answered
            if not exceeded or answered:
                answered = answered or message["type"] == "http.response.start"
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except TooLarge:
            if not exceeded:
                raise
        if exceeded and not answered:
            if not ended:
                await drain(receive)
            await _send_problem(send, scope, error, close=True)


async def drain(receive: Receive) -> None:
    """Reads and throws away a part of a refused body (DRAIN_BYTES_MAX, DRAIN_S)."""
    left = DRAIN_BYTES_MAX
    try:
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
