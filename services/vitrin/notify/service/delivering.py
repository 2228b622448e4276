"""One endpoint's deliveries, as long as something is due: a few at once, each outcome saved in its own transaction.

Only the process that holds the endpoint's claim delivers to it, so the order per object is kept by taking of each
object the earliest alone. A process that is killed leaves its deliveries pending, under a claim that runs out: they go
again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit import webhook_signing
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger
from vitrin.notify.domain.outcome import SLOW_AFTER, Outcome
from vitrin.notify.domain.schedule import WAIT_MAX, Schedule
from vitrin.notify.repository import endpoints, work
from vitrin.notify.repository.work import Claim
from vitrin.notify.service import metrics
from vitrin.notify.service.calling import Caller
from vitrin.notify.service.outcomes import Outcomes, Tried
from vitrin.notify.service.secrets import Secrets

_log = get_logger("vitrin.notify.deliveries")

AWAY: Final = (DBAPIError, PoolTimeout, OSError)
"""How a database that is away looks."""
SAVED_WITHIN_S: Final = 300.0
SAVE_PAUSE_S: Final = 1.0
TAKE_MAX: Final = 50
TAKEN_FOR_S: Final = 1.0
"""What was taken and not begun by then is taken again: the endpoint may be disabled, or have another address."""
OLDEST: Final = WAIT_MAX + timedelta(days=1)
"""Pending deliveries are looked for so far back: what waits longer than WAIT_MAX is given up before."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as it was when deliveries were last taken."""

    url: str
    ordered: bool
    secrets: tuple[str, ...] = field(repr=False)


class Told(NamedTuple):
    """A saved try: failures in a row of the endpoint after it, and how long the call took."""

    failures: int
    latency_ms: int


@dataclass(slots=True)
class Session:
    """One claim. `yields` asks it to end after the calls that are under way."""

    claim: Claim
    database: WorkerDatabase
    caller: Caller
    secrets: Secrets
    outcomes: Outcomes
    schedule: Schedule
    clock: Clock
    calls_max: int
    monotonic: Callable[[], float]
    yields: bool = False
    _failures: int = field(init=False)
    _slow: bool = field(init=False, default=False)
    _tired: bool = field(init=False, default=False)
    """It failed now, and so often before that it rests. One that comes from its rest is tried once first."""
    _waiting: "deque[Any]" = field(init=False, default_factory=deque)
    _calls: "dict[asyncio.Task[Told], UUID]" = field(init=False, default_factory=dict)
    _target: Target | None = field(init=False, default=None)
    _taken_at: float = field(init=False, default=0.0)
    began_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._failures = self.claim.failures
        self._slow = self.claim.failures > 0
        self.began_at = self.clock()

    async def run(self, stop: asyncio.Event) -> None:
        """Until nothing is due, the endpoint has to rest, or `stop`; then the claim is given back."""
        try:
            while not (stop.is_set() or self.yields or self._tired):
                if self.monotonic() - self._taken_at > TAKEN_FOR_S:
                    self._waiting.clear()
                if not self._waiting and not await self._taken():
                    break
                while self._waiting and len(self._calls) < self._places():
                    row = self._waiting.popleft()
                    self._calls[asyncio.create_task(self._deliver(row))] = row.delivery_id
                if not self._calls:
                    break
                await self._next_outcome()
            while self._calls:
                await self._next_outcome()
        finally:
            for task in self._calls:
                task.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
        await self._release()

    def _places(self) -> int:
        """An endpoint that fails is asked by one call at a time."""
        return 1 if self._failures else self.calls_max

    async def _taken(self) -> bool:
        """False when the database is away: what is under way goes on, and the claim is left to run out."""
        try:
            await self._take()
        except AWAY as error:
            if not self._calls:
                raise
            said = str(error).splitlines()[0]
            _log.warning("database_away", endpoint=str(self.claim.endpoint_id), reason=said)
            return False
        return True

    async def _take(self) -> None:
        now, self._taken_at = self.clock(), self.monotonic()
        async with self.database.read([self.claim.brand_id]) as tx:
            row = await endpoints.get(tx, self.claim.brand_id, self.claim.endpoint_id)
            if row is None or not row.enabled:
                self._target = None
                return
            keys = await endpoints.secrets(tx, self.claim.brand_id, self.claim.endpoint_id, now)
            self._target = Target(row.url, row.ordered, self.secrets.open_all(self.claim.endpoint_id, keys))
            self._waiting.extend(
                await work.take(
                    tx,
                    self.claim,
                    ordered=row.ordered,
                    now=now,
                    oldest=now - OLDEST,
                    busy=list(self._calls.values()),
                    limit=TAKE_MAX,
                )
            )

    async def _deliver(self, row: Any) -> Told:
        tried = await self._try(row)
        return Told(await self._saved(tried), tried.latency_ms)

    async def _saved(self, tried: Tried) -> int:
        """A receiver is not called again because the database was away for a while: what it answered is held here."""
        begun = self.monotonic()
        while True:
            try:
                return await self.outcomes.save(self.claim, tried)
            except AWAY:
                if self.monotonic() - begun > SAVED_WITHIN_S:
                    raise
            await asyncio.sleep(SAVE_PAUSE_S)

    async def _try(self, row: Any) -> Tried:
        target = self._target
        assert target is not None
        began, at = self.monotonic(), self.clock()
        if at - row.created_at > WAIT_MAX:
            return Tried(row, at, 0, Outcome(code="too_old", detail="It could not be tried for a week."))
        if row.payload is None:
            return Tried(
                row, at, 0, Outcome(code="too_old", detail="Its event is older than events are kept.")
            )
        body = row.payload.encode()
        headers = webhook_signing.headers(target.secrets, str(row.event_id), int(at.timestamp()), body)
        found = await self.caller.call(target.url, headers=headers, body=body)
        taken_s = self.monotonic() - began
        metrics.ATTEMPTS.labels(found.code).inc()
        metrics.ATTEMPT_SECONDS.observe(taken_s)
        if row.tries == 0:
            metrics.FIRST_SECONDS.observe(max(0.0, (at - row.created_at).total_seconds()))
        return Tried(row, at, round(1000 * taken_s), found)

    async def _next_outcome(self) -> None:
        done, _ = await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._calls[task]
            self._failures, latency_ms = task.result()
            self._tired = self.schedule.rest(self._failures) > timedelta()
            self._slow = self._failures > 0 or latency_ms >= 1000 * SLOW_AFTER.total_seconds()
            if self._failures:
                self._waiting.clear()  # taken again when its turn comes; others of the endpoint may be gone by then

    async def _release(self) -> None:
        """Under the queue's lock: what is left there from now on sets its own time."""
        now = self.clock()
        async with self.database.write([self.claim.brand_id]) as tx:
            if not await work.hold(tx, self.claim):
                return
            row = await endpoints.get(tx, self.claim.brand_id, self.claim.endpoint_id)
            due_at = None
            if row is not None and row.enabled:
                due_at = await work.next_of(tx, self.claim, ordered=row.ordered, oldest=now - OLDEST)
            rest = self.schedule.rest(self._failures)
            rest_until = now + rest if rest else None
            if due_at is not None and rest_until is not None:
                due_at = max(due_at, rest_until)
            await work.release(tx, self.claim, due_at=due_at, rest_until=rest_until, slow=self._slow)
