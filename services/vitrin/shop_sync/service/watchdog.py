"""The watchdog: finds what has not moved for too long, says why, and sets going again what is safe to."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.access.outgoing import stop_for, stops_in
from vitrin.kit.attention import Attentions, Concern
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.stuck import REPAIRABLE, UNEXPLAINED, Cause, Finding, Kind, Standing, findings
from vitrin.shop_sync.repository import channels, items, stuck, work
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.concerns import CHANNEL_STUCK, channel_stuck
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.recording import Recorder
from vitrin.shop_sync.service.waking import Waker

EVERY_S: Final = 60.0
FREED_PER_STEP: Final = 1000
_FIRST: Final = BrandId(UUID(int=0))
_log = get_logger("vitrin.shop_sync.watchdog")


class Watchdog:
    """`after`: what has not moved for so long is stuck."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        outcomes: Outcomes,
        waker: Waker,
        clock: Clock,
        after: timedelta,
    ) -> None:
        self._database = database
        self._outcomes = outcomes
        self._waker = waker
        self._clock = clock
        self._after = after
        self._attentions = Attentions("shop_sync.attention_changed", clock)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.sweep()
            except (DBAPIError, PoolTimeout, OSError) as error:
                _log.warning("database_away", reason=str(error).splitlines()[0])
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await stop.wait()

    async def sweep(self) -> list[Finding]:
        """One look at every channel. Answers what was found, before the repair."""
        found: list[Finding] = []
        concerns: list[tuple[BrandId, Concern]] = []
        after = _FIRST
        while True:
            async with self._database.read() as tx:
                brands = await stuck.brands(tx, after=after)
            if not brands:
                break
            after = brands[-1]
            found += await self._look(brands, concerns)
        await self._attentions.settle(self._database, CHANNEL_STUCK, concerns)
        counts: Counter[tuple[Kind, Cause]] = Counter()
        for finding in found:
            counts[finding.kind, finding.cause] += finding.count
        for kind in Kind:
            for cause in Cause:
                metrics.STUCK.labels(kind.value, cause.value).set(counts[kind, cause])
        return found

    async def _look(
        self, brands: Sequence[BrandId], concerns: list[tuple[BrandId, Concern]]
    ) -> list[Finding]:
        now = self._clock()
        found: list[Finding] = []
        async with self._database.read(brands) as tx:
            standings = await stuck.standings(tx, brands, cutoff=now - self._after)
            stops = {brand: await stops_in(tx, brand) for brand in {one.brand_id for one in standings}}
        for standing in standings:
            stopped = stop_for(stops[standing.brand_id], standing.platform) is not None
            seen = findings(standing, now=now, after=self._after, stopped=stopped)
            concern = channel_stuck(standing, seen, after=self._after)
            if concern is not None:
                concerns.append((standing.brand_id, concern))
            for finding in seen:
                found.append(finding)
                self._tell(standing, finding)
                if finding.cause in REPAIRABLE:
                    await self._repair(standing, finding, now)
        return found

    def _tell(self, standing: Standing, finding: Finding) -> None:
        if finding.cause in UNEXPLAINED:
            _log.warning(
                "stuck",
                brand=str(standing.brand_id),
                channel=str(standing.channel_id),
                platform=standing.platform,
                kind=finding.kind.value,
                reason=finding.cause.value,
                count=finding.count,
                repaired=finding.cause in REPAIRABLE,
            )

    async def _repair(self, standing: Standing, finding: Finding, now: datetime) -> None:
        cutoff = now - self._after

        async def repair(tx: WriteSession) -> None:
            if finding.kind is Kind.CLAIM:
                await stuck.free_claim(tx, standing.channel_id, cutoff=cutoff, now=now)
            elif finding.kind is Kind.FLIGHT:
                await stuck.look_at_flights(
                    tx, standing.brand_id, standing.channel_id, cutoff=cutoff, now=now
                )
            elif finding.kind is Kind.SUSPECT:
                await self._release(tx, standing, now)
            await work.make_due(tx, [standing.channel_id], now)
            self._waker.after(tx, [standing.channel_id])

        await self._outcomes.transaction(standing.brand_id, repair)
        metrics.UNSTUCK.labels(finding.kind.value).inc(finding.count)

    async def _release(self, tx: WriteSession, standing: Standing, now: datetime) -> None:
        channel = await channels.get(tx, standing.brand_id, standing.channel_id)
        if channel is None:
            return
        rows = await items.lock_orphan_suspects(tx, channel, limit=FREED_PER_STEP)
        recorder = Recorder({channel.channel_id: channel}, now)
        for row in rows:
            recorder.move(row, sync.released(row.facts))
        await recorder.flush(tx)
