"""Taking stock of a platform's catalog, before a new channel sends anything: its items are listed page by page, matched
with ours, and what nobody claims is left alone unless its removal was approved.

Every step is one call or one transaction, and the next begins where the stored row says: killed in between, it is done
again and changes nothing twice.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import (
    CatalogChannel,
    FailureKind,
    ListedPage,
    OperationKind,
    PlatformFailure,
)
from vitrin.protos.catalog.v1.events_pb2 import ItemContent
from vitrin.shop_sync.domain import schedule
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.domain.words import AMBIGUOUS_CODE, REMOVAL_FAILED
from vitrin.shop_sync.repository import replica, shelf, stocks, work
from vitrin.shop_sync.repository.stocks import Stock
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.adopting import keys_of, match_all
from vitrin.shop_sync.service.attention import NEEDS_SOMEBODY, Attention
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.outcomes import Outcomes

LISTED_MAX: Final = 500_000
"""Items of a platform's catalog that are remembered; a bigger one is not listed to its end."""
CHUNK_ITEMS: Final = 500
FAILURES_MAX: Final = 8
"""In a row, until the listing says that it failed. It goes on trying."""
RESTARTS_MAX: Final = 3
"""Cursors that were not good any more, until the listing says that it failed."""
FAILED_AGAIN: Final = timedelta(minutes=5)
REMOVE_ITEMS: Final = 200
REMOVE_TRIES_MAX: Final = 6
REMOVE_LOOK_S: Final = 0.5
"""Until the first look after a removal was sent; each further one waits twice as long."""
_log = get_logger("vitrin.shop_sync.stocktaking")


@dataclass(frozen=True, slots=True)
class Stocktaking:
    """One step at a time, for the session that holds the channel's claim."""

    outcomes: Outcomes
    desires: Desires
    catalogs: Catalogs
    attention: Attention
    clock: Clock

    async def step(self, channel: Channel) -> None:
        """Raises LeaseRefused, LeaseUnavailable and ChannelMisconfigured as opening the catalog does."""
        stock = await self.outcomes.transaction(channel.brand_id, lambda tx: stocks.get(tx, channel))
        match stock.state if stock else "":
            case "listing" | "failed":
                assert stock is not None
                await self._list(channel, stock)
            case "indexing":
                await self.outcomes.transaction(channel.brand_id, lambda tx: self._index(tx, channel))
            case "matching":
                await self.outcomes.transaction(channel.brand_id, lambda tx: self._match(tx, channel))
            case "rechecking":
                await self.outcomes.transaction(channel.brand_id, lambda tx: self._recheck(tx, channel))
            case _:
                await self._remove(channel)

    async def _list(self, channel: Channel, stock: Stock) -> None:
        catalog = await self.catalogs.open(channel)
        try:
            page = await catalog.list_items(stock.cursor)
        except PlatformFailure as failure:
            await self._not_listed(channel, catalog, stock, failure)
            return
        await self.outcomes.transaction(channel.brand_id, lambda tx: self._listed(tx, channel, stock, page))

    async def _not_listed(
        self, channel: Channel, catalog: CatalogChannel, stock: Stock, failure: PlatformFailure
    ) -> None:
        metrics.LISTING_FAILURES.labels(channel.platform, failure.kind.value).inc()
        await self.outcomes.transaction(
            channel.brand_id, lambda tx: self._failed(tx, channel, stock, failure)
        )
        if channel.stock != "taking" or channel.sync_finished_at is not None:
            # Else the items are decided first, and the next try finds out again.
            await self.attention.hear(channel, catalog, failure)

    async def _listed(self, tx: WriteSession, channel: Channel, before: Stock, page: ListedPage) -> None:
        if page.next_cursor is None:
            await replica.hold_brands(tx, [channel.brand_id])
        stock = await _same(tx, channel, before)
        if stock is None:
            return
        now = self.clock()
        await shelf.add(tx, channel, page.items, generation=stock.generation, now=now)
        stock.listed += len(page.items)
        stock.cursor, stock.failures, stock.state, stock.trouble = page.next_cursor, 0, "listing", ""
        stock.due_at = now
        if page.next_cursor is None:
            await shelf.drop_stale(tx, channel, stock.generation)
            if stock.listed:
                stock.state, stock.index_cursor, stock.indexed = "indexing", "", 0
            else:
                await self._finish(tx, channel, stock, "none")
        elif stock.listed >= LISTED_MAX:
            _fail(
                stock,
                f"The catalog holds more than {LISTED_MAX:,} items. Skip the adoption, or use a smaller catalog.",
                now,
            )
        await stocks.save(tx, channel, stock)

    async def _failed(
        self, tx: WriteSession, channel: Channel, before: Stock, failure: PlatformFailure
    ) -> None:
        stock = await _same(tx, channel, before)
        if stock is None:
            return
        now = self.clock()
        words = f"{failure.code}: {failure.message} {failure.fix}".strip()
        stock.trouble = words
        if failure.kind is FailureKind.NOT_SENT and failure.retry_after_s is not None:
            stock.due_at = now + timedelta(seconds=failure.retry_after_s)
        elif failure.kind in NEEDS_SOMEBODY:
            stock.due_at = now  # the channel itself stands still until its token is repaired
        elif failure.kind is FailureKind.INVALID_REQUEST and stock.cursor is not None:
            _again(stock, words, now)
        else:
            stock.failures += 1
            jitter = random.random()  # noqa: S311
            stock.due_at = schedule.next_try(
                now, stock.failures, jitter=jitter, retry_after_s=failure.retry_after_s
            )
            final = failure.kind in {FailureKind.INVALID_REQUEST, FailureKind.TOO_LARGE}
            if final or stock.failures >= FAILURES_MAX:
                _fail(stock, words, now)
        _log.warning("listing_failed", channel=str(channel.channel_id), state=stock.state, reason=words)
        await stocks.save(tx, channel, stock)

    async def _index(self, tx: WriteSession, channel: Channel) -> None:
        """The keys of our items. Whoever changes an item meanwhile waits for the chunk, or is seen by the matching."""
        await replica.share_brands(tx, [channel.brand_id])
        found = await replica.lock_after(
            tx, channel.brand_id, after=await _index_cursor(tx, channel), limit=CHUNK_ITEMS
        )
        stock = await stocks.lock(tx, channel)
        if stock is None or stock.state != "indexing":
            return
        catalog = self.catalogs.renderer(channel)
        keys = [
            keys_of(channel, catalog, item_id, ItemContent.FromString(part.content.payload))
            for (_, item_id), part in found.items()
            if part.exists
        ]
        gone = [item_id for (_, item_id), part in found.items() if not part.exists]
        await shelf.save_keys(tx, channel, keys)
        await shelf.drop_keys(tx, channel, gone)
        stock.indexed += len(keys)
        stock.index_cursor = max((item_id for _, item_id in found), default=stock.index_cursor)
        if len(found) < CHUNK_ITEMS:
            stock.state = "matching"
        stock.due_at = self.clock()
        await stocks.save(tx, channel, stock)

    async def _match(self, tx: WriteSession, channel: Channel) -> None:
        await replica.hold_brands(tx, [channel.brand_id])
        stock = await stocks.lock(tx, channel)
        if stock is None or stock.state != "matching":
            return
        now = self.clock()
        await match_all(tx, channel, now)
        stock.state, stock.recheck_cursor, stock.due_at = "rechecking", "", now
        if channel.stock != "held":
            await stocks.set_gate(tx, channel, "held")
            await work.make_due(tx, [channel.channel_id], now)
        await stocks.save(tx, channel, stock)

    async def _recheck(self, tx: WriteSession, channel: Channel) -> None:
        """Items of ours that waited for a decision are decided about again."""
        await replica.share_brands(tx, [channel.brand_id])
        stock = await stocks.lock(tx, channel)
        if stock is None or stock.state != "rechecking":
            return
        after, now = stock.recheck_cursor or "", self.clock()
        waiting = await shelf.waiting(tx, channel, code=AMBIGUOUS_CODE, after=after, limit=CHUNK_ITEMS)
        if waiting:
            held = await replica.lock(tx, [(channel.brand_id, item_id) for item_id in waiting])
            await self.desires.set(tx, channels=[channel], replicas=held, now=now)
        stock.recheck_cursor, stock.due_at = max(waiting, default=after), now
        if len(waiting) < CHUNK_ITEMS:
            await self._finish(tx, channel, stock, channel.stock)
            stock.due_at = now  # removals may have been approved meanwhile
        await stocks.save(tx, channel, stock)

    async def _finish(self, tx: WriteSession, channel: Channel, stock: Stock, gate: str) -> None:
        stock.state, stock.finished_at, stock.trouble, stock.due_at = "done", self.clock(), "", None
        if gate != channel.stock and channel.stock == "taking":
            await stocks.set_gate(tx, channel, gate)
            await work.make_due(tx, [channel.channel_id], self.clock())

    async def _remove(self, channel: Channel) -> None:
        """Approved removals of strangers. Looks before it sends: an item that is gone already is not removed twice."""

        async def chosen(tx: WriteSession) -> dict[str, int]:
            return await shelf.removing(tx, channel, limit=REMOVE_ITEMS)

        due = await self.outcomes.transaction(channel.brand_id, chosen)
        again: datetime | None = None
        if due:
            catalog = await self.catalogs.open(channel)
            try:
                again = await self._remove_chosen(channel, catalog, due)
            except PlatformFailure as failure:
                wait = timedelta(seconds=failure.retry_after_s or schedule.BACKOFF_LONGEST_S)
                again = self.clock() + min(wait, timedelta(seconds=schedule.BACKOFF_LONGEST_S))
                _log.warning("stranger_not_removed", channel=str(channel.channel_id), reason=str(failure))
                await self.attention.hear(channel, catalog, failure)

        async def done(tx: WriteSession) -> None:
            stock = await stocks.lock(tx, channel)
            if stock is not None and stock.state in {"done", "skipped"}:
                left = await shelf.removing(tx, channel, limit=1)
                stock.due_at = (again or self.clock()) if left else None
                await stocks.save(tx, channel, stock)

        await self.outcomes.transaction(channel.brand_id, done)

    async def _remove_chosen(
        self, channel: Channel, catalog: CatalogChannel, due: dict[str, int]
    ) -> datetime:
        seen = await catalog.read_back({platform_id: {} for platform_id in due})
        gone = [one for one in due if one in seen and not seen[one].present]
        stays = [one for one in due if one not in gone and due[one] >= REMOVE_TRIES_MAX]
        asks = [one for one in due if one not in gone and one not in stays]
        now = self.clock()

        async def mark(tx: WriteSession) -> set[str]:
            await _settle(tx, channel, gone, stays, now)
            return await shelf.tried(tx, channel, asks)

        sent = await self.outcomes.transaction(channel.brand_id, mark)
        if sent:
            _log.info("strangers_removed", channel=str(channel.channel_id), items=len(sent))
            await catalog.send(
                [catalog.operation(kind=OperationKind.DELETE, platform_item_id=one) for one in sorted(sent)]
            )
        return now + timedelta(seconds=REMOVE_LOOK_S * 2.0 ** min(max(due.values()), REMOVE_TRIES_MAX))


async def _settle(
    tx: WriteSession, channel: Channel, gone: Sequence[str], stays: Sequence[str], now: datetime
) -> None:
    await shelf.change(tx, channel, gone, was=["removing"], state="removed", now=now)
    await shelf.change(tx, channel, stays, was=["removing"], state="stranger", now=now, reason=REMOVAL_FAILED)


async def _same(tx: WriteSession, channel: Channel, before: Stock) -> Stock | None:
    """The row, locked; None when somebody else has moved it since."""
    stock = await stocks.lock(tx, channel)
    if stock is None or (stock.generation, stock.state, stock.cursor) != (
        before.generation,
        before.state,
        before.cursor,
    ):
        return None
    return stock


async def _index_cursor(tx: WriteSession, channel: Channel) -> str:
    stock = await stocks.get(tx, channel)
    return (stock.index_cursor if stock else None) or ""


def _again(stock: Stock, words: str, now: datetime) -> None:
    """A cursor that is not good any more: from the beginning, as a new generation."""
    stock.restarts += 1
    stock.generation += 1
    stock.cursor, stock.listed, stock.due_at = None, 0, now
    if stock.restarts > RESTARTS_MAX:
        _fail(stock, words, now)


def _fail(stock: Stock, words: str, now: datetime) -> None:
    stock.state, stock.trouble, stock.due_at = "failed", words, now + FAILED_AGAIN
    stock.restarts = 0
