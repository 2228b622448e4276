"""How old a replica is, told to processes that do not read the topics themselves.

A worker process writes down when a group stood at the end of its topics; an api process of the same service reads it.
A process that is both needs neither: it asks its own consumer.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession

LOOK_S: Final = 2.0

_AT_END = text(
    """
    insert into consumer_ends (consumer_group, at_end_at) values (:consumer_group, :now)
    on conflict (consumer_group) do update set at_end_at = excluded.at_end_at
    """
)
_READ = text("select at_end_at from consumer_ends where consumer_group = :consumer_group")


async def stood_at_end(tx: WriteSession, *, group: str, now: datetime) -> None:
    await tx.execute(text("set local synchronous_commit = off"))
    await tx.execute(_AT_END, {"consumer_group": group, "now": now})


class AgeWatch:
    """In an api process, what `Consumer` is in a worker, as far as the age of the replica goes."""

    def __init__(self, *, group: str, database: AppDatabase, clock: Clock) -> None:
        self.group = group
        self._database = database
        self._clock = clock
        self._at_end: datetime | None = None

    def age_s(self) -> float:
        """Seconds since a worker of this service stood at the end; infinite before it ever did."""
        return (self._clock() - self._at_end).total_seconds() if self._at_end else float("inf")

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(SQLAlchemyError, PoolTimeout, OSError):
                async with self._database.lookup() as session:
                    self._at_end = await session.scalar(_READ, {"consumer_group": self.group})
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()
