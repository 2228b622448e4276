"""Every half minute: how the queues stand, for the alerts; once an hour: source events that cannot come again go."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.notify.domain.schedule import REST_FROM
from vitrin.notify.repository import events, work
from vitrin.notify.service import metrics

EVERY_S: Final = 30.0
SOURCES_KEPT: Final = timedelta(days=40)
"""Longer than the 30 days of shop_sync.alert.v1 and the days of its outbox."""
FORGET_EVERY: Final = timedelta(hours=1)


class Watching:
    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._forgot_at: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(DBAPIError, PoolTimeout, OSError):
                await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY_S)

    async def look(self) -> None:
        now = self._clock()
        async with self._database.read() as tx:
            age_s, failing = await work.standing(tx, now=now, failures=REST_FROM)
        metrics.OVERDUE.set(age_s)
        metrics.FAILING.set(failing)
        if self._forgot_at is None or now - self._forgot_at >= FORGET_EVERY:
            async with self._database.write() as tx:
                await events.forget_sources(tx, now - SOURCES_KEPT)
            self._forgot_at = now
