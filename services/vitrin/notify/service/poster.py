"""The loop that finds channels with something due over all brands, and sends one message to each, some at once.

A slow mail server or Slack holds as many places as AT_ONCE; brands take turns. Every half minute it also looks how
late the latest is, and once an hour what is old is forgotten.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger
from vitrin.notify.repository import notices, posts
from vitrin.notify.repository.posts import Claim
from vitrin.notify.service import metrics_notices as metrics
from vitrin.notify.service.posting import FORGET_AFTER, Posting

AT_ONCE: Final = 16
CLAIM_TIME: Final = timedelta(seconds=120)
"""Longer than any message takes, with its time-outs and the saving of its outcome."""
IDLE_POLL_S: Final = 1.0
TROUBLE_PAUSE_S: Final = 1.0
DRAIN_S: Final = 10.0
LOOK_EVERY: Final = timedelta(seconds=30)
TIDY_EVERY: Final = timedelta(hours=1)
SOURCES_KEPT: Final = timedelta(days=40)
"""Longer than the 30 days of the topics and the days of their outbox."""
RESOLVED_KEPT: Final = timedelta(days=90)
AWAY: Final = (DBAPIError, PoolTimeout, OSError)
_log = get_logger("vitrin.notify.poster")


class Poster:
    """`worker` is the stable name of this process: starting again, it lets go of what it held before."""

    def __init__(self, *, worker: str, database: WorkerDatabase, posting: Posting, clock: Clock) -> None:
        self._worker = worker
        self._database = database
        self._posting = posting
        self._clock = clock
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked_at: datetime | None = None
        self._tidied_at: datetime | None = None

    def wake(self) -> None:
        """Deliveries were left by a commit of this process."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then the messages that are under way end. What is cut off goes again."""
        stopping = asyncio.create_task(self._on_stop(stop))
        let_go = False
        try:
            while not stop.is_set():
                try:
                    if not let_go:
                        await self._let_go()
                        let_go = True
                    await self._turn()
                    await self.tidy()
                except AWAY as error:
                    _log.warning("database_away", reason=str(error).splitlines()[0])
                    await asyncio.sleep(TROUBLE_PAUSE_S)
        finally:
            stopping.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_S)
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, stopping, return_exceptions=True)

    async def _on_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _let_go(self) -> None:
        async with self._database.write() as tx:
            await posts.let_go(tx, self._worker)

    async def _turn(self) -> None:
        """Claim what is due; when nothing is, wait for the next time or a wake."""
        self._woken.clear()
        now, free = self._clock(), AT_ONCE - len(self._tasks)
        claims: list[Claim] = []
        async with self._database.write() as tx:
            if free > 0:
                claims = await posts.claim(
                    tx, worker=self._worker, now=now, until=now + CLAIM_TIME, limit=free
                )
            due_at = None if claims else await posts.next_due(tx)
        for claim in claims:
            task = asyncio.create_task(self._guard(claim), name=f"channel-{claim.channel_id}")
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if claims:
            return
        wait_s = IDLE_POLL_S if due_at is None or free <= 0 else max(0.02, (due_at - now).total_seconds())
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, IDLE_POLL_S)):
                await self._woken.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._woken.set()

    async def _guard(self, claim: Claim) -> None:
        """What breaks keeps its claim until it expires: a pause that grows no log storm."""
        try:
            await self._posting.work(claim)
        except AWAY as error:
            _log.warning("database_away", channel=str(claim.channel_id), reason=str(error).splitlines()[0])
        except Exception:
            _log.exception("message_broke", channel=str(claim.channel_id))

    async def tidy(self) -> None:
        """How late the latest is; and once an hour what is old goes."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_EVERY:
            async with self._database.read() as tx:
                planned = await posts.latest_plan(tx)
            metrics.LATE.set(0.0 if planned is None else max(0.0, (now - planned).total_seconds()))
            self._looked_at = now
        if self._tidied_at is None or now - self._tidied_at >= TIDY_EVERY:
            async with self._database.write() as tx:
                await posts.forget(tx, now - FORGET_AFTER)
                await notices.forget(
                    tx, sources_before=now - SOURCES_KEPT, resolved_before=now - RESOLVED_KEPT
                )
            self._tidied_at = now
