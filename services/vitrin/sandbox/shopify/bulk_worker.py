"""Carries out bulk operations beside the requests: created, running, completed; the file lies on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import structlog
from graphql import MiddlewareManager, execute_sync, parse
from msgspec.structs import replace

from vitrin.sandbox.shopify.bulk import write_lines
from vitrin.sandbox.shopify.door import Caller, ShopifyDoor
from vitrin.sandbox.shopify.schema import guard, schema
from vitrin.sandbox.shopify.texts import gid, utc
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Access, BulkOperation, Shop

STUCK_LOOK_S = 0.05
KEPT_MAX = 20
"""Finished operations of a shop that are remembered with their files; Shopify keeps results for seven days."""

logger = structlog.get_logger(__name__)


class BulkWorker:
    """One task per operation. `plans` says what becomes of a shop's next ones: FAILED, CANCELED or STUCK."""

    def __init__(self, book: ShopBook, *, folder: Path, latency_s: float, now_ms: Callable[[], int]) -> None:
        self.folder = folder
        self.plans: dict[str, list[str]] = {}
        self._book, self._latency_s, self._now_ms = book, latency_s, now_ms
        self._door: ShopifyDoor | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, door: ShopifyDoor) -> None:
        """Whose queries it runs."""
        self._door = door

    def resume(self) -> None:
        """Operations that a restart cut off begin again."""
        for shop in self._book.shops.values():
            for one in shop.bulk.values():
                if one.status in ("CREATED", "RUNNING", "CANCELING"):
                    self.start(shop, one)

    def start(self, shop: Shop, operation: BulkOperation) -> None:
        """Begin; to be called on the event loop."""
        task = asyncio.get_running_loop().create_task(self._run(shop, operation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """What runs is left as it is and resumed later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, shop: Shop, one: BulkOperation) -> None:
        plans = self.plans.get(shop.host, [])
        plan = plans.pop(0) if plans else ""
        await asyncio.sleep(self._latency_s)
        if self._cancelled(one):
            return
        one.status = "RUNNING"
        self._book.changes.note()
        await asyncio.sleep(self._latency_s)
        if plan == "STUCK":
            while not self._cancelled(one):  # noqa: ASYNC110 - a cancellation comes as a changed status
                await asyncio.sleep(STUCK_LOOK_S)
            return
        if self._cancelled(one):
            return
        if plan in ("FAILED", "CANCELED"):
            self._end(shop, one, plan, error_code="INTERNAL_SERVER_ERROR" if plan == "FAILED" else None)
            return
        access = next((each for each in shop.accesses.values() if each.app_id == one.app_id), None)
        if access is None or access.removed:
            self._end(shop, one, "FAILED", error_code="ACCESS_DENIED")
            return
        # A shop's goods are frozen values: with copies of the dictionaries a thread sees one moment.
        moment = replace(
            shop,
            products=dict(shop.products),
            orders=dict(shop.orders),
            locations=dict(shop.locations),
        )
        file = f"bulk-{one.id}-{token_hex(8)}.jsonl"
        failure, counts = await asyncio.to_thread(self._work, moment, access, one, self.folder / file)
        if self._cancelled(one):
            return
        if failure:
            logger.info("sandbox.bulk_failed", shop=shop.host, reason=failure)
            self._end(shop, one, "FAILED", error_code=failure)
            return
        one.objects, one.root_objects, one.file_bytes = counts
        one.file = file if counts[0] else ""
        self._end(shop, one, "COMPLETED", error_code=None)

    def _work(
        self, shop: Shop, access: Access, one: BulkOperation, path: Path
    ) -> tuple[str, tuple[int, int, int]]:
        if self._door is None:
            return "INTERNAL_SERVER_ERROR", (0, 0, 0)
        root = self._door.root(shop, access, version=one.api_version, base_url="", whole=True)
        result = execute_sync(
            schema(),
            parse(one.query),
            root_value=root.value(),
            context_value=Caller(access),
            middleware=MiddlewareManager(guard),
        )
        if result.errors:
            code = (result.errors[0].extensions or {}).get("code")
            return ("ACCESS_DENIED" if code == "ACCESS_DENIED" else "INTERNAL_SERVER_ERROR"), (0, 0, 0)
        return "", write_lines(result.data or {}, path)

    def _cancelled(self, one: BulkOperation) -> bool:
        if one.status == "CANCELING":
            one.status, one.completed_ms = "CANCELED", self._now_ms()
            self._book.changes.note()
        return one.status == "CANCELED"

    def _forget(self, shop: Shop) -> None:
        finished = [one for one in shop.bulk.values() if one.completed_ms is not None]
        for one in finished[: max(0, len(finished) - KEPT_MAX)]:
            del shop.bulk[one.id]
            if one.file:
                (self.folder / one.file).unlink(missing_ok=True)

    def _end(self, shop: Shop, one: BulkOperation, status: str, *, error_code: str | None) -> None:
        one.status, one.error_code, one.completed_ms = status, error_code, self._now_ms()
        self._forget(shop)
        asked = {
            "admin_graphql_api_id": gid("BulkOperation", one.id),
            "completed_at": utc(one.completed_ms),
            "created_at": utc(one.created_ms),
            "error_code": error_code.lower() if error_code else None,
            "status": status.lower(),
            "type": "query",
        }
        self._book.tell(
            shop, [Happened(what="bulk_finished", at_ms=one.completed_ms, app_id=one.app_id, asked=asked)]
        )
        self._book.changes.note()
