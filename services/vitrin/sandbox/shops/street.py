"""The shops of one sandbox with everything that serves them: doors, bulk operations, the sender of webhooks."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.grants import GrantBook
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.shopify.bulk_worker import BulkWorker
from vitrin.sandbox.shopify.door import ShopifyDoor
from vitrin.sandbox.shopify.hooks import ShopifyTeller
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.outbox import Outbox
from vitrin.sandbox.shops.sender import HookSender
from vitrin.sandbox.wire import Door
from vitrin.sandbox.woocommerce.door import WooDoor
from vitrin.sandbox.woocommerce.hooks import WooTeller


@dataclass(slots=True)
class Street:
    """Built once per world."""

    book: ShopBook
    shopify: ShopifyDoor
    woocommerce: WooDoor
    bulk: BulkWorker
    sender: HookSender
    keeps_files: bool

    @property
    def doors(self) -> dict[str, Door]:
        """By the name of the kind of shop."""
        return {"shopify": self.shopify, "woocommerce": self.woocommerce}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While it is open, webhooks are sent and bulk operations carried out."""
        task = asyncio.create_task(self.sender.run(), name="sandbox-hooks")
        self.bulk.resume()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.bulk.stop()
            if not self.keeps_files:
                shutil.rmtree(self.bulk.folder, ignore_errors=True)


def build_street(
    settings: SandboxSettings, *, grants: GrantBook, changes: Changes, now_ms: Callable[[], int]
) -> Street:
    """A street without shops."""
    outbox = Outbox(kept_max=settings.hooks_kept_max, time_scale=settings.hook_time_scale)
    book = ShopBook(changes=changes, grants=grants, now_ms=now_ms, outbox=outbox)
    book.tellers["shopify"] = ShopifyTeller()
    book.tellers["woocommerce"] = WooTeller()
    if settings.state_file is not None:
        folder = settings.state_file.with_name(f"{settings.state_file.name}.bulk")
    else:
        folder = Path(tempfile.gettempdir()) / f"vitrin-sandbox-{token_hex(8)}"
    bulk = BulkWorker(book, folder=folder, latency_s=settings.bulk_latency_ms / 1000, now_ms=now_ms)
    shopify = ShopifyDoor(
        book,
        now_ms,
        bulk.start,
        points_max=settings.shopify_points_max if settings.quota else 1e9,
        points_per_second=settings.shopify_points_per_second,
    )
    bulk.serve(shopify)
    sender = HookSender(book, parallel=settings.hook_parallel, now_ms=now_ms)
    return Street(
        book, shopify, WooDoor(book, now_ms), bulk, sender, keeps_files=settings.state_file is not None
    )
