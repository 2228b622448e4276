"""One worker's work on one channel, as long as its claim lasts: take, send, poll, look, read back.

The order of a round is the priority: what is under way first (its outcome frees items), then sending, then the next
piece of a first sync, then read-backs. Nothing is sent inside a transaction.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import ChannelMisconfigured
from vitrin.shop_sync.domain import schedule
from vitrin.shop_sync.domain.values import Claim
from vitrin.shop_sync.domain.words import LOST_ANSWER
from vitrin.shop_sync.repository import work
from vitrin.shop_sync.service.attention import Attention
from vitrin.shop_sync.service.backfill import Backfill
from vitrin.shop_sync.service.catalogs import Catalogs, LeaseRefused, LeaseUnavailable
from vitrin.shop_sync.service.looking import Looker
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.sending import Pace, Sender
from vitrin.shop_sync.service.situation import Situation, situation

LINGER_S: Final = 1.0
"""What is due within this time is waited for without giving the claim back."""
SHORTEST_SLEEP_S: Final = 0.01
"""Between looks at items that somebody else holds."""
_log = get_logger("vitrin.shop_sync.session")


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
        self._clock = clock
        attention = Attention(outcomes=outcomes, catalogs=catalogs)
        self._sender = Sender(claim=claim, outcomes=outcomes, attention=attention, pace=pace, clock=clock)
        self._looker = Looker(
            database=database,
            outcomes=outcomes,
            attention=attention,
            verdict_timeout=pace.verdict_timeout,
            clock=clock,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until nothing is due soon, the claim is lost, the channel stands still, or `stop` is set."""
        while not stop.is_set():
            self.wake.clear()
            found = await self._look()
            if found is None or found.channel.state != "active":
                break
            if await self._round(found):
                continue
            found = await self._look()
            due_at = found.due_at(self._clock()) if found else None
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
            gate = await work.gate(tx, self.claim)
            return await situation(tx, self.claim, gate, read_back_from=self._looker.read_back_from)

    async def _release(self) -> None:
        """Under the lock of the work row: whoever leaves work after this sets it due again."""

        async def release(tx: WriteSession) -> None:
            gate = await work.lock(tx, self.claim)
            found = await situation(tx, self.claim, gate, read_back_from=self._looker.read_back_from)
            if found is None:
                return
            active = found.channel.state == "active"
            await work.release(tx, self.claim, found.due_at(self._clock()) if active else None)

        await self._outcomes.transaction(self.claim.brand_id, release)

    async def _round(self, found: Situation) -> bool:
        """True when something was done and another look is worthwhile."""
        channel, now = found.channel, self._clock()
        for attempt in found.attempts:
            if attempt.stage == "sending" and attempt.claim_id != self.claim.claim_id:
                await self._outcomes.unknown(channel, attempt, LOST_ANSWER)
                return True
        try:
            return await self._act(found, now)
        except (LeaseRefused, ChannelMisconfigured) as refusal:
            await self._outcomes.needs_attention(channel, str(refusal))
        except LeaseUnavailable as silence:
            _log.warning("no_token", channel=str(channel.channel_id), reason=str(silence))
            await self._outcomes.back_off(channel, self.claim)
            await asyncio.sleep(LINGER_S)
        return True

    async def _act(self, found: Situation, now: datetime) -> bool:
        channel = found.channel
        due = [attempt for attempt in found.attempts if attempt.due_at <= now]
        for attempt in due:
            catalog = await self._catalogs.open(channel)
            if attempt.stage == "polling":
                await self._looker.poll(channel, catalog, attempt)
            elif attempt.stage == "unknown":
                await self._looker.look_at_unknown(channel, catalog, attempt)
        sent = False
        if found.pending_at is not None and schedule.send_at(now, found.gate.send_after) <= now:
            sent = await self._sender.send(channel, await self._catalogs.open(channel), found.gate)
        if channel.sync_finished_at is None:
            await self._backfill.next_chunk(channel)
            return True
        if found.read_back_at is not None and found.read_back_at <= now:
            await self._looker.read_back(channel, await self._catalogs.open(channel))
            return True
        return bool(due) or sent
