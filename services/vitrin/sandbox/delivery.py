"""How an answer reaches the client, or does not: held, dropped, reset in the middle, cut off or replaced."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vitrin.sandbox.fault_kinds import FaultKind
from vitrin.sandbox.faults import FaultSpec

DROP_EXTENSION = "vitrin.sandbox.drop"
"""ASGI extension of the sandbox's own server: a function that closes the connection without an answer."""

RESET_EXTENSION = "vitrin.sandbox.reset"
"""The same with a TCP reset, so that the client's system reports an error instead of an end."""

DROPPED_STATUS = 504
SENT_BEFORE_RESET_S = 0.02
"""Time for the first half of an answer to leave; a reset throws away what is still in the socket."""

PROXY_PAGE = (
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>"
    "<hr><center>nginx</center></body></html>"
)


async def hold(request: Request, *, hold_ms: int) -> None:
    """Wait, but not longer than the client does."""

    async def disconnected() -> None:
        message: Any = {"type": "http.request"}
        while message["type"] != "http.disconnect":
            message = await request.receive()

    with suppress(TimeoutError):
        await asyncio.wait_for(disconnected(), hold_ms / 1000)


async def drop(request: Request) -> Response:
    """Close the connection without an answer; on a server without the extension the answer is an empty 504."""
    await _cut(request.scope, DROP_EXTENSION)
    return Response(status_code=DROPPED_STATUS)


async def _cut(scope: Scope, extension: str) -> None:
    cut: Callable[[], None] | None = scope.get("extensions", {}).get(extension)
    if cut is not None:
        cut()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class ResetResponse(Response):
    """The headers and half of the body of an answer, then a reset. Its length is announced in full."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette's ``Response``."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(SENT_BEFORE_RESET_S)
        await _cut(scope, RESET_EXTENSION)


def spoiled(answer: Response, spec: FaultSpec) -> Response:
    """The answer as the fault lets it out."""
    body = bytes(answer.body)
    kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
    if spec.kind is FaultKind.RESET:
        return ResetResponse(body, status_code=answer.status_code, headers=kept)
    if spec.kind is FaultKind.TRUNCATE:
        return Response(body[: len(body) // 2], status_code=answer.status_code, headers=kept)
    page = PROXY_PAGE if spec.body is None else str(spec.body)
    return Response(page, status_code=spec.status or 200, headers={"content-type": spec.content_type})
