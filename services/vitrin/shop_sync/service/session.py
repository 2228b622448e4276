"""One worker's work on one channel, as long as its claim lasts: take, send, poll, look, read back.

The order of a round is the priority: what is under way first (its outcome frees items), then sending, then the next
piece of taking stock, then of a first sync, then read-backs. A look at the database takes the next batch in the same
transaction where that is the next thing to do, so that a quiet change is on the wire after one transaction of its
session; nothing is sent inside a transaction.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from vitrin.kit.access.outgoing import Outgoing
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import ChannelMisconfigured
from vitrin.shop_sync.domain.values import Attempt, Channel, Claim, Waits
from vitrin.shop_sync.domain.words import LOST_ANSWER
from vitrin.shop_sync.repository import work
from vitrin.shop_sync.service.attention import Attention
from vitrin.shop_sync.service.backfill import Backfill
from vitrin.shop_sync.service.catalogs import Catalogs, LeaseRefused, LeaseUnavailable
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.hunting import Hunting
from vitrin.shop_sync.service.looking import Looker
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.sending import Batch, Pace, Sender, waits_of
from vitrin.shop_sync.service.situation import Situation, situation
from vitrin.shop_sync.service.stocktaking import Stocktaking

LINGER_S: Final = 1.0
"""What is due within this time is waited for without giving the claim back."""
SHORTEST_SLEEP_S: Final = 0.01
"""Between looks at items that somebody else holds."""
STOPPED_LOOK_AGAIN: Final = timedelta(seconds=15)
"""A channel that a switch stopped is looked at again after this time; the switch itself wakes it sooner."""
_log = get_logger("vitrin.shop_sync.session")


class Session:
    """`yields`: set when others wait for a place; the session gives its claim back after what it has begun."""

    def __init__(
        self,
        *,
        claim: Claim,
        database: WorkerDatabase,
        catalogs: Catalogs,
        outgoing: Outgoing,
        backfill: Backfill,
        desires: Desires,
        outcomes: Outcomes,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self.claim = claim
        self.wake = asyncio.Event()
        self.yields = False
        self.began_at = clock()
        self._database = database
        self._catalogs = catalogs
        self._outgoing = outgoing
        self._backfill = backfill
        self._outcomes = outcomes
        self._clock = clock
        attention = Attention(outcomes=outcomes, catalogs=catalogs)
        hunting = Hunting(outcomes=outcomes, alone_again=pace.alone_again, clock=clock)
        self._sender = Sender(
            claim=claim, outcomes=outcomes, hunting=hunting, attention=attention, pace=pace, clock=clock
        )
        self._looker = Looker(
            claim=claim,
            database=database,
            outcomes=outcomes,
            hunting=hunting,
            attention=attention,
            verdict_timeout=pace.verdict_timeout,
            shown_within=pace.shown_within,
            clock=clock,
        )
        self.stocktaking = Stocktaking(
            outcomes=outcomes, desires=desires, catalogs=catalogs, attention=attention, clock=clock
        )
        self._looked_last = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until nothing is due soon, the claim is lost, the channel stands still, or `stop` is set."""
        while not stop.is_set() and not self.yields:
            self.wake.clear()
            found, batch = await self._look()
            if batch is not None:
                await self._sender.call(batch)
                continue
            if found is None or not found.channel.may_work or await self._is_stopped(found):
                break
            if await self._round(found):
                continue
            due_at = found.due_at(self._clock(), self._waits(found.channel))
            wait_s = (due_at - self._clock()).total_seconds() if due_at else None
            if wait_s is None or wait_s > LINGER_S:
                break
            await self._sleep(wait_s)
        await self._release()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, SHORTEST_SLEEP_S)):
                await self.wake.wait()

    async def _look(self) -> tuple[Situation | None, Batch | None]:
        async def look(tx: WriteSession) -> tuple[Situation | None, Batch | None]:
            found = await situation(tx, self.claim, read_back_from=self._looker.read_back_from)
            return found, await self._take(tx, found) if found is not None else None

        return await self._outcomes.transaction(self.claim.brand_id, look)

    async def _take(self, tx: WriteSession, found: Situation) -> Batch | None:
        """The next batch, where sending is what comes next and needs nothing but this transaction."""
        channel, now = found.channel, self._clock()
        await self._outgoing.look(tx, channel.brand_id, channel.platform)
        catalog = self._catalogs.opened(channel)
        if (
            catalog is None
            or not channel.may_work
            or channel.stock == "taking"
            or not _is_due(found.send_at(now, self._waits(channel)), now)
        ):
            return None
        looks_first = any(attempt.due_at <= now for attempt in found.attempts) and not self._looked_last
        if looks_first or any(self._is_orphan(attempt) for attempt in found.attempts):
            return None
        self._looked_last = False
        if not self._outgoing.surely_allowed(channel.brand_id, channel.platform):
            return None
        return await self._sender.take(tx, channel, catalog, gate=found.gate, due=found.due)

    def _waits(self, channel: Channel) -> Waits:
        """In memory, and not in the gate: a price must not wait for the turn of the content before it."""
        catalog = self._catalogs.opened(channel)
        return waits_of(catalog) if catalog is not None else Waits()

    def _is_orphan(self, attempt: Attempt) -> bool:
        """Whoever sent it died before it heard or stored the answer."""
        return attempt.stage == "sending" and attempt.claim_id != self.claim.claim_id

    async def _is_stopped(self, found: Situation) -> bool:
        return not await self._outgoing.allowed(self.claim.brand_id, found.channel.platform)

    async def _release(self) -> None:
        """Under the lock of the work row: whoever leaves work after this sets it due again."""

        async def release(tx: WriteSession) -> None:
            if await work.lock(tx, self.claim) is None:
                return
            found = await situation(tx, self.claim, read_back_from=self._looker.read_back_from)
            if found is None:
                return
            due_at = (
                found.due_at(self._clock(), self._waits(found.channel)) if found.channel.may_work else None
            )
            if due_at is not None and self._outgoing.known_stop(self.claim.brand_id, found.channel.platform):
                due_at = max(due_at, self._clock() + STOPPED_LOOK_AGAIN)
            await work.release(tx, self.claim, due_at)

        await self._outcomes.transaction(self.claim.brand_id, release)

    async def _round(self, found: Situation) -> bool:
        """True when something was done and another look is worthwhile."""
        channel = found.channel
        for attempt in found.attempts:
            if self._is_orphan(attempt):
                await self._outcomes.unknown(channel, attempt, LOST_ANSWER)
                return True
        try:
            return await self._act(found, self._clock())
        except (LeaseRefused, ChannelMisconfigured) as refusal:
            await self._outcomes.needs_attention(channel, str(refusal))
        except LeaseUnavailable as silence:
            _log.warning("no_token", channel=str(channel.channel_id), reason=str(silence))
            await self._outcomes.back_off(channel, self.claim)
            await asyncio.sleep(LINGER_S)
        return True

    async def _act(self, found: Situation, now: datetime) -> bool:
        """Everything but sending, which the look takes once the catalog is open."""
        channel = found.channel
        opened = False
        taking = channel.stock == "taking"
        if (
            not taking
            and _is_due(found.send_at(now, self._waits(channel)), now)
            and self._catalogs.opened(channel) is None
        ):
            await self._catalogs.open(channel)
            opened = True
        due = [attempt for attempt in found.attempts if attempt.due_at <= now]
        for attempt in due:
            if await self._is_stopped(found):
                return True
            catalog = await self._catalogs.open(channel)
            if attempt.stage == "polling":
                await self._looker.poll(channel, catalog, attempt, gate=found.gate)
            elif attempt.stage == "unknown":
                await self._looker.look_at_unknown(channel, catalog, attempt)
        self._looked_last = bool(due)
        if not found.decides_first:
            if _is_due(found.due.stock_at, now) and not await self._is_stopped(found):
                await self.stocktaking.step(channel)
                return True
            if taking:
                return bool(due)
        if channel.sync_finished_at is None:
            await self._backfill.next_chunk(channel)
            return True
        if _is_due(found.read_back_at, now) and not await self._is_stopped(found):
            await self._looker.read_back(channel, await self._catalogs.open(channel))
            return True
        return bool(due) or opened


def _is_due(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now
