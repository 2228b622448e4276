"""The second look at messages: parked ones when they are due, dead letters when an operator asks for it.

Runs beside the consumer in every worker of the service, whichever of them reads the partitions; it needs the database
only, so parked messages go on while the broker is away. Whoever holds the first row of a queue (`FOR UPDATE SKIP
LOCKED`) handles the queue: brands set, effects, and the row's deletion in one transaction.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from psycopg import Error as PsycopgError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.clock import EPOCH, Clock
from vitrin.kit.consumer import letters, parking
from vitrin.kit.consumer.dead_letters import Burial, DeadLetterLimit
from vitrin.kit.consumer.handling import BEHIND, Handler, Sorted, all_or_one_by_one, one_by_one
from vitrin.kit.consumer.parking import Limits
from vitrin.kit.consumer.records import stored_message
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge

LOOK_S: Final = 2.0
"""How soon a request of an operator is seen; parked messages are looked at when they are due."""
LOOK_SOON_S: Final = 0.2
HEADS_MAX: Final = 100
ROWS_MAX: Final = 500
RETRY_S: Final = 1.0
HALT_RETRY_S: Final = 60.0
FORGET_EVERY: Final = timedelta(hours=1)

PARKED = gauge("vitrin_consumer_parked_rows", "Messages that wait in the group's parked table", ["group"])
PARKED_AGE = gauge(
    "vitrin_consumer_parked_age_seconds",
    "How long the oldest parked message has waited; 0 without one",
    ["group"],
)
UNPARKED = counter(
    "vitrin_consumer_unparked_total",
    "Parked messages that left the table, by outcome: done or dead_letter",
    ["group", "outcome"],
)
REPLAYED = counter(
    "vitrin_consumer_replayed_total",
    "Replays of dead letters that came to an end, by outcome: done or failed",
    ["group", "outcome"],
)

log = get_logger(__name__)


class Halt(Protocol):
    """Says that the group stands still at its dead-letter limit, and that it goes on."""

    def __call__(self, *, halted: bool) -> None: ...


class Retrier:
    """Parked messages and replays of one group. `halt` is told when the dead-letter limit stops it."""

    def __init__(
        self,
        *,
        group: str,
        handler: Callable[[], Handler],
        database: WorkerDatabase,
        limits: Limits,
        burial: Burial,
        halt: Halt,
        clock: Clock,
    ) -> None:
        self.group = group
        self._handler = handler
        self._database = database
        self._limits = limits
        self._burial = burial
        self._halt = halt
        self._clock = clock
        self._woken = asyncio.Event()
        self._forgot_at: datetime | None = None
        self._halted_until = EPOCH

    def wake(self) -> None:
        """Something was parked by this process: look when it is due, not at the next look."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    pause_s = await self._round(stop)
                except (DBAPIError, PsycopgError, PoolTimeout, OSError) as error:
                    log.warning("retries_wait", group=self.group, reason=str(error).splitlines()[:1])
                    pause_s = RETRY_S
                await self._wait(stopping, pause_s)
        finally:
            stopping.cancel()

    async def _wait(self, stopping: "asyncio.Task[Any]", pause_s: float) -> None:
        if pause_s <= 0:
            return
        woken = asyncio.create_task(self._woken.wait())
        await asyncio.wait({woken, stopping}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        self._woken.clear()

    async def _round(self, stop: asyncio.Event) -> float:
        """One look and what it finds due. Seconds until the next look; 0 when there is more to do at once."""
        now = self._clock()
        async with self._database.read() as session:
            heads = await parking.next_heads(session, group=self.group, most=HEADS_MAX)
            asked = await letters.next_replays(session, group=self.group, most=HEADS_MAX)
            rows, oldest_at = await parking.state(session, group=self.group) if heads else (0, None)
        PARKED.labels(group=self.group).set(rows)
        age = max(timedelta(0), now - oldest_at) if oldest_at else timedelta(0)
        PARKED_AGE.labels(group=self.group).set(age.total_seconds())
        await self._forget(now)
        moved = False
        for letter in asked:
            if letter.due_at <= now and not stop.is_set():
                moved |= await self._replay(letter.id, letter.brand_id)
        due = [head for head in heads if head.due_at <= now]
        if due and now >= self._halted_until and not stop.is_set():
            moved |= await self._drain_unless_halted(due)
        if moved:
            return 0.0
        ahead = [row.due_at for row in (*heads, *asked)]
        soonest_s = (min(ahead) - self._clock()).total_seconds() if ahead else LOOK_S
        return min(LOOK_S, max(LOOK_SOON_S, soonest_s))

    async def _drain_unless_halted(self, due: Sequence[Any]) -> bool:
        """At the limit of dead letters the queues stand still; replays go on, since they are how an operator gets
        below it."""
        try:
            brands = sorted({BrandId(head.brand_id) for head in due})
            moved = await self._drain([head.id for head in due], brands)
        except DeadLetterLimit as error:
            self._halted_until = self._clock() + timedelta(seconds=HALT_RETRY_S)
            self._halt(halted=True)
            log.error("parked_halted", group=self.group, reason=str(error))
            return False
        self._halt(halted=False)
        return moved

    async def _drain(self, heads: Sequence[UUID], brands: Sequence[BrandId]) -> bool:
        """Handle these queues as far as they go. True when a message left its queue."""
        async with self._database.write(brands) as tx:
            now = self._clock()
            rows = await parking.hold(tx, group=self.group, heads=heads, now=now, most=ROWS_MAX)
            if not rows:
                return False
            messages = [stored_message(row) for row in rows]
            stored = {id(message): row for message, row in zip(messages, rows, strict=True)}
            found = await all_or_one_by_one(tx, self._handler(), messages, group=self.group)
            await parking.delete(tx, [stored[id(message)].id for message in found.done])
            buried = [(stored[id(message)], reason) for message, reason in found.invalid]
            buried += await self._wait_again(tx, found, stored, now=now)
            await self._burial.room(tx, len(buried))
            for row, reason in buried:
                await parking.bury(tx, row, reason=reason, now=now)
        UNPARKED.labels(group=self.group, outcome="done").inc(len(found.done))
        if buried:
            UNPARKED.labels(group=self.group, outcome="dead_letter").inc(len(buried))
            self._burial.count(len(buried))
        return bool(found.done or buried)

    async def _wait_again(
        self, tx: WriteSession, found: Sorted, stored: dict[int, Any], *, now: datetime
    ) -> list[tuple[Any, str]]:
        """Those that still have to wait get their next time; returns those that have waited too long."""
        late = []
        for message, reason in found.later:
            row = stored[id(message)]
            if reason == BEHIND:
                continue
            tries = row.tries + 1
            if tries >= self._limits.tries_max or now - row.parked_at >= self._limits.age_max:
                waited = f"waited since {row.parked_at.isoformat(timespec='seconds')}, {tries} tries"
                late.append((row, f"{waited}; the last one said: {reason}"))
            else:
                await parking.again(tx, row, reason=reason, due_at=now + self._limits.pause(tries))
        return late

    async def _replay(self, letter: UUID, brand: UUID | None) -> bool:
        """One letter in a transaction of its own: its effects and its end are saved together. True: it has an end."""
        brands = [] if brand is None else [BrandId(brand)]
        async with self._database.write(brands) as tx:
            now = self._clock()
            row = await letters.hold(tx, letter, now=now)
            if row is None or not await parking.alone(
                tx, group=self.group, keys=[(row.topic, row.key or "")]
            ):
                return False
            try:
                message = stored_message(row)
            except InvalidMessage as unreadable:
                found = Sorted()
                failure = unreadable.reason
            else:
                found = await self._handle_again(tx, message)
                failure = next((reason for _, reason in (*found.invalid, *found.later)), "")
            tries = row.tries + 1
            if found.later and tries < letters.REPLAY_TRIES_MAX:
                due_at = now + self._limits.pause(tries)
                await letters.wait(tx, letter, tries=tries, outcome=f"waits: {failure}", due_at=due_at)
                return False
            if found.done:
                await letters.replayed(tx, letter, now=now)
            else:
                words = f"still waits after {tries} tries: {failure}" if found.later else f"failed: {failure}"
                await letters.failed(tx, letter, outcome=words, now=now)
        outcome = "done" if found.done else "failed"
        REPLAYED.labels(group=self.group, outcome=outcome).inc()
        log.info("dead_letter_replayed", group=self.group, id=str(letter), outcome=outcome, reason=failure)
        return True

    async def _handle_again(self, tx: WriteSession, message: Message) -> Sorted:
        return await one_by_one(tx, self._handler(), [message], group=self.group, blocked=set())

    async def _forget(self, now: datetime) -> None:
        if self._forgot_at is not None and now - self._forgot_at < FORGET_EVERY:
            return
        while True:
            async with self._database.write() as tx:
                gone = await letters.forget(tx, now=now)
            if gone:
                log.info("dead_letters_forgotten", group=self.group, letters=gone)
            if gone < letters.FORGET_ROWS:
                break
        self._forgot_at = now
