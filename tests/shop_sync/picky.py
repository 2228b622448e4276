"""A real server before the sandbox that refuses a whole batch for what is in it and names nobody, as platforms do."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.kit.serving import serving
from vitrin.kit.settings import HttpSettings

REFUSAL = {"code": 1, "message": "Invalid request: (something in it is not valid)"}
DROPPED = frozenset({"host", "content-length", "connection"})


@dataclass
class Picky:
    """`dislikes`: of one record of a batch. `calls`: the ids of every batch that came, and whether it went through.
    `halves`: so many batches are carried out for their first half only, and the answer gets lost."""

    sandbox: httpx.AsyncClient
    dislikes: Callable[[dict[str, Any]], bool]
    calls: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    url: str = ""
    halves: int = 0

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if request.method == "POST" and request.url.path.endswith("/items/batch"):
            records = json.loads(body)["items"]
            good = not any(self.dislikes(record) for record in records)
            self.calls.append((tuple(record["item_id"] for record in records), good))
            if self.halves > 0:
                self.halves -= 1
                await self._forward(request, self._half(body))
                return Response("", 502)
            if not good:
                return Response(json.dumps(REFUSAL), 400, media_type="application/json")
        return await self._forward(request, body)

    @staticmethod
    def _half(body: bytes) -> bytes:
        document = json.loads(body)
        document["items"] = document["items"][: len(document["items"]) // 2]
        return json.dumps(document).encode()

    async def _forward(self, request: Request, body: bytes) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in DROPPED}
        answer = await self.sandbox.request(
            request.method, request.url.path, params=request.query_params, headers=headers, content=body
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    @property
    def refused(self) -> list[tuple[str, ...]]:
        return [ids for ids, good in self.calls if not good]

    @property
    def taken(self) -> list[str]:
        """Every item as often as it was in a batch that went through."""
        return [name for ids, good in self.calls if good for name in ids]


@asynccontextmanager
async def picky_platform(
    sandbox: httpx.AsyncClient, dislikes: Callable[[dict[str, Any]], bool]
) -> AsyncIterator[Picky]:
    picky = Picky(sandbox, dislikes)
    app = Starlette(routes=[Route("/{path:path}", picky.answer, methods=["GET", "POST"])])
    async with serving(app, HttpSettings(service="picky")) as client:
        picky.url = str(client.base_url).rstrip("/")
        yield picky
