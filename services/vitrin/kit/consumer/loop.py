"""The consumer loop: micro-batch, one transaction with its offsets, three outcomes, incarnations.

- Done: the effects and the new offsets are committed together, by compare-and-set; a member that was replaced
  meanwhile finds no row to advance and rolls back.
- Try later: a handler says that a message needs something that has not arrived (`TryLater`): it is parked, later ones
  of its key queue up behind it, the partition moves on. (`parking`, `retry`.)
- Invalid: the message goes to the dead letters with its reason; beyond `DEAD_LETTERS_MAX` in an hour the consumer
  halts (not the API), before a bad release pours a topic into them.

When the database is away the same batch is repeated; nothing moves on without it.

A topic that comes back with another id starts again at its earliest offset; a position that the broker does not have
is reset to the earliest by the client. Handlers absorb repeats by version or event id. (The end offset is no proof of
a topic that lost records: the embedded broker answers with the start of its last batch, plus one.)
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from psycopg import Error as PsycopgError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.events.envelope import InvalidMessage, Message, TryLater
from vitrin.kit.clock import Clock
from vitrin.kit.consumer import store
from vitrin.kit.consumer.age import stood_at_end
from vitrin.kit.consumer.bootstrap import Bootstrap
from vitrin.kit.consumer.dead_letters import (
    MESSAGES,
    Burial,
    DeadLetterLimit,
)
from vitrin.kit.consumer.handling import Handler, names, one_by_one, queue_up
from vitrin.kit.consumer.lock import GroupLock
from vitrin.kit.consumer.parking import Limits, Parking, ParkingFull
from vitrin.kit.consumer.records import parse
from vitrin.kit.consumer.retry import HALT_RETRY_S, Retrier
from vitrin.kit.consumer.store import TakenOver
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.db.urls import libpq_url, role_url
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.client import POLL_RECORDS_MAX, BrokerUnavailable, KafkaFault, Place, Probe
from vitrin.kit.kafka.hints import FALLBACK_S, HintListener
from vitrin.kit.kafka.reader import LogReader
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge
from vitrin.kit.settings import KafkaSettings

__all__ = ["Consumer", "DeadLetterLimit", "Handler"]

POLL_HINTED_MS: Final = 30
POLL_MS: Final = 1_000
POLLS_AFTER_HINT: Final = 4
TICK_S: Final = 5.0
TICK_SOON_S: Final = 0.5
"""While we catch up, and after a hint without a record behind it: it may come from a broker that we do not know yet."""
TELL_S: Final = 10.0
"""How often a watched group writes down that it stood at the end; well below the 30 s after which a replica is old."""
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 10.0
FULL_RETRY_S: Final = 5.0

REPLICA_AGE = gauge(
    "vitrin_consumer_age_seconds", "Time since the group last stood at the end of its topics", ["group"]
)
HALTED = gauge("vitrin_consumer_halted", "1 while a group is halted by its dead-letter limit", ["group"])
PARKING_FULL = gauge(
    "vitrin_consumer_parking_full", "1 while a group waits because it may park no more messages", ["group"]
)
GAPS = counter(
    "vitrin_consumer_gaps_total",
    "Partitions whose next records had been removed before they were read",
    ["group"],
)

log = get_logger(__name__)


@dataclass(slots=True)
class _Batch:
    """Parsed messages and unreadable records of one poll, with the positions before and after."""

    messages: list[tuple[Place, Any, Message]] = field(default_factory=list)
    unreadable: list[tuple[Place, Any, str]] = field(default_factory=list)
    moves: dict[Place, tuple[int, int]] = field(default_factory=dict)

    @property
    def parsed(self) -> list[Message]:
        return [message for _, _, message in self.messages]

    @property
    def is_full(self) -> bool:
        """The client may hold the rest of what it fetched."""
        return len(self.messages) + len(self.unreadable) >= POLL_RECORDS_MAX

    @property
    def brands(self) -> list[BrandId]:
        return sorted({BrandId(message.brand_id) for _, _, message in self.messages})


@dataclass(frozen=True, slots=True)
class _Aim:
    """Where the topics ended at a moment: who has read so far knows everything that was written until then."""

    at_s: float
    ends: Mapping[Place, int]


class Consumer:
    """One consumer group of a service. `handler` gets micro-batches; their brands are set in the transaction.

    `tell_age`: other processes of this service want to know when it stood at the end (see `consumer.age`).
    `bootstrap`: fetches the owners' snapshots beside it; without them the group is not at the end, wherever it stands.
    """

    def __init__(
        self,
        *,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        database: WorkerDatabase,
        settings: KafkaSettings,
        probe: Probe,
        hints: HintListener,
        clock: Clock,
        tell_age: bool = False,
        limits: Limits | None = None,
        bootstrap: Bootstrap | None = None,
    ) -> None:
        self.group = group
        self._topics = list(topics)
        self._handler = handler
        self._database = database
        self._settings = settings
        self._probe = probe
        self._hints = hints
        self._hint = hints.subscribe(topics)
        self._clock = clock
        self._burial = Burial(group=group, clock=clock)
        self._parking = Parking(group=group, limits=limits or Limits())
        self._retrier = Retrier(
            group=group,
            handler=lambda: self._handler,
            database=database,
            limits=self._parking.limits,
            burial=self._burial,
            halt=lambda *, halted: self._halt("retries", halted=halted),
            clock=clock,
        )
        self._halted: set[str] = set()
        self._tell_age = tell_age
        self.bootstrap = bootstrap
        if bootstrap is not None:
            bootstrap.parks_with(self._parking)
        self._told_at_s = float("-inf")
        self._lock = GroupLock(libpq_url(role_url(database.settings, database.service, "worker")), group)
        self._reader: LogReader | None = None
        self._known: Mapping[str, Any] = {}
        self._positions: dict[Place, int] = {}
        self._at_end_s = float("-inf")
        self._aim: _Aim | None = None
        self._ticked_at_s = float("-inf")
        self._was_hinted = False
        self._read = 0

    @property
    def records_read(self) -> int:
        """Since the process began, with those of the snapshots: it grows only when a transaction was committed. While a
        snapshot is not complete only its records count: those of the topic do not bring it."""
        if self.bootstrap is None:
            return self._read
        return self.bootstrap.records + (self._read if self.bootstrap.complete else 0)

    def records_left(self) -> int | None:
        """Until where the topics ended when it last looked; None before. A snapshot's are not known."""
        if self._aim is None or (self.bootstrap is not None and not self.bootstrap.complete):
            return None
        return sum(max(0, end - self._positions.get(place, 0)) for place, end in self._aim.ends.items())

    @property
    def waits_for(self) -> str:
        """Why it has not stood at the end of its topics yet."""
        if self.bootstrap is not None and not self.bootstrap.complete:
            return f"{self.group} is not complete yet: {self.bootstrap.waits_for}."
        return f"{self.group} has not read its topics to their end yet."

    def age_s(self) -> float:
        """So many seconds ago the topics ended where this consumer has read to by now; infinite before it got there for
        the first time. (It need not catch the end of now, which under load moves on while it reads.)"""
        return asyncio.get_running_loop().time() - self._at_end_s

    async def run(self, stop: asyncio.Event) -> None:
        REPLICA_AGE.labels(group=self.group).set_function(self._age_or_nan)
        self._loop = asyncio.get_running_loop()
        retrying = asyncio.create_task(self._retrier.run(stop))
        following = asyncio.create_task(self._follow(stop))
        try:
            done, _ = await asyncio.wait({retrying, following}, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (retrying, following):
                task.cancel()
            await asyncio.gather(retrying, following, return_exceptions=True)

    async def _follow(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._step(stop, stopping)
                except (
                    BrokerUnavailable,
                    KafkaFault,
                    TakenOver,
                    OSError,
                    PsycopgError,
                    SQLAlchemyError,
                ) as error:
                    log.warning("consumer_restarts", group=self.group, reason=str(error).splitlines()[:1])
                    await self._close_reader()
                    await _pause(stopping, RETRY_S)
                except DeadLetterLimit as error:
                    self._halt("follows", halted=True)
                    log.error("consumer_halted", group=self.group, reason=str(error))
                    await self._close_reader()
                    await _pause(stopping, HALT_RETRY_S)
                except ParkingFull as error:
                    PARKING_FULL.labels(group=self.group).set(1)
                    log.error("parking_full", group=self.group, reason=str(error))
                    await self._close_reader()
                    await _pause(stopping, FULL_RETRY_S)
        finally:
            stopping.cancel()
            await self._close_reader()
            await self._lock.release()

    def _halt(self, part: str, *, halted: bool) -> None:
        """`part`: the loop that reads, or the one that retries."""
        (self._halted.add if halted else self._halted.discard)(part)
        HALTED.labels(group=self.group).set(1 if self._halted else 0)

    def _age_or_nan(self) -> float:
        return self._loop.time() - self._at_end_s

    async def _step(self, stop: asyncio.Event, stopping: "asyncio.Task[Any]") -> None:
        if self._reader is None and not await self._open():
            await _pause(stopping, RETRY_S)
            return
        reader = self._reader
        assert reader is not None
        self._hint.clear()
        batch = await self._poll(reader)
        if batch is not None:
            await self._apply_until_done(batch, stop)
            await reader.committed(batch.moves)
        if batch is None or asyncio.get_running_loop().time() - self._ticked_at_s > 2 * TICK_S:
            await self._tick(reader)
        if batch is None or not batch.is_full:
            await self._arrive(reader)
        if batch is None and self._hints.enabled and self._settings.membership == "lock":
            await self._wait_for_hint(stopping)

    async def _poll(self, reader: LogReader) -> _Batch | None:
        """One micro-batch. Under hints a few short polls: the hint may be ahead of the fetch by a moment."""
        hinted = self._hints.enabled and self._settings.membership == "lock"
        polls = POLLS_AFTER_HINT if self._was_hinted else 1
        for _ in range(polls):
            records = await reader.poll(timeout_ms=POLL_HINTED_MS if hinted else POLL_MS)
            if records:
                return self._parse(records)
        return None

    async def _wait_for_hint(self, stopping: "asyncio.Task[Any]") -> None:
        waiting = asyncio.create_task(self._hint.wait())
        timeout_s = FALLBACK_S if self.age_s() < 2 * FALLBACK_S else TICK_SOON_S
        done, _ = await asyncio.wait(
            {waiting, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        self._was_hinted = waiting in done
        waiting.cancel()

    async def _open(self) -> bool:
        """Topics there, lock held (or group joined), positions loaded. False: somebody else reads."""
        known = await self._probe.topics(self._topics)
        if self._settings.membership == "lock" and not await self._lock.acquire():
            return False
        reader = LogReader(self._settings, group=self.group, topics=known)
        self._known, self._reader, self._positions, self._aim = known, reader, {}, None
        await reader.open(self._start_at)
        self._halt("follows", halted=False)
        return True

    async def _start_at(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """Where each assigned partition starts: the stored position, or the earliest of a new incarnation."""
        assert self._reader is not None
        async with self._database.read() as session:
            stored = await store.load(session, group=self.group, topics=self._known)
            await self._parking.load(session)
        bounds = await self._bounds(places)
        starts, resets = {}, {}
        for place in places:
            first, _ = bounds[place]
            position = stored.get(place)
            if position is None:
                starts[place] = first
            elif position < first:
                resets[place] = (position, first)
                GAPS.labels(group=self.group).inc()
                log.error(
                    "records_gone", group=self.group, topic=place.topic, position=position, earliest=first
                )
        async with self._database.write() as tx:
            now = self._clock()
            await store.start(tx, group=self.group, places=starts, now=now)
            await store.advance(tx, group=self.group, moves=resets, now=now)
            if self.bootstrap is not None:
                for topic in sorted({place.topic for place in resets}):
                    await self.bootstrap.want(tx, topic, "records_gone")
        offsets = {**{place: stored[place] for place in places if place in stored}, **starts}
        offsets |= {place: first for place, (_, first) in resets.items()}
        self._positions = offsets
        return offsets

    async def _bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """Earliest and end offset of each. Asked by the probe: our own client may be inside poll()."""
        found = await self._probe.bounds((place.topic, place.partition) for place in places)
        return {place: found[(place.topic, place.partition)] for place in places}

    def _parse(self, records: Sequence[tuple[Place, Any]]) -> _Batch:
        batch = _Batch()
        for place, record in records:
            try:
                batch.messages.append((place, record, parse(record, topic=place.topic)))
            except InvalidMessage as error:
                batch.unreadable.append((place, record, error.reason))
            expected = batch.moves[place][0] if place in batch.moves else self._positions[place]
            batch.moves[place] = (expected, record.offset + 1)
        return batch

    async def _apply_until_done(self, batch: _Batch, stop: asyncio.Event) -> None:
        """Repeat while the database is away, and without those that have to wait; isolate the culprit when the batch
        itself fails."""
        pause_s = RETRY_S
        named: dict[int, str] = {}
        while True:
            try:
                await self._apply(batch, named)
                break
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                if stop.is_set():
                    raise
                log.warning("batch_waits", group=self.group, reason=str(error).splitlines()[0])
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_MAX_S, pause_s * 2)
            except (TakenOver, DeadLetterLimit, ParkingFull):
                raise
            except Exception as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise  # the connection died, not a message: from the start, where somebody else may stand by now
                fresh = names(error, batch.parsed, named) if isinstance(error, TryLater) else {}
                if fresh:
                    named |= fresh
                    continue
                log.warning(
                    "batch_isolated", group=self.group, messages=len(batch.messages), reason=str(error)
                )
                await self._apply_each(batch)
                break
        PARKING_FULL.labels(group=self.group).set(0)
        self._read += len(batch.messages) + len(batch.unreadable)
        for place, (_, next_offset) in batch.moves.items():
            self._positions[place] = next_offset

    async def _apply(self, batch: _Batch, named: Mapping[int, str]) -> None:
        async with self._database.write(batch.brands) as tx:
            blocked = await self._parking.blocked(tx, batch.parsed)
            ready, later = queue_up(batch.parsed, blocked, named)
            if ready:
                await self._handler(tx, ready)
            await self._put_aside(tx, batch, later=later, invalid=[])
            await store.advance(tx, group=self.group, moves=batch.moves, now=self._clock())
        self._told(done=len(ready), parked=len(later), buried=len(batch.unreadable))

    async def _apply_each(self, batch: _Batch) -> None:
        """The same batch with a savepoint per message: what fails alone is buried or parked, the rest is done."""
        async with self._database.write(batch.brands) as tx:
            blocked = await self._parking.blocked(tx, batch.parsed)
            found = await one_by_one(tx, self._handler, batch.parsed, group=self.group, blocked=blocked)
            await self._put_aside(tx, batch, later=found.later, invalid=found.invalid)
            await store.advance(tx, group=self.group, moves=batch.moves, now=self._clock())
        buried = len(batch.unreadable) + len(found.invalid)
        self._told(done=len(found.done), parked=len(found.later), buried=buried)

    async def _put_aside(
        self,
        tx: WriteSession,
        batch: _Batch,
        *,
        later: Sequence[tuple[Message, str]],
        invalid: Sequence[tuple[Message, str]],
    ) -> None:
        """Park what waits; bury what no repetition can make right, within the limit."""
        records = (
            {id(message): (place, record) for place, record, message in batch.messages}
            if later or invalid
            else {}
        )
        waiting = [(*records[id(message)], message, reason) for message, reason in later]
        await self._parking.park(tx, waiting, now=self._clock())
        failed = [*batch.unreadable, *((*records[id(message)], reason) for message, reason in invalid)]
        await self._burial.room(tx, len(failed))
        for place, record, reason in failed:
            await store.bury(
                tx, group=self.group, place=place, record=record, reason=reason, now=self._clock()
            )

    def _told(self, *, done: int, parked: int, buried: int) -> None:
        for outcome, number in (("done", done), ("parked", parked)):
            MESSAGES.labels(group=self.group, outcome=outcome).inc(number)
        if buried:
            self._burial.count(buried)
        if parked:
            self._retrier.wake()

    async def _tick(self, reader: LogReader) -> None:
        """Every few seconds: is it still the same topic, do we still hold the lock, where is the end?"""
        loop = asyncio.get_running_loop()
        catching_up = self._was_hinted or self.age_s() > 2 * TICK_S
        if loop.time() - self._ticked_at_s < (TICK_SOON_S if catching_up else TICK_S):
            return
        known = await self._probe.topics(self._topics)
        if known != self._known:
            raise BrokerUnavailable("a topic came back as another incarnation")
        if self._settings.membership == "lock" and not await self._lock.acquire():
            raise BrokerUnavailable("another process reads this group now")
        places = list(reader.places)
        if self._aim is None or set(self._aim.ends) != set(places):
            asked_at_s = loop.time()
            bounds = await self._bounds(places)
            self._aim = _Aim(asked_at_s, {place: end for place, (_, end) in bounds.items()})
        self._ticked_at_s = loop.time()

    async def _arrive(self, reader: LogReader) -> None:
        """After a poll that left nothing of what was fetched: the embedded broker's end offset lies inside its last
        batch, which then was read as a whole."""
        aim = self._aim
        if aim is None or not aim.ends or set(aim.ends) != set(reader.places):
            return
        if any(self._positions.get(place, -1) < end for place, end in aim.ends.items()):
            return
        self._aim = None
        if self.bootstrap is None or self.bootstrap.complete:
            self._at_end_s = aim.at_s
            await self._tell()

    async def _tell(self) -> None:
        if not self._tell_age or self._at_end_s - self._told_at_s < TELL_S:
            return
        async with self._database.write() as tx:
            now = self._clock() - timedelta(seconds=self.age_s())
            await stood_at_end(tx, group=self.group, now=now)
        self._told_at_s = self._at_end_s

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        self._ticked_at_s = float("-inf")
        self._probe.forget()
        if reader is not None:
            with suppress(KafkaFault, OSError):
                await reader.close()


async def _pause(stopping: "asyncio.Task[Any]", seconds: float) -> None:
    await asyncio.wait({stopping}, timeout=seconds)
