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
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import (
    CatalogChannel,
    Endpoint,
    Operation,
    OperationKind,
    PlatformFailure,
    SendResult,
)
from vitrin.shop_sync.domain import batching, schedule, sync
from vitrin.shop_sync.domain.sync import GONE, Lane
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, Claim, Gate
from vitrin.shop_sync.domain.words import LOST_ANSWER
from vitrin.shop_sync.repository import channels, items, work
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.attention import Attention
from vitrin.shop_sync.service.outcomes import Outcomes, Verdicts
from vitrin.shop_sync.service.recording import Recorder

PRICES_IN_A_ROW_MAX: Final = 4
"""Batches of price and stock, before one of content that waits."""
_log = get_logger("vitrin.shop_sync.sending")


@dataclass(frozen=True, slots=True)
class Pace:
    """How a dispatcher works. `window`: after a send the next one waits so long, and gathers what comes."""

    window: timedelta
    batch_items_max: int
    verdict_timeout: timedelta


class Sender:
    """Sends for one claim of one channel."""

    def __init__(
        self, *, claim: Claim, outcomes: Outcomes, attention: Attention, pace: Pace, clock: Clock
    ) -> None:
        self._claim = claim
        self._outcomes = outcomes
        self._attention = attention
        self._pace = pace
        self._clock = clock
        self._prices_in_a_row = 0

    async def send(self, channel: Channel, catalog: CatalogChannel, gate: Gate) -> bool:
        wait_s = catalog.ready_in_s(Endpoint.SEND)
        attempt: Attempt | None = None
        operations: list[Operation] = []

        async def take(tx: WriteSession) -> None:
            nonlocal attempt, operations
            now = self._clock()
            held = await channels.get(tx, channel.brand_id, channel.channel_id)
            ours = await work.gate(tx, self._claim) is not None
            if not ours or held is None or held.state != "active":
                return
            if wait_s > 0:
                await work.set_gate(
                    tx, channel.channel_id, replace(gate, send_after=now + timedelta(seconds=wait_s))
                )
                return
            attempt, operations = await self._take(tx, channel, catalog, gate)
            if attempt is not None:
                window = now + self._pace.window
                await work.set_gate(tx, channel.channel_id, replace(gate, send_after=window))

        await self._outcomes.transaction(channel.brand_id, take)
        if attempt is None:
            return False
        await self._call(channel, catalog, attempt, operations, gate)
        return True

    async def _take(
        self, tx: WriteSession, channel: Channel, catalog: CatalogChannel, gate: Gate
    ) -> tuple[Attempt | None, list[Operation]]:
        """The next batch, marked as in flight with an attempt; the caller commits before it sends."""
        able = catalog.capabilities
        limit = min(able.batch_items_max, self._pace.batch_items_max, gate.items_max or able.batch_items_max)
        slow = self._prices_in_a_row >= PRICES_IN_A_ROW_MAX
        rows = await items.lock_due(tx, channel, limit=limit, slow=slow)
        stored = await items.attributes(tx, channel, [row.item_id for row in rows])
        made = [_operation(catalog, row, stored[row.item_id]) for row in rows]
        sizes = [operation.size_bytes for operation in made]
        count = batching.fill(sizes, items_max=limit, bytes_max=able.batch_bytes_max)
        if count == 0:
            return None, []
        now = self._clock()
        self._prices_in_a_row = self._prices_in_a_row + 1 if rows[0].settled.lane is Lane.OFFER else 0
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
        recorder = Recorder({channel.channel_id: channel}, now)
        for row in rows[:count]:
            row.flight = row.changed or row.flight
            row.changed = None
            row.read_back_at = None
            recorder.move(row, sync.taken(row.facts, attempt.attempt_id), attempt_id=attempt.attempt_id)
        await work.begin(tx, attempt)
        await recorder.flush(tx)
        await items.mark_sent(tx, channel.brand_id, attempt.attempt_id)
        return attempt, made[:count]

    async def _call(
        self,
        channel: Channel,
        catalog: CatalogChannel,
        attempt: Attempt,
        operations: Sequence[Operation],
        gate: Gate,
    ) -> None:
        try:
            result = await catalog.send(operations)
        except PlatformFailure as failure:
            metrics.ATTEMPTS.labels(channel.platform, failure.kind.value).inc()
            await self._outcomes.send_failed(channel, attempt, self._claim, failure)
            await self._attention.hear(channel, catalog, failure)
            return
        except Exception:
            _log.exception("send_broke", channel=str(channel.channel_id))
            metrics.ATTEMPTS.labels(channel.platform, "broken").inc()
            await self._outcomes.unknown(channel, attempt, LOST_ANSWER)
            return
        metrics.ATTEMPTS.labels(channel.platform, "handle" if result.handle else "answered").inc()
        await self._store(channel, catalog, attempt, result)
        if gate.failures or gate.items_max is not None:
            doubled = (gate.items_max or 0) * 2
            grown = doubled if 0 < doubled < catalog.capabilities.batch_items_max else None
            await self._outcomes.change_gate(channel, self._claim, items_max=grown)

    async def _store(
        self, channel: Channel, catalog: CatalogChannel, attempt: Attempt, result: SendResult
    ) -> None:
        """What was refused at once first: a poll by somebody else after a kill would take it for accepted."""
        verdicts = Verdicts(
            by_id={verdict.platform_item_id: verdict for verdict in result.verdicts},
            final=result.handle is None,
            read_back=catalog.capabilities.read_back,
        )
        left = await self._outcomes.verdicts(channel, attempt, verdicts)
        if result.handle is None or left == 0:
            return
        due_at = schedule.next_poll(self._clock(), 0)
        await self._outcomes.transaction(
            channel.brand_id,
            lambda tx: work.move(tx, attempt, stage="polling", handle=result.handle, due_at=due_at),
        )


def _operation(catalog: CatalogChannel, row: ChannelItem, stored: bytes) -> Operation:
    platform_id = row.platform_item_id or ""
    if row.facts.desired == GONE:
        return catalog.operation(kind=OperationKind.DELETE, platform_item_id=platform_id)
    attributes = orjson.loads(stored)
    if row.settled.lane is Lane.OFFER and catalog.capabilities.partial_update:
        return catalog.operation(
            kind=OperationKind.OFFER, platform_item_id=platform_id, attributes=attributes["offer"]
        )
    return catalog.operation(
        kind=OperationKind.UPSERT, platform_item_id=platform_id, attributes=attributes["full"]
    )
