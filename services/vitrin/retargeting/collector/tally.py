"""How many events of which kind a brand sent and what became of them: counted in memory, added to the table every few
seconds. A process that is killed forgets its last seconds of counts, never an event."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger
from vitrin.retargeting.repository import health

EVERY_S: Final = 2.0
ROWS_MAX: Final = 50_000
"""While the database is away; then only what is counted already goes on being counted."""
_log = get_logger("vitrin.retargeting.tally")


class Counted(NamedTuple):
    brand_id: BrandId
    hour: datetime
    name: str
    source: str
    outcome: str
    code: str


class Tally:
    """Not for threads."""

    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: Counter[Counted] = Counter()

    def add(self, brand: BrandId, names: Sequence[str], *, source: str, outcome: str, code: str = "") -> None:
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        for name, number in Counter(names).items():
            counted = Counted(brand, hour, str(name), source, outcome, code)
            if counted in self._counts or len(self._counts) < ROWS_MAX:
                self._counts[counted] += number

    async def flush(self) -> None:
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        brands = sorted({one.brand_id for one in counts})
        try:
            async with self._database.write(brands) as tx:
                await health.add(tx, counts, last_at=self._clock())
        except (SQLAlchemyError, OSError) as error:
            self._counts.update(counts)
            _log.warning("counts_wait", rows=len(counts), reason=str(error).splitlines()[0])

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY_S)
            await self.flush()
