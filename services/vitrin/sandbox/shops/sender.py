"""The worker that sends the shops' webhooks over the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import structlog

from vitrin.sandbox.metrics import HOOKS
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.outbox import CONNECT_S, TOTAL_S, Delivery

logger = structlog.get_logger(__name__)

IDLE_S = 0.25
ADDRESS_SCHEMES = ("http", "https")


class HookSender:
    """Sends what is due, `parallel` at a time, in no promised order, as real shops do."""

    def __init__(self, book: ShopBook, *, parallel: int, now_ms: Callable[[], int]) -> None:
        self._book = book
        self._now_ms = now_ms
        self._room = asyncio.Semaphore(parallel)
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        book.changes.listen(self._wake.set)

    async def run(self) -> None:
        """Until cancelled. What was on its way then is sent again after a restart."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        async with httpx.AsyncClient(limits=limits, follow_redirects=False, trust_env=False) as client:
            try:
                while True:
                    self._wake.clear()
                    await self._send_due(client)
                    await self._rest()
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)
                for one in self._book.outbox.pending():
                    one.state = "waiting"

    async def _send_due(self, client: httpx.AsyncClient) -> None:
        for one in self._book.outbox.due(now_ms=self._now_ms()):
            await self._room.acquire()
            one.state = "sending"
            task = asyncio.create_task(self._send(client, one))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _rest(self) -> None:
        due_ms = self._book.outbox.next_due_ms()
        wait_s = None if due_ms is None else max(0.001, (due_ms - self._now_ms()) / 1000)
        try:
            async with asyncio.timeout(wait_s if wait_s is None else min(wait_s, 3600)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, client: httpx.AsyncClient, one: Delivery) -> None:
        status, error = None, ""
        try:
            async with asyncio.timeout(TOTAL_S[one.kind]):
                answer = await client.post(
                    one.address,
                    content=one.body.encode(),
                    headers=one.headers,
                    timeout=httpx.Timeout(TOTAL_S[one.kind], connect=CONNECT_S[one.kind]),
                )
                status = answer.status_code
        except TimeoutError:
            error = f"no answer within {TOTAL_S[one.kind]:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            error = f"{type(problem).__name__}: {problem}"
        finally:
            self._room.release()
        shop = self._book.find(one.kind, one.host)
        self._book.outbox.settle(one, shop, status=status, error=error, now_ms=self._now_ms())
        HOOKS.labels(one.kind, one.state).inc()
        self._book.changes.note()
