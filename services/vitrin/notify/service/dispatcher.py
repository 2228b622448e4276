"""The loop that finds endpoints with due deliveries over all brands and runs a session for each, many at once.

One endpoint that hangs holds its own place and no other's; endpoints that were slow or failing when last seen have half
of the places at most. While others wait, nobody keeps a place longer than a slice and the calls that are under way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.notify.repository import work
from vitrin.notify.repository.work import Claim
from vitrin.notify.service import metrics
from vitrin.notify.service.delivering import AWAY, Session

IDLE_POLL_S: Final = 1.0
CLAIM_TIME: Final = timedelta(seconds=30)
RENEW_EVERY_S: Final = 10.0
TROUBLE_PAUSE_S: Final = 1.0
CROWDED_POLL_S: Final = 0.2
SLICE: Final = timedelta(seconds=2)
DRAIN_S: Final = 10.0
MakeSession = Callable[[Claim], Session]
_log = get_logger("vitrin.notify.dispatcher")


class Dispatcher:
    """`worker` is the stable name of this process: starting again, it lets go of what it held before."""

    def __init__(
        self,
        *,
        worker: str,
        database: WorkerDatabase,
        make_session: MakeSession,
        clock: Clock,
        endpoints_max: int,
    ) -> None:
        self._worker = worker
        self._database = database
        self._make_session = make_session
        self._clock = clock
        self._endpoints_max = endpoints_max
        self._woken = asyncio.Event()
        self._sessions: dict[UUID, Session] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Deliveries were left by a commit of this process."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then the calls that are under way end. What is cut off goes again."""
        stopping = asyncio.create_task(self._on_stop(stop))
        renewing = asyncio.create_task(self._renew_claims())
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
                _log.warning("database_away", reason=str(error).splitlines()[0])
                await asyncio.sleep(TROUBLE_PAUSE_S)
            else:
                if once:
                    return

    async def _on_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _let_go(self) -> None:
        async with self._database.write() as tx:
            await work.release_all(tx, worker=self._worker, now=self._clock())

    async def _turn(self, stop: asyncio.Event) -> None:
        """Claim what is due; when nothing is, wait for the next time or a wake."""
        self._woken.clear()
        now = self._clock()
        free = self._endpoints_max - len(self._tasks)
        async with self._database.write() as tx:
            claims = await self._claim(tx, free, now) if free > 0 else []
            due_at = None if claims else await work.next_due(tx)
        for claim in claims:
            self._begin(claim, stop)
        if claims:
            return
        wait_s = IDLE_POLL_S if due_at is None else (due_at - now).total_seconds()
        if wait_s <= 0:
            # Due, but no place is free, or the slow ones have their share of them.
            self._make_room(now)
            wait_s = CROWDED_POLL_S
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, IDLE_POLL_S)):
                await self._woken.wait()

    async def _claim(self, tx: WriteSession, free: int, now: datetime) -> list[Claim]:
        return await work.claim(
            tx,
            worker=self._worker,
            now=now,
            until=now + CLAIM_TIME,
            limit=free,
            slow_max=max(1, self._endpoints_max // 2),
        )

    def _begin(self, claim: Claim, stop: asyncio.Event) -> None:
        session = self._make_session(claim)
        self._sessions[claim.claim_id] = session
        task = asyncio.create_task(self._guard(session, stop), name=f"endpoint-{claim.endpoint_id}")
        self._tasks[claim.claim_id] = task
        metrics.BUSY.set(len(self._tasks))

    def _make_room(self, now: datetime) -> None:
        """The session that has worked longest gives way, after its slice."""
        working = [session for session in self._sessions.values() if not session.yields]
        oldest = min(working, key=lambda session: session.began_at, default=None)
        if oldest is not None and now - oldest.began_at >= SLICE:
            oldest.yields = True

    async def _guard(self, session: Session, stop: asyncio.Event) -> None:
        """A session that breaks keeps its claim until it expires: a pause that grows no log storm."""
        claim = session.claim
        try:
            await session.run(stop)
        except AWAY as error:
            _log.warning("database_away", endpoint=str(claim.endpoint_id), reason=str(error).splitlines()[0])
        except Exception:
            _log.exception("session_broke", endpoint=str(claim.endpoint_id))
        finally:
            self._sessions.pop(claim.claim_id, None)
            self._tasks.pop(claim.claim_id, None)
            metrics.BUSY.set(len(self._tasks))
            self._woken.set()

    async def _renew_claims(self) -> None:
        """A claim that is no longer ours (this process stalled): its session ends after the calls under way."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            mine = list(self._sessions)
            if not mine:
                continue
            try:
                async with self._database.write() as tx:
                    kept = await work.renew(tx, mine, self._clock() + CLAIM_TIME)
            except AWAY:
                continue
            for claim_id in set(mine) - kept:
                if (session := self._sessions.get(claim_id)) is not None:
                    session.yields = True
