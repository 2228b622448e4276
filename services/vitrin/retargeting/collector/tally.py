"""How many events of which kind a brand sent and what became of them: counted in memory, added to the table every few
seconds. A process that is killed forgets its last seconds of counts, never an event."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

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


_What = tuple[bytes, str, str, str, str]
"""Brand, name, source, outcome, code."""


class Tally:
    """Not for threads."""

    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[_What, int] = {}

    def add(self, brand: bytes, names: Sequence[str], *, source: str, outcome: str, code: str = "") -> None:
        counts = self._counts
        for name, number in Counter(names).items():
            what = (brand, name, source, outcome, code)
            known = counts.get(what)
            if known is not None:
                counts[what] = known + number
            elif len(counts) < ROWS_MAX:
                counts[what] = number

    async def flush(self) -> None:
        """Into the hour in which it is written down."""
        if not self._counts:
            return
        now = self._clock()
        hour = now.replace(minute=0, second=0, microsecond=0)
        counts, self._counts = self._counts, {}
        rows = {
            Counted(BrandId(UUID(bytes=brand)), hour, str(name), source, outcome, code): number
            for (brand, name, source, outcome, code), number in counts.items()
        }
        try:
            async with self._database.write(sorted({one.brand_id for one in rows})) as tx:
                await health.add(tx, rows, last_at=now)
        except (SQLAlchemyError, OSError) as error:
            for what, number in counts.items():
                self._counts[what] = self._counts.get(what, 0) + number
            _log.warning("counts_wait", rows=len(counts), reason=str(error).splitlines()[0])

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY_S)
            await self.flush()
