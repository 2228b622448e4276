"""What goes by its age: ids of events, and item ids that the catalog did not have."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger
from vitrin.retargeting.domain.checking import AGE_DAYS_MAX
from vitrin.retargeting.repository import events, health

IDS_KEPT: Final = timedelta(days=AGE_DAYS_MAX + 1)
UNKNOWN_KEPT: Final = timedelta(days=30)
EVERY_S: Final = 600.0
AT_ONCE: Final = 5_000
_log = get_logger("vitrin.retargeting.keeping")


class Keeping:
    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def sweep(self) -> int:
        """In bounded transactions; answers how many ids went."""
        now, gone = self._clock(), 0
        while True:
            async with self._database.write() as tx:
                some = await events.forget_ids(tx, now - IDS_KEPT, AT_ONCE)
            gone += some
            if some < AT_ONCE:
                break
        async with self._database.write() as tx:
            await health.forget_unknown(tx, now - UNKNOWN_KEPT)
        return gone

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(SQLAlchemyError, OSError):
                await self.sweep()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY_S)
