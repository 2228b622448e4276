"""Sending: the next batch of a channel is taken in one transaction, sent outside it, and its answer stored.

A kill between taking and storing leaves an attempt of a claim that is gone; whoever claims the channel next finds it
and looks before it repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import orjson

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.http_client import Priority
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import (
    CatalogChannel,
    Endpoint,
    FailureKind,
    Operation,
    OperationKind,
    Outcome,
    PlatformFailure,
    SendResult,
)
from vitrin.shop_sync.domain import batching, schedule, sync
from vitrin.shop_sync.domain.sync import GONE, Lane
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, Claim, Due, Gate, StoredHunt, Waits
from vitrin.shop_sync.domain.words import LOST_ANSWER
from vitrin.shop_sync.repository import items, work
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.attention import Attention
from vitrin.shop_sync.service.hunting import Hunting
from vitrin.shop_sync.service.outcomes import Outcomes, Verdicts, reason_of
from vitrin.shop_sync.service.recording import Recorder

PRICES_IN_A_ROW_MAX: Final = 4
"""Batches of price and stock, before one of content that waits."""
_log = get_logger("vitrin.shop_sync.sending")


@dataclass(frozen=True, slots=True)
class Pace:
    """How a dispatcher works. `window`: after a send the next one waits so long, and gathers what comes.
    `shown_within`: another time than the platform's own until what was accepted has to be shown."""

    window: timedelta
    batch_items_max: int
    verdict_timeout: timedelta
    alone_again: timedelta
    shown_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken to be sent. `hunt`: it is a call of this hunt. `prices`: of price and stock alone."""

    channel: Channel
    catalog: CatalogChannel
    gate: Gate
    attempt: Attempt
    operations: Sequence[Operation]
    hunt: StoredHunt | None
    prices: bool


class Sender:
    """Sends for one claim of one channel."""

    def __init__(
        self,
        *,
        claim: Claim,
        outcomes: Outcomes,
        hunting: Hunting,
        attention: Attention,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._claim = claim
        self._outcomes = outcomes
        self._hunting = hunting
        self._attention = attention
        self._pace = pace
        self._clock = clock
        self._prices_in_a_row = 0
        self._probed_last = False

    async def take(
        self, tx: WriteSession, channel: Channel, catalog: CatalogChannel, *, gate: Gate, due: Due
    ) -> Batch | None:
        """The next batch, marked as in flight with an attempt; the caller commits before it calls `call`.

        The claim's gate and the channel are those of this transaction. None: nothing to send, or not now."""
        waits = waits_of(catalog)
        hunts = due.hunt_at is not None and due.hunt_at <= self._clock()
        may = Due(
            prices_at=due.prices_at if waits.fast_s <= 0 else None,
            content_at=due.content_at if waits.slow_s <= 0 else None,
            hunt_at=due.hunt_at if hunts and waits.slow_s <= 0 else None,
        )
        stored, rows = await self._next(tx, channel, catalog, gate=gate, may=may)
        if not rows:
            return None
        batch = await self._begin(tx, channel, catalog, gate=gate, rows=rows, stored=stored)
        if batch is not None:
            window = self._clock() + self._pace.window
            await work.set_gate(tx, channel.channel_id, replace(gate, send_after=window))
        return batch

    async def _next(
        self, tx: WriteSession, channel: Channel, catalog: CatalogChannel, *, gate: Gate, may: Due
    ) -> tuple[StoredHunt | None, Sequence[ChannelItem]]:
        """A hunt goes first, so that what it releases goes out together when it is over; while content is hunted,
        every second batch may be one of prices and stock that wait."""
        limit = self._limit(catalog, gate)
        found = await self._hunting.next_probe(tx, channel) if may.hunt_at is not None else None
        if found is not None:
            prices = self._probed_last and not found[0].prices and may.prices_at is not None
            rows = await items.lock_due(tx, channel, limit=limit, fast=True) if prices else []
            self._probed_last = not rows
            return (None, rows) if rows else found
        if may.prices_at is None and may.content_at is None:
            return None, []
        fast = may.prices_at is not None and (
            may.content_at is None or self._prices_in_a_row < PRICES_IN_A_ROW_MAX
        )
        rows = await items.lock_due(tx, channel, limit=limit, fast=fast)
        if rows:
            self._prices_in_a_row = self._prices_in_a_row + 1 if fast else 0
        return None, rows

    def _limit(self, catalog: CatalogChannel, gate: Gate) -> int:
        able = catalog.capabilities.batch_items_max
        return min(able, self._pace.batch_items_max, gate.items_max or able)

    async def _begin(
        self,
        tx: WriteSession,
        channel: Channel,
        catalog: CatalogChannel,
        *,
        gate: Gate,
        rows: Sequence[ChannelItem],
        stored: StoredHunt | None,
    ) -> Batch | None:
        rows = rows[: self._limit(catalog, gate)]
        made = [_operation(catalog, row, row.stored) for row in rows]
        count = batching.fill(
            [operation.size_bytes for operation in made],
            items_max=len(rows),
            bytes_max=catalog.capabilities.batch_bytes_max,
        )
        if count == 0:
            return None
        now = self._clock()
        waited = [row.pending_at for row in rows[:count] if row.pending_at]
        metrics.QUEUE_AGE.labels(channel.platform).observe((now - min(waited, default=now)).total_seconds())
        attempt = Attempt(
            attempt_id=new_uuid(),
            brand_id=channel.brand_id,
            channel_id=channel.channel_id,
            claim_id=self._claim.claim_id,
            stage="sending",
            handle=None,
            items=count,
            tries=0,
            due_at=now + self._pace.verdict_timeout,
            created_at=now,
        )
        prices = sync.ordinary_lane(rows[0].facts) is Lane.OFFER
        recorder = Recorder({channel.channel_id: channel}, now)
        for row in rows[:count]:
            row.flight = row.changed or row.flight
            row.changed = None
            row.read_back_at = None
            recorder.move(row, sync.taken(row.facts, attempt.attempt_id), attempt_id=attempt.attempt_id)
        await work.begin(tx, attempt)
        await recorder.flush(tx)
        if stored is not None:
            await self._hunting.sent(tx, stored, attempt)
        return Batch(channel, catalog, gate, attempt, made[:count], stored, prices)

    async def call(self, batch: Batch) -> None:
        """Send what was taken, and store what the answer means."""
        channel, attempt = batch.channel, batch.attempt
        try:
            priority = Priority.FAST if batch.prices else Priority.SLOW
            result = await batch.catalog.send(batch.operations, priority=priority)
        except PlatformFailure as failure:
            metrics.ATTEMPTS.labels(channel.platform, failure.kind.value).inc()
            await self._failed(batch, failure)
            await self._attention.hear(channel, batch.catalog, failure)
            return
        except Exception:
            _log.exception("send_broke", channel=str(channel.channel_id))
            metrics.ATTEMPTS.labels(channel.platform, "broken").inc()
            await self._outcomes.unknown(channel, attempt, LOST_ANSWER)
            return
        metrics.ATTEMPTS.labels(channel.platform, "handle" if result.handle else "answered").inc()
        if batch.hunt is not None and _took_all(result) and _is_last_word(batch.hunt, result):
            await self._hunting.taken(channel, batch.hunt, attempt)
        await self._store(batch, result)
        # A handle proves nothing of the batch: what became of it decides about the next ones, see `Looker.poll`.
        through = attempt.items if result.handle is None else 0
        if batch.gate.failures or (through and batch.gate.items_max is not None):
            able = batch.catalog.capabilities.batch_items_max
            await self._outcomes.went_well(channel, self._claim, through=through, able=able)

    async def _failed(self, batch: Batch, failure: PlatformFailure) -> None:
        channel, attempt, hunt = batch.channel, batch.attempt, batch.hunt
        if failure.kind is FailureKind.INVALID_REQUEST:
            reason = reason_of(failure)
            if hunt is not None:
                await self._hunting.refused(channel, hunt, attempt, reason)
            else:
                await self._hunting.begin(channel, attempt, reason, prices=batch.prices)
        elif failure.kind is FailureKind.TOO_LARGE and hunt is not None:
            await self._hunting.too_large(channel, hunt, attempt, reason_of(failure))
        else:
            await self._outcomes.send_failed(channel, attempt, self._claim, failure)

    async def _store(self, batch: Batch, result: SendResult) -> None:
        """What was refused at once first: a poll by somebody else after a kill would take it for accepted."""
        channel, attempt = batch.channel, batch.attempt
        verdicts = Verdicts(
            by_id={verdict.platform_item_id: verdict for verdict in result.verdicts},
            final=result.handle is None,
            read_back=batch.catalog.capabilities.read_back,
        )
        left = await self._hunting.answered(channel, attempt, verdicts, stored=batch.hunt)
        if result.handle is None or left == 0:
            return
        due_at = schedule.next_poll(self._clock(), 0)
        await self._outcomes.transaction(
            channel.brand_id,
            lambda tx: work.move(tx, attempt, stage="polling", handle=result.handle, due_at=due_at),
        )


def waits_of(catalog: CatalogChannel) -> Waits:
    return Waits(
        fast_s=catalog.ready_in_s(Endpoint.SEND, priority=Priority.FAST),
        slow_s=catalog.ready_in_s(Endpoint.SEND, priority=Priority.SLOW),
    )


def _took_all(result: SendResult) -> bool:
    """Nobody is refused by name, and nothing is left in doubt."""
    return all(verdict.outcome is Outcome.ACCEPTED for verdict in result.verdicts)


def _is_last_word(hunt: StoredHunt, result: SendResult) -> bool:
    """Where the hunt is for what a platform fails after it has taken it, taking it says nothing."""
    return result.handle is None or not hunt.hunt.alone_min


def _operation(catalog: CatalogChannel, row: ChannelItem, stored: bytes) -> Operation:
    platform_id = row.platform_item_id or ""
    if row.facts.desired == GONE:
        return catalog.operation(kind=OperationKind.DELETE, platform_item_id=platform_id)
    attributes = orjson.loads(stored)
    if sync.ordinary_lane(row.facts) is Lane.OFFER and catalog.capabilities.partial_update:
        return catalog.operation(
            kind=OperationKind.OFFER, platform_item_id=platform_id, attributes=attributes["offer"]
        )
    return catalog.operation(
        kind=OperationKind.UPSERT, platform_item_id=platform_id, attributes=attributes["full"]
    )
