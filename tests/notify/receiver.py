"""Somebody's server: takes webhooks on a real socket, verifies them as their owner would, and answers as told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Got:
    """One request. `headers` are lower-case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def verified_by(self, secret: str) -> Any:
        """The payload. WebhookVerificationError when the official library does not take it."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thank you"
    hold: asyncio.Event | None = None
    """Nothing is answered before it is set."""


Decide = Callable[[Got], Answer]


@dataclass
class Receiver:
    """`decide` chooses the answer to each request."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    decide: Decide = lambda got: Answer()
    open_now: int = 0
    open_max: int = 0
    _grew: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def until(self, count: int, *, path: str | None = None) -> list[Got]:
        """Requests once there are `count` of them."""

        def mine() -> list[Got]:
            return [one for one in self.got if path is None or one.path == path]

        async with asyncio.timeout(30), self._grew:
            await self._grew.wait_for(lambda: len(mine()) >= count)
        return mine()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Got(head[0].split(" ")[1], headers, body)
            self.open_now += 1
            self.open_max = max(self.open_max, self.open_now)
            try:
                async with self._grew:
                    self.got.append(request)
                    self._grew.notify_all()
                answer = self.decide(request)
                if answer.hold is not None:
                    await answer.hold.wait()
            finally:
                self.open_now -= 1
            lines = [
                f"HTTP/1.1 {answer.status} X",
                f"content-length: {len(answer.body)}",
                "connection: close",
            ]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(decide: Decide | None = None, *, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    if decide is not None:
        receiver.decide = decide
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()
