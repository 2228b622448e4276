"""The loop that publishes whole topics: a chunk is one transaction with its rows' locks, its events and its position.

It goes on after a kill where the last commit stood. Between chunks it waits while the outbox holds more than
`BACKLOG_ROWS_MAX` unsent rows, so that a change made meanwhile waits behind a few chunks and not behind a catalog, and
a broker that just came back is not given more than it takes.
"""

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.events.envelope import Event
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import EventTooLarge
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge
from vitrin.kit.outbox import store
from vitrin.kit.state import jobs
from vitrin.kit.state.jobs import Job
from vitrin.kit.state.source import PAGE_RECORDS, Sources

LOOK_S: Final = 5.0
RETRY_S: Final = 0.5
BACKLOG_ROWS_MAX: Final = 20
BACKLOG_POLL_S: Final = 0.1

PUBLISHED = counter(
    "vitrin_republish_events_total", "State records written to the outbox by republish jobs", ["topic"]
)
RUNNING = gauge("vitrin_republish_running", "1 while a republish job of the topic runs", ["topic"])

log = get_logger(__name__)


class Republisher:
    """Runs in the worker role. `wake` is set by whoever made a job in this process."""

    def __init__(
        self, *, database: WorkerDatabase, sources: Sources, wake: asyncio.Event, clock: Clock
    ) -> None:
        self._database = database
        self._sources = sources
        self._wake = wake
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            worked = False
            try:
                worked = await self._round(stop)
            except (SQLAlchemyError, PoolTimeout, OSError) as error:
                log.warning("republish_waits", reason=str(error).splitlines()[0])
                await asyncio.sleep(RETRY_S)
            if not worked:
                await self._sleep(stop)

    async def _round(self, stop: asyncio.Event) -> bool:
        """A chunk of every running job; False when there was nothing to do."""
        async with self._database.read() as session:
            open_jobs = [job for job in await jobs.running(session) if job.topic in self._sources]
        names = {job.topic for job in open_jobs}
        for topic in self._sources:
            RUNNING.labels(topic=topic).set(topic in names)
        worked = False
        for job in open_jobs:
            await self._wait_for_room(stop)
            if stop.is_set():
                return True
            worked = await self._chunk(job) or worked
        return worked

    async def _wait_for_room(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            async with self._database.read() as session:
                _, unsent = await store.backlog(session)
            if unsent <= BACKLOG_ROWS_MAX:
                return
            await asyncio.sleep(BACKLOG_POLL_S)

    async def _chunk(self, job: Job) -> bool:
        """The next chunk of one brand, or the end. False: another worker has it."""
        source = self._sources[job.topic]
        brand = job.brand_id
        if brand is None or job.position is None:
            async with self._database.read() as session:
                brand = await source.next_brand(session, brand)
        if brand is None:
            return await self._finish(job)
        async with self._database.write([brand]) as tx:
            held = await jobs.hold(tx, job.id)
            if held is None or not _same_place(held, job):
                return False
            page = await source.page(tx, brand, after=job.position or "", limit=PAGE_RECORDS, lock=True)
            for record in page.records:
                _publish(tx, record.event)
            await jobs.advance(
                tx, job, brand=brand, position=page.after, records=len(page.records), now=self._clock()
            )
        PUBLISHED.labels(topic=job.topic).inc(len(page.records))
        return True

    async def _finish(self, job: Job) -> bool:
        async with self._database.write() as tx:
            held = await jobs.hold(tx, job.id)
            if held is None or not _same_place(held, job):
                return False
            await jobs.finish(tx, job, now=self._clock())
        RUNNING.labels(topic=job.topic).set(0)
        log.info("republished", topic=job.topic, reason=job.reason, records=job.records, brands=job.brands)
        return True

    async def _sleep(self, stop: asyncio.Event) -> None:
        waiting = {asyncio.create_task(self._wake.wait()), asyncio.create_task(stop.wait())}
        await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting, return_exceptions=True)
        self._wake.clear()


def _publish(tx: WriteSession, event: Event) -> None:
    """One that is too large (from before that was refused) must not hold up the state of everybody else."""
    try:
        tx.publish(event)
    except EventTooLarge as error:
        log.error(
            "state_too_large", topic=event.topic, key=event.key, bytes=event.record_bytes, fix=error.fix
        )


def _same_place(held: Job, job: Job) -> bool:
    return held.state == "running" and (held.brand_id, held.position) == (job.brand_id, job.position)


async def ask(database: WorkerDatabase, *, topic: str, wake: asyncio.Event, clock: Clock) -> Job:
    """A job for the topic: the one that runs, else a new one."""
    async with database.write() as tx:
        job = await jobs.ask(tx, topic=topic, now=clock())
        tx.after_commit(wake.set)
    return job
