"""The loop that finds shops with work over all brands and runs a session for each, many at once.

Brands take turns. A session gives its place back after a slice, so that a shop with a long backlog holds up no other;
a shop whose session breaks rests until its claim runs out."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.catalog.shop import metrics, repository_queues
from vitrin.catalog.shop.repository_queues import Claim, Work
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger

IDLE_POLL_S: Final = 1.0
CLAIM_TIME: Final = timedelta(seconds=30)
RENEW_EVERY_S: Final = 10.0
TROUBLE_PAUSE_S: Final = 1.0
DRAIN_S: Final = 10.0
AWAY: Final = (DBAPIError, PoolTimeout, OSError)
NextDue = Callable[[WriteSession], Awaitable[datetime | None]]
"""Asked under the queue's lock: what was left there meanwhile is seen or comes after."""
Session = Callable[[Claim, "Lost"], Awaitable[NextDue]]
_log = get_logger("vitrin.catalog.shop_work")


class Lost:
    """Says that a session should end: the process stops, or its claim is somebody else's."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self.claim_lost = False

    def __bool__(self) -> bool:
        return self.claim_lost or self._stop.is_set()


class ShopWork:
    """`worker` is the stable name of this process: starting again, it lets go of what it held before."""

    def __init__(
        self,
        *,
        work: Work,
        worker: str,
        database: WorkerDatabase,
        session: Session,
        clock: Clock,
        shops_max: int,
    ) -> None:
        self._work: Work = work
        self._worker = worker
        self._database = database
        self._session = session
        self._clock = clock
        self._shops_max = shops_max
        self._woken = asyncio.Event()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._lost: dict[UUID, Lost] = {}

    def wake(self) -> None:
        """Work was left by a commit of this process."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then sessions end at their next step. What is cut off is done again."""
        stopping = asyncio.create_task(self._on_stop(stop))
        renewing = asyncio.create_task(self._renew())
        try:
            await self._steadily(stop, self._let_go, once=True)
            await self._steadily(stop, lambda: self._turn(stop))
        finally:
            for task in (stopping, renewing):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=DRAIN_S)
            for task in list(self._tasks.values()):
                task.cancel()
            await asyncio.gather(*self._tasks.values(), renewing, stopping, return_exceptions=True)

    async def _steadily(
        self, stop: asyncio.Event, step: Callable[[], Awaitable[None]], *, once: bool = False
    ) -> None:
        """A database that is away ends nothing: the step is tried again."""
        while not stop.is_set():
            try:
                await step()
            except AWAY as error:
                _log.warning("database_away", work=self._work, reason=str(error).splitlines()[0])
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TROUBLE_PAUSE_S)
            else:
                if once:
                    return

    async def _on_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _let_go(self) -> None:
        async with self._database.write() as tx:
            await repository_queues.release_all(tx, work=self._work, worker=self._worker, now=self._clock())

    async def _turn(self, stop: asyncio.Event) -> None:
        """Claim what is due; when nothing is, wait for the next time or a wake."""
        self._woken.clear()
        now = self._clock()
        free = self._shops_max - len(self._tasks)
        claims: list[Claim] = []
        async with self._database.write() as tx:
            if free > 0:
                claims = await repository_queues.claim(
                    tx, work=self._work, worker=self._worker, now=now, until=now + CLAIM_TIME, limit=free
                )
            due_at = None if claims else await repository_queues.next_due(tx, work=self._work)
        for claim in claims:
            self._begin(claim, Lost(stop))
        if claims:
            return
        wait_s = IDLE_POLL_S if due_at is None else (due_at - now).total_seconds()
        metrics.OLDEST_DUE_SECONDS.labels(self._work).set(max(0.0, -wait_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(wait_s, 0.05), IDLE_POLL_S)):
                await self._woken.wait()

    def _begin(self, claim: Claim, lost: Lost) -> None:
        self._lost[claim.claim_id] = lost
        task = asyncio.create_task(self._guard(claim, lost), name=f"shop-{claim.connection}")
        self._tasks[claim.claim_id] = task

    async def _guard(self, claim: Claim, lost: Lost) -> None:
        try:
            next_due = await self._session(claim, lost)
            async with self._database.write([claim.brand]) as tx:
                if await repository_queues.hold(tx, claim, work=self._work):
                    await repository_queues.release(tx, claim, work=self._work, due_at=await next_due(tx))
        except AWAY as error:
            _log.warning("database_away", work=self._work, reason=str(error).splitlines()[0])
        except Exception:
            _log.exception("shop_session_broke", work=self._work, connection=str(claim.connection))
        finally:
            self._lost.pop(claim.claim_id, None)
            self._tasks.pop(claim.claim_id, None)
            self._woken.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            mine = list(self._lost)
            if not mine:
                continue
            try:
                async with self._database.write() as tx:
                    kept = await repository_queues.renew(tx, mine, self._clock() + CLAIM_TIME)
            except AWAY:
                continue
            for claim_id in set(mine) - kept:
                if (lost := self._lost.get(claim_id)) is not None:
                    lost.claim_lost = True
