"""The loop that finds channels with due work over all brands and runs a session for each, several at once."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import ChannelId
from vitrin.kit.logs import get_logger
from vitrin.shop_sync.domain.values import Claim
from vitrin.shop_sync.repository import work
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.session import Session

IDLE_POLL_S: Final = 1.0
CLAIM_TIME: Final = timedelta(seconds=30)
RENEW_EVERY_S: Final = 10.0
TROUBLE_PAUSE_S: Final = 1.0
CROWDED_POLL_S: Final = 0.2
CLAIM_PAUSE_S: Final = 0.05
"""After a claim the new sessions go first; a wake ends the pause."""
SLICE: Final = timedelta(seconds=2)
"""While other channels wait for a place, nobody keeps one for longer than this and the step it is in."""
DRAIN_S: Final = 10.0
MakeSession = Callable[[Claim], Session]
_log = get_logger("vitrin.shop_sync.dispatcher")


def places_of_one(channels_max: int) -> int:
    """Half of the places are out of reach for one brand, and for one platform: a platform that hangs holds what it has
    until its breakers open, and with a quarter left the others' waits grow (tests/kit/delivery/test_isolation.py)."""
    return max(1, channels_max // 2)


class Dispatcher:
    """`worker` is the stable name of this process: starting again, it lets go of what it held before."""

    def __init__(
        self,
        *,
        worker: str,
        database: WorkerDatabase,
        make_session: MakeSession,
        clock: Clock,
        channels_max: int,
    ) -> None:
        self._worker = worker
        self._database = database
        self.session = make_session
        self._clock = clock
        self._channels_max = channels_max
        self._woken = asyncio.Event()
        self._sessions: dict[UUID, Session] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        """Both by claim: a channel may be claimed again before the session that gave it back has ended."""

    def wake(self, channels: Sequence[ChannelId]) -> None:
        """Work was left for these channels, by a commit of this process."""
        wanted = set(channels)
        for session in self._sessions.values():
            if session.claim.channel_id in wanted:
                session.wake.set()
        self._woken.set()

    def tasks(self) -> "list[asyncio.Task[None]]":
        """The sessions at work now."""
        return list(self._tasks.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then open sessions finish their step. What is cut off is looked at by the next worker."""
        stopping = asyncio.create_task(self._on_stop(stop))
        renewing = asyncio.create_task(self._renew_claims())
        try:
            await self._start(stop)
            while not stop.is_set():
                try:
                    await self._turn(stop)
                except (DBAPIError, PoolTimeout, OSError) as error:
                    _log.warning("database_away", reason=str(error).splitlines()[0])
                    await asyncio.sleep(TROUBLE_PAUSE_S)
        finally:
            for task in (stopping, renewing):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=DRAIN_S)
            for task in list(self._tasks.values()):
                task.cancel()
            await asyncio.gather(*self._tasks.values(), renewing, stopping, return_exceptions=True)

    async def _on_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake([session.claim.channel_id for session in self._sessions.values()])

    async def _start(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with self._database.write() as tx:
                    await work.release_all(tx, worker=self._worker, now=self._clock())
                return
            except (DBAPIError, PoolTimeout, OSError) as error:
                _log.warning("database_away", reason=str(error).splitlines()[0])
                await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _turn(self, stop: asyncio.Event) -> None:
        """Claim what is due; when nothing is, wait for the next time or a wake."""
        self._woken.clear()
        now = self._clock()
        free = self._channels_max - len(self._tasks)
        async with self._database.write() as tx:
            claims = await self._claim(tx, free) if free > 0 else []
            due_at = None if claims else await work.next_due(tx)
        for claim in claims:
            self._begin(claim, stop)
        if claims:
            await self._rest(CLAIM_PAUSE_S)
            return
        wait_s = IDLE_POLL_S if due_at is None else (due_at - now).total_seconds()
        if wait_s <= 0:
            # Due, but no place is free, or its brand or platform has its share of them.
            self._make_room(now)
            wait_s = CROWDED_POLL_S
        await self._rest(min(wait_s, IDLE_POLL_S))

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _claim(self, tx: WriteSession, free: int) -> list[Claim]:
        now = self._clock()
        return await work.claim(
            tx,
            worker=self._worker,
            now=now,
            until=now + CLAIM_TIME,
            limit=free,
            one_max=places_of_one(self._channels_max),
        )

    def _begin(self, claim: Claim, stop: asyncio.Event) -> None:
        session = self.session(claim)
        self._sessions[claim.claim_id] = session
        task = asyncio.create_task(self._guard(session, stop), name=f"channel-{claim.channel_id}")
        self._tasks[claim.claim_id] = task
        metrics.SESSIONS.set(len(self._tasks))

    def _make_room(self, now: datetime) -> None:
        """The session that has worked longest gives way, after its slice; its channel queues behind those that wait."""
        oldest = min(self._sessions.values(), key=lambda session: session.began_at, default=None)
        if oldest is not None and now - oldest.began_at >= SLICE:
            oldest.yields = True
            oldest.wake.set()

    async def _guard(self, session: Session, stop: asyncio.Event) -> None:
        """A session that breaks keeps its claim until it expires: a pause that grows no log storm."""
        claim = session.claim
        try:
            await session.run(stop)
        except Exception:
            _log.exception("session_broke", channel=str(claim.channel_id))
            await asyncio.sleep(TROUBLE_PAUSE_S)
            await self._give_back(session)
        finally:
            self._sessions.pop(claim.claim_id, None)
            self._tasks.pop(claim.claim_id, None)
            metrics.SESSIONS.set(len(self._tasks))
            self._woken.set()

    async def _give_back(self, session: Session) -> None:
        try:
            async with self._database.write() as tx:
                await work.release(tx, session.claim, self._clock() + timedelta(seconds=TROUBLE_PAUSE_S))
        except (DBAPIError, PoolTimeout, OSError) as error:
            _log.warning("database_away", reason=str(error).splitlines()[0])

    async def _renew_claims(self) -> None:
        while True:
            try:
                await self._renew()
            except (DBAPIError, PoolTimeout, OSError) as error:
                _log.warning("database_away", reason=str(error).splitlines()[0])
            await asyncio.sleep(RENEW_EVERY_S)

    async def _renew(self) -> None:
        held = list(self._sessions)
        if held:
            async with self._database.write() as tx:
                await work.renew(tx, held, self._clock() + CLAIM_TIME)
