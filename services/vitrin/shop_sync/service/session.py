"""One worker's work on one channel, as long as its claim lasts: take, send, poll, look, read back.

The order of a round is the priority: what is under way first (its outcome frees items), then sending, then the next
piece of a first sync, then read-backs. Nothing is sent inside a transaction. A kill between taking and storing leaves
an attempt of a claim that is gone; whoever claims the channel next finds it and looks before it repeats.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import (
    CatalogChannel,
    ChannelMisconfigured,
    Endpoint,
    FailureKind,
    Operation,
    OperationKind,
    PlatformFailure,
    SendResult,
)
from vitrin.shop_sync.domain import batching, schedule, sync
from vitrin.shop_sync.domain.sync import GONE, Lane
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, Claim, Gate, unpack
from vitrin.shop_sync.domain.words import LOST_ANSWER, VERDICT_OVERDUE
from vitrin.shop_sync.repository import channels, items, work
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.backfill import Backfill
from vitrin.shop_sync.service.catalogs import Catalogs, LeaseRefused, LeaseUnavailable
from vitrin.shop_sync.service.outcomes import Outcomes, Verdicts
from vitrin.shop_sync.service.recording import Recorder

LINGER_S: Final = 1.0
"""What is due within this time is waited for without giving the claim back."""
SHORTEST_SLEEP_S: Final = 0.01
"""Between looks at items that somebody else holds."""
READ_BACK_ITEMS_MAX: Final = 200
READ_BACK_FAILURES: Final = 4
"""A look that failed as a whole waits as long as after so many failures, 10 s, where the platform names no time."""
PRICES_IN_A_ROW_MAX: Final = 4
"""Batches of price and stock, before one of content that waits."""
HOPELESS: Final = frozenset({FailureKind.INVALID_REQUEST, FailureKind.TOO_LARGE})
"""Looking again in the same way cannot help."""
_log = get_logger("vitrin.shop_sync.session")


@dataclass(frozen=True, slots=True)
class Pace:
    """How a dispatcher works. `window`: after a send the next one waits so long, and gathers what comes."""

    window: timedelta
    batch_items_max: int
    verdict_timeout: timedelta


@dataclass(frozen=True, slots=True)
class Situation:
    """What one look at the database says of the channel."""

    channel: Channel
    gate: Gate
    attempts: Sequence[Attempt]
    pending_at: datetime | None
    read_back_at: datetime | None
    """Not before the platform's rate has room for one more look."""

    def due_at(self, now: datetime) -> datetime | None:
        times = [attempt.due_at for attempt in self.attempts]
        if self.pending_at is not None:
            times.append(schedule.send_at(now, self.gate.send_after))
        if self.read_back_at is not None:
            times.append(self.read_back_at)
        if self.channel.sync_finished_at is None:
            times.append(now)
        return min(times, default=None)


class Session:
    def __init__(
        self,
        *,
        claim: Claim,
        database: WorkerDatabase,
        catalogs: Catalogs,
        backfill: Backfill,
        outcomes: Outcomes,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self.claim = claim
        self.wake = asyncio.Event()
        self._database = database
        self._catalogs = catalogs
        self._backfill = backfill
        self._outcomes = outcomes
        self._pace = pace
        self._clock = clock
        self._read_back_from = clock()
        self._prices_in_a_row = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until nothing is due soon, the claim is lost, the channel stands still, or `stop` is set."""
        while not stop.is_set():
            self.wake.clear()
            situation = await self._look()
            if situation is None or situation.channel.state != "active":
                break
            if await self._round(situation):
                continue
            situation = await self._look()
            due_at = situation.due_at(self._clock()) if situation else None
            wait_s = (due_at - self._clock()).total_seconds() if due_at else None
            if wait_s is None or wait_s > LINGER_S:
                break
            await self._sleep(wait_s)
        await self._release()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, SHORTEST_SLEEP_S)):
                await self.wake.wait()

    async def _look(self) -> Situation | None:
        async with self._database.read([self.claim.brand_id]) as tx:
            return await self._situation(tx, await work.gate(tx, self.claim))

    async def _situation(self, tx: Any, gate: Gate | None) -> Situation | None:
        brand, channel_id = self.claim.brand_id, self.claim.channel_id
        channel = await channels.get(tx, brand, channel_id)
        if gate is None or channel is None:
            return None
        attempts = await work.attempts_of(tx, brand, channel_id)
        pending_at, read_back_at = await items.next_due(tx, brand, channel_id)
        if read_back_at is not None:
            read_back_at = max(read_back_at, self._read_back_from)
        return Situation(channel, gate, attempts, pending_at, read_back_at)

    async def _release(self) -> None:
        """Under the lock of the work row: whoever leaves work after this sets it due again."""

        async def release(tx: WriteSession) -> None:
            situation = await self._situation(tx, await work.lock(tx, self.claim))
            if situation is None:
                return
            active = situation.channel.state == "active"
            await work.release(tx, self.claim, situation.due_at(self._clock()) if active else None)

        await self._outcomes.transaction(self.claim.brand_id, release)

    async def _round(self, situation: Situation) -> bool:
        """True when something was done and another look is worthwhile."""
        channel, now = situation.channel, self._clock()
        for attempt in situation.attempts:
            if attempt.stage == "sending" and attempt.claim_id != self.claim.claim_id:
                await self._outcomes.unknown(channel, attempt, LOST_ANSWER)
                return True
        try:
            return await self._act(situation, now)
        except (LeaseRefused, ChannelMisconfigured) as refusal:
            await self._outcomes.needs_attention(channel, str(refusal))
        except LeaseUnavailable as silence:
            _log.warning("no_token", channel=str(channel.channel_id), reason=str(silence))
            await self._outcomes.back_off(channel, self.claim)
            await asyncio.sleep(LINGER_S)
        return True

    async def _act(self, situation: Situation, now: datetime) -> bool:
        channel = situation.channel
        due = [attempt for attempt in situation.attempts if attempt.due_at <= now]
        for attempt in due:
            catalog = await self._catalogs.open(channel)
            if attempt.stage == "polling":
                await self._poll(channel, catalog, attempt)
            elif attempt.stage == "unknown":
                await self._look_at_unknown(channel, catalog, attempt)
        sent = False
        if situation.pending_at is not None and schedule.send_at(now, situation.gate.send_after) <= now:
            sent = await self._send(channel, await self._catalogs.open(channel), situation.gate)
        if channel.sync_finished_at is None:
            await self._backfill.next_chunk(channel)
            return True
        if situation.read_back_at is not None and situation.read_back_at <= now:
            await self._read_back(channel, await self._catalogs.open(channel))
            return True
        return bool(due) or sent

    async def _send(self, channel: Channel, catalog: CatalogChannel, gate: Gate) -> bool:
        wait_s = catalog.ready_in_s(Endpoint.SEND)
        attempt: Attempt | None = None
        operations: list[Operation] = []

        async def take(tx: WriteSession) -> None:
            nonlocal attempt, operations
            now = self._clock()
            held = await channels.get(tx, channel.brand_id, channel.channel_id)
            ours = await work.gate(tx, self.claim) is not None
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
            claim_id=self.claim.claim_id,
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
            await self._outcomes.send_failed(channel, attempt, self.claim, failure)
            await self._stop_on_auth(channel, catalog, failure)
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
            await self._outcomes.change_gate(channel, self.claim, items_max=grown)

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

    async def _stop_on_auth(
        self, channel: Channel, catalog: CatalogChannel, failure: PlatformFailure
    ) -> None:
        if failure.kind not in {FailureKind.AUTH, FailureKind.PERMISSION}:
            return
        if not self._catalogs.is_current(channel, catalog):
            return
        expired = failure.kind is FailureKind.AUTH
        reason = f"{failure.code}: {failure.message} {failure.fix}".strip()
        await self._outcomes.needs_attention(channel, reason)
        await self._catalogs.report(
            channel,
            state="token_expired" if expired else "refused",
            code=failure.code,
            message=failure.message,
        )

    async def _poll(self, channel: Channel, catalog: CatalogChannel, attempt: Attempt) -> None:
        async with self._database.read([channel.brand_id]) as tx:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
        retry_at: datetime | None = None
        try:
            result = await catalog.poll(
                attempt.handle or "", [platform_id for _, platform_id, _, _ in flying]
            )
        except PlatformFailure as failure:
            if failure.kind is FailureKind.INVALID_REQUEST:
                await self._outcomes.unknown(channel, attempt, VERDICT_OVERDUE)
                return
            await self._stop_on_auth(channel, catalog, failure)
            wait_s = failure.retry_after_s
            retry_at = schedule.next_try(self._clock(), attempt.tries, jitter=0.5, retry_after_s=wait_s)
        else:
            if result.done:
                by_id = {verdict.platform_item_id: verdict for verdict in result.verdicts}
                verdicts = Verdicts(by_id=by_id, final=True, read_back=catalog.capabilities.read_back)
                await self._outcomes.verdicts(channel, attempt, verdicts)
                return
        if self._clock() - attempt.created_at > self._pace.verdict_timeout:
            await self._outcomes.unknown(channel, attempt, VERDICT_OVERDUE)
            return
        due_at = retry_at or schedule.next_poll(self._clock(), attempt.tries + 1)
        await self._outcomes.transaction(
            channel.brand_id,
            lambda tx: work.move(tx, attempt, stage="polling", due_at=due_at, tries=attempt.tries + 1),
        )

    async def _look_at_unknown(self, channel: Channel, catalog: CatalogChannel, attempt: Attempt) -> None:
        if not catalog.capabilities.read_back:
            await self._outcomes.requeue(channel, attempt)
            return
        async with self._database.read([channel.brand_id]) as tx:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
        expected = {
            platform_id: {} if unpack(hashes) == GONE else _expected(attributes)
            for _, platform_id, hashes, attributes in flying
        }
        try:
            seen = await catalog.read_back(expected)
        except PlatformFailure as failure:
            if failure.kind in HOPELESS:
                await self._outcomes.looked(channel, attempt, {})
                return
            await self._stop_on_auth(channel, catalog, failure)
            due_at = schedule.next_try(
                self._clock(), attempt.tries + 2, jitter=0.5, retry_after_s=failure.retry_after_s
            )
            await self._outcomes.transaction(
                channel.brand_id,
                lambda tx: work.move(tx, attempt, stage="unknown", due_at=due_at, tries=attempt.tries),
            )
            return
        await self._outcomes.looked(channel, attempt, seen)

    async def _read_back(self, channel: Channel, catalog: CatalogChannel) -> None:
        """One call at most, and only when it need not wait: prices must not queue behind looks."""
        wait_s = catalog.ready_in_s(Endpoint.READ_BACK)
        if wait_s > 0:
            self._read_back_from = self._clock() + timedelta(seconds=wait_s)
            return
        limit = min(READ_BACK_ITEMS_MAX, catalog.capabilities.read_back_items_max)
        async with self._database.read([channel.brand_id]) as tx:
            asked = await items.read_back_due(tx, channel, now=self._clock(), limit=limit)
        try:
            seen = await catalog.read_back({row[1]: _expected(row[3]) for row in asked})
        except PlatformFailure as failure:
            if failure.kind not in HOPELESS:
                await self._stop_on_auth(channel, catalog, failure)
                self._read_back_from = schedule.next_try(
                    self._clock(), READ_BACK_FAILURES, jitter=0.5, retry_after_s=failure.retry_after_s
                )
                return
            seen = {}
        await self._outcomes.read_back(channel, asked, seen)


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


def _expected(stored: bytes) -> Mapping[str, object]:
    """Everything that was sent so far of an item: the whole, with the newest price and stock."""
    attributes: Mapping[str, Mapping[str, object]] = orjson.loads(stored)
    return {**attributes["full"]}
