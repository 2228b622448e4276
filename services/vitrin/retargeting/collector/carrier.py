"""From the spool to Kafka, and how far the consumers have come.

Two steps behind each other. `carry` reads what is durable, seals personal fields under the keys of people and days, and
produces it; its place is kept in memory. `cover` looks how far the consumers of that incarnation of the topic have
stored it, and only then gives up the place in the spool. A topic that came back empty is written again from there, and
so is everything after a restart: consumers know events by their ids.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from vitrin.events import topics
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.batches import Record as KafkaRecord
from vitrin.kit.kafka.client import BrokerUnavailable, Probe
from vitrin.kit.kafka.hints import HintSender
from vitrin.kit.kafka.producer import Ack, OrderedProducer
from vitrin.kit.logs import get_logger
from vitrin.kit.seal import (
    Erased,
    SealCannotOpen,
    Sealer,
    SealKeyUnknown,
    SealRefused,
    SealUnavailable,
    SpoolSeal,
    ToSeal,
)
from vitrin.kit.spool import Batch, PositionGone, PositionUnknown, Record, Spool
from vitrin.protos.kit.v1.seal_pb2 import Sealed
from vitrin.retargeting.collector import metrics, wire
from vitrin.retargeting.collector.envelopes import Ready, ready_events, records_of
from vitrin.retargeting.collector.packing import Taken, open_from_spool
from vitrin.retargeting.repository import positions

T = TypeVar("T")
CONSUMER: Final = "kafka"
"""The spool's own name for whoever holds its segments back."""
RECORDS_MAX: Final = 100
BYTES_MAX: Final = 1024 * 1024
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 5.0
COVER_S: Final = 0.1
COVER_MAX_S: Final = 2.0
"""Between two looks how far the consumers are: soon after something was carried, then less and less often."""
LAST_LOOK_S: Final = 2.0
MEASURE_EVERY_S: Final = 1.0
EVENTS_AT_ONCE: Final = 50
"""Between two looks at the door."""
CONTEXT: Final = topics.STOREFRONT_EVENT
_log = get_logger("vitrin.retargeting.carrier")


class NotCarried(Exception):
    """Kafka did not confirm in time."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A part of the spool that Kafka has: up to `end`, the last offset by partition of that incarnation."""

    end: int
    at_ms: int
    topic_id: UUID
    offsets: Mapping[int, int]

    def covered_by(self, stored: Mapping[tuple[UUID, int], int]) -> bool:
        """`stored`: next offsets of a consumer group, by incarnation and partition."""
        return all(
            stored.get((self.topic_id, partition), 0) > offset for partition, offset in self.offsets.items()
        )


class Carrier:
    """One per spool. `groups`: every consumer group of the topic."""

    def __init__(
        self,
        *,
        spool: Spool,
        seal: SpoolSeal,
        sealer: Sealer,
        producer: OrderedProducer,
        hints: HintSender,
        probe: Probe,
        database: WorkerDatabase,
        groups: Sequence[str],
        partitions: int,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._reader = spool.reader(CONSUMER)
        self._covered = self._reader.position
        self._seal = seal
        self._sealer = sealer
        self._producer = producer
        self._hints = hints
        self._probe = probe
        self._database = database
        self._groups = tuple(groups)
        self._partitions = partitions
        self._clock = clock
        self._ledger: deque[Carried] = deque()
        self._in_hand: Batch | None = None
        self._rewind = asyncio.Event()
        self._carried_to = 0
        self._moved = asyncio.Event()

    @property
    def uncovered(self) -> int:
        """Parts of the spool that Kafka has and the consumers have not stored, as far as was looked."""
        return len(self._ledger)

    async def carried(self, end: int, *, within_s: float) -> None:
        """Returns when Kafka has everything before `end`. Raises NotCarried."""
        try:
            async with asyncio.timeout(within_s):
                while self._carried_to < end:
                    await self._moved.wait()
        except TimeoutError:
            raise NotCarried from None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until a part fails for a reason that does not pass."""
        parts = [self._carry(), self._cover(), self._measure()]
        tasks = [asyncio.create_task(stop.wait()), *(asyncio.create_task(part) for part in parts)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(SQLAlchemyError, BrokerUnavailable, OSError, TimeoutError):
                async with asyncio.timeout(LAST_LOOK_S):
                    await self.cover()  # else the next process carries it all once more
            await self._producer.close()
            await self._hints.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _carry(self) -> None:
        while True:
            if self._rewind.is_set():
                self._begin_again()
            reading = asyncio.create_task(self._read())
            rewinding = asyncio.create_task(self._rewind.wait())
            try:
                await asyncio.wait({reading, rewinding}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    continue
                batch = reading.result()
            finally:
                for task in (reading, rewinding):
                    task.cancel()
                await asyncio.gather(reading, rewinding, return_exceptions=True)
            self._in_hand = batch
            await self.carry(batch)
            self._in_hand = None

    async def _read(self) -> Batch:
        while True:
            try:
                return await self._reader.read(records_max=RECORDS_MAX, bytes_max=BYTES_MAX)
            except PositionGone as gone:
                _log.error("spool_position_gone", position=gone.position, earliest=gone.earliest)
                self._reader.seek(gone.earliest)
            except PositionUnknown:
                _log.error("spool_position_unknown", end=self._spool.end)
                self._reader.seek(0)
            except OSError as error:
                _log.error("spool_unreadable", reason=str(error))
                await asyncio.sleep(RETRY_MAX_S)

    def _begin_again(self) -> None:
        """From what the consumers of the lost incarnation have not stored."""
        metrics.REWOUND.inc()
        _log.warning("carrier_rewinds", position=self._covered, ledger=len(self._ledger))
        self._rewind.clear()
        self._ledger.clear()
        self._reader.seek(self._covered)

    async def carry(self, batch: Batch) -> None:
        """Returns when Kafka has all of it that can be read."""
        ready: list[Ready] = []
        for record in batch.records:
            ready += await self._opened(record)
        await self._sealed(ready)
        records = records_of(ready, self._partitions)
        topic_id, offsets = await self._produced(records)
        at_ms = batch.records[0].at_ms if batch.records else 0
        self._ledger.append(Carried(batch.end, at_ms, topic_id, offsets))
        metrics.CARRIED.labels("carried").inc(len(ready))
        self._carried_to = max(self._carried_to, batch.end)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _opened(self, record: Record) -> list[Ready]:
        told = False
        while True:
            try:
                taken, body = open_from_spool(self._seal, record.payload)
            except SealKeyUnknown as error:  # with the right ring it can be opened: dropping it would lose it
                if not told:
                    _log.error("spool_key_missing", reason=str(error), setting="RETARGETING_SPOOL_KEYS")
                    told = True
                await asyncio.sleep(RETRY_MAX_S)
            except SealCannotOpen as error:
                _log.error("spool_record_unreadable", position=record.position, reason=str(error))
                metrics.CARRIED.labels("unreadable").inc()
                return []
            else:
                return await self._events(taken, body)

    async def _events(self, taken: Taken, body: bytes) -> list[Ready]:
        try:
            events = wire.decode(body).events
        except wire.BodyUnreadable as error:  # the door read it: another release did
            _log.error("spool_body_unreadable", reason=str(error))
            metrics.CARRIED.labels("unreadable").inc()
            return []
        today, ready = self._clock(), list[Ready]()
        for one in ready_events(taken, events, today):
            ready.append(one)
            if len(ready) % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return ready

    async def _sealed(self, ready: Sequence[Ready]) -> None:
        """Personal fields go into their events, or are dropped where the person was erased or has no key."""
        by_brand: dict[BrandId, list[tuple[Ready, ToSeal]]] = {}
        for one in ready:
            if one.to_seal is not None:
                by_brand.setdefault(one.brand, []).append((one, one.to_seal))
        for brand, those in by_brand.items():
            values = [value for _, value in those]
            sealed = await self._steadily(lambda b=brand, v=values: self._seal_all(b, v))  # type: ignore[misc]
            for (one, _), block in zip(those, sealed, strict=True):
                if isinstance(block, Sealed):
                    one.event.personal.CopyFrom(block)
                else:
                    one.event.whose = ""
                one.to_seal = None

    async def _seal_all(self, brand: BrandId, values: Sequence[ToSeal]) -> Sequence[Sealed | None]:
        try:
            found = await self._sealer.seal_many(brand, values, context=CONTEXT)
        except SealRefused as refused:
            _log.warning(
                "personal_fields_dropped", brand=str(brand), events=len(values), reason=refused.detail
            )
            metrics.PERSONAL_DROPPED.labels("refused").inc(len(values))
            return [None] * len(values)
        erased = sum(isinstance(one, Erased) for one in found)
        if erased:
            metrics.PERSONAL_DROPPED.labels("erased").inc(erased)
        return [one if isinstance(one, Sealed) else None for one in found]

    async def _produced(self, records: Sequence[KafkaRecord]) -> tuple[UUID, Mapping[int, int]]:
        """Confirmed by every replica that has to, in one incarnation; repeated until it is."""
        return await self._steadily(lambda: self._produce(records))

    async def _produce(self, records: Sequence[KafkaRecord]) -> tuple[UUID, Mapping[int, int]]:
        before = (await self._probe.topics([CONTEXT]))[CONTEXT].topic_id
        acks = await self._producer.produce(records)
        confirmed = [ack for ack in acks if ack is not None]
        if len(confirmed) < len(records):
            raise BrokerUnavailable(
                f"{len(records) - len(confirmed)} of {len(records)} records not confirmed"
            )
        self._probe.forget()
        after = (await self._probe.topics([CONTEXT]))[CONTEXT].topic_id
        if before != after:
            raise BrokerUnavailable("the topic came back as another incarnation")
        await self._hints.sent(confirmed)
        return before, _last_offsets(confirmed)

    async def _steadily(self, step: Callable[[], Awaitable[T]]) -> T:
        """What is away ends nothing: the step is tried until it is done."""
        pause_s = RETRY_S
        while True:
            try:
                return await step()
            except (BrokerUnavailable, SealUnavailable, OSError) as error:
                _log.warning("carrier_waits", reason=str(error).splitlines()[0])
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def _cover(self) -> None:
        pause_s = COVER_S
        while True:
            try:
                async with asyncio.timeout(
                    pause_s
                ):  # wait_for loses a cancellation that comes with its result
                    await self._moved.wait()
            except TimeoutError:
                pause_s = min(2 * pause_s, COVER_MAX_S)
            else:
                pause_s = COVER_S
                await asyncio.sleep(COVER_S)
            with suppress(SQLAlchemyError, BrokerUnavailable, OSError):
                await self.cover()

    async def cover(self) -> None:
        """Gives up in the spool what every consumer has stored; begins again where their incarnation is gone."""
        if not self._ledger:
            return
        async with self._database.read() as session:
            stored = await positions.stored(session, self._groups, CONTEXT)
        done: Carried | None = None
        while self._ledger and all(self._ledger[0].covered_by(stored[group]) for group in self._groups):
            done = self._ledger.popleft()
        if done is not None:
            await self._spool_commit(done.end)
        topic_id = (await self._probe.topics([CONTEXT]))[CONTEXT].topic_id
        if any(one.topic_id != topic_id for one in self._ledger):
            self._rewind.set()

    async def _spool_commit(self, end: int) -> None:
        await self._reader.commit(end)
        self._covered = end

    async def _measure(self) -> None:
        while True:
            now_ms = int(self._clock().timestamp() * 1000)
            batch, ledger = self._in_hand, self._ledger
            oldest = batch.records[0].at_ms if batch is not None and batch.records else now_ms
            metrics.CARRIER_LAG_SECONDS.set(max(0, now_ms - oldest) / 1000)
            metrics.COVER_LAG_SECONDS.set(max(0, now_ms - ledger[0].at_ms) / 1000 if ledger else 0)
            await asyncio.sleep(MEASURE_EVERY_S)


def _last_offsets(acks: Sequence[Ack]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for ack in acks:
        offsets[ack.partition] = max(ack.offset, offsets.get(ack.partition, -1))
    return offsets
