"""How a replica becomes complete: the owner's snapshot, through the handler of the topic, beside following the topic.

A group that was never complete (a new service, a database made anew), and one whose next records were removed before it
read them, asks the owner for the state of each topic. The topic is followed meanwhile, also while the owner is away;
versions make every interleaving end equal. The cursor is saved in the transaction of the effects, so a kill costs one
page. Until all of it is there the group is not called complete, and its age does not start anew.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

import grpc
from psycopg import Error as PsycopgError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.events.envelope import Message, from_us, to_us
from vitrin.kit.clock import Clock
from vitrin.kit.consumer import snapshot_store, store
from vitrin.kit.consumer.dead_letters import Burial, DeadLetterLimit
from vitrin.kit.consumer.handling import Handler, all_or_one_by_one
from vitrin.kit.consumer.parking import Limits, Parking, ParkingFull
from vitrin.kit.consumer.snapshot_store import Snapshot
from vitrin.kit.consumer.store import TakenOver
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.grpc.errors import error_code
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.kafka.client import Place
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge
from vitrin.protos.kit.v1.outbox_pb2 import OutboxEvent
from vitrin.protos.kit.v1.snapshot_pb2 import StreamSnapshotRequest
from vitrin.protos.kit.v1.snapshot_pb2_grpc import SnapshotServiceStub

LOOK_S: Final = 10.0
RETRY_S: Final = 0.25
RETRY_MAX_S: Final = 10.0
NO_PARTITION: Final = -1
NO_INCARNATION: Final = UUID(int=0)

RECORDS = counter(
    "vitrin_consumer_snapshot_records_total",
    "Records of owners' snapshots by group and outcome",
    ["group", "outcome"],
)
INCOMPLETE = gauge(
    "vitrin_consumer_incomplete_topics", "Topics of the group whose snapshot is not complete yet", ["group"]
)

log = get_logger(__name__)

_TROUBLE: Final = (
    grpc.aio.AioRpcError,
    TakenOver,
    OSError,
    PsycopgError,
    OperationalError,
    InterfaceError,
    PoolTimeout,
)


class _Record:
    """A record of a snapshot as the topic would have it, for the tables of dead letters and parked messages."""

    def __init__(self, message: Message) -> None:
        self.offset = message.offset
        self.key = message.key.encode()
        self.value = message.payload
        self.headers = (
            ("id", message.event_id.bytes),
            ("type", message.type.encode()),
            ("brand", message.brand_id.bytes),
            ("occurred", str(to_us(message.occurred_at)).encode()),
            ("received", str(to_us(message.received_at)).encode()),
        )


class Bootstrap:
    """Of one consumer group. `owners`: the gRPC channel to the owner of each topic; `handler`: that of the group."""

    def __init__(
        self,
        *,
        group: str,
        owners: Mapping[str, grpc.aio.Channel],
        handler: Handler,
        database: WorkerDatabase,
        clock: Clock,
    ) -> None:
        self.group = group
        self._parking = Parking(group=group, limits=Limits())
        self._burial = Burial(group=group, clock=clock)
        self.complete = False
        self.waits_for = "it has not been asked for yet"
        self.records = 0
        """Taken over since the process began."""
        self._owners = owners
        self._handler = handler
        self._database = database
        self._clock = clock
        self._wake = asyncio.Event()
        self._claimant = new_uuid()

    def parks_with(self, parking: Parking) -> None:
        """The consumer that follows the topics: it has to know of what is parked here."""
        self._parking = parking

    async def want(self, tx: WriteSession, topic: str, reason: str) -> None:
        """Records of the topic are gone, or the cursor is: its snapshot is wanted anew, with this transaction."""
        if topic not in self._owners:
            return
        await snapshot_store.register(tx, group=self.group, topics=[topic], now=self._clock())
        await snapshot_store.want(tx, group=self.group, topic=topic, reason=reason, now=self._clock())
        self.complete = False
        tx.after_commit(self._wake.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Tries again for ever while an owner is away."""
        pause_s = RETRY_S
        try:
            while not stop.is_set():
                try:
                    await self._round(stop)
                    pause_s = RETRY_S
                except (*_TROUBLE, DeadLetterLimit, ParkingFull) as error:
                    self.waits_for = _said(error)
                    log.warning("snapshot_waits", group=self.group, reason=self.waits_for)
                    pause_s = min(RETRY_MAX_S, pause_s * 2)
                await self._pause(stop, LOOK_S if self.complete else pause_s)
        finally:
            with suppress(*_TROUBLE):
                async with self._database.write() as tx:
                    await snapshot_store.release(tx, group=self.group, claimant=self._claimant)

    async def _round(self, stop: asyncio.Event) -> None:
        """Whatever is wanted, unless another process of this service is at it."""
        wanted = await self._wanted()
        INCOMPLETE.labels(group=self.group).set(len(wanted))
        for topic in [snapshot.topic for snapshot in wanted]:
            async with self._database.write() as tx:
                claimed = await snapshot_store.claim(
                    tx, group=self.group, topic=topic, claimant=self._claimant
                )
            if claimed is None:
                self.waits_for = f"another process of this service reads the snapshot of {topic}"
            elif not stop.is_set():
                await self._stream(claimed, stop)
        wanted = await self._wanted()
        INCOMPLETE.labels(group=self.group).set(len(wanted))
        self.complete = not wanted

    async def _wanted(self) -> list[Snapshot]:
        async with self._database.read() as session:
            known = await snapshot_store.load(session, group=self.group)
        missing = self._owners.keys() - {snapshot.topic for snapshot in known}
        if missing:
            async with self._database.write() as tx:
                await snapshot_store.register(tx, group=self.group, topics=sorted(missing), now=self._clock())
            return await self._wanted()
        return [one for one in known if one.state == "wanted" and one.topic in self._owners]

    async def _stream(self, snapshot: Snapshot, stop: asyncio.Event) -> None:
        self.waits_for = f"the snapshot of {snapshot.topic} is being read"
        request = StreamSnapshotRequest(topic=snapshot.topic, cursor=snapshot.cursor)
        call = SnapshotServiceStub(self._owners[snapshot.topic]).StreamSnapshot(request)
        try:
            async for page in call:
                if stop.is_set():
                    return
                messages = [_message(snapshot.topic, event) for event in page.events]
                snapshot = await self._take(snapshot, messages, page.cursor)
        except grpc.aio.AioRpcError as error:
            if error_code(error) == "cursor_invalid" and snapshot.cursor:
                async with self._database.write() as tx:
                    await self.want(tx, snapshot.topic, snapshot.reason)
            raise
        finally:
            call.cancel()
        async with self._database.write() as tx:
            await snapshot_store.finish(tx, snapshot, group=self.group, now=self._clock())
        log.info(
            "snapshot_complete",
            group=self.group,
            topic=snapshot.topic,
            reason=snapshot.reason,
            records=snapshot.records,
        )

    async def _take(self, snapshot: Snapshot, messages: Sequence[Message], cursor: str) -> Snapshot:
        """One page in one transaction. What has to wait is parked, what fails alone is buried, as on the topic."""
        async with self._database.write(_brands(messages)) as tx:
            found = await all_or_one_by_one(tx, self._handler, messages, group=self.group)
            now = self._clock()
            parked = [(_nowhere(one.topic), _Record(one), one, reason) for one, reason in found.later]
            await self._parking.park(tx, parked, now=now)
            await self._burial.room(tx, len(found.invalid))
            for message, reason in found.invalid:
                await store.bury(
                    tx,
                    group=self.group,
                    place=_nowhere(message.topic),
                    record=_Record(message),
                    reason=f"snapshot: {reason}",
                    now=now,
                )
            await snapshot_store.advance(
                tx, snapshot, group=self.group, cursor=cursor, records=len(messages), now=now
            )
        self.records += len(messages)
        for outcome, records in (
            ("done", found.done),
            ("parked", found.later),
            ("dead_letter", found.invalid),
        ):
            RECORDS.labels(group=self.group, outcome=outcome).inc(len(records))
        return replace(snapshot, cursor=cursor, records=snapshot.records + len(messages))

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        waiting = {asyncio.create_task(self._wake.wait()), asyncio.create_task(stop.wait())}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting, return_exceptions=True)
        self._wake.clear()


def _message(topic: str, event: OutboxEvent) -> Message:
    return Message(
        topic=topic,
        partition=NO_PARTITION,
        offset=UUID(bytes=event.event_id).int >> 65,  # stands for the offset that it never had
        key=event.key,
        type=event.type,
        brand_id=UUID(bytes=event.brand_id),
        event_id=UUID(bytes=event.event_id),
        occurred_at=from_us(event.occurred_at_us),
        received_at=from_us(event.received_at_us),
        payload=event.payload,
    )


def _nowhere(topic: str) -> Place:
    return Place(topic, NO_INCARNATION, NO_PARTITION)


def _brands(messages: Sequence[Message]) -> list[BrandId]:
    return sorted({BrandId(message.brand_id) for message in messages})


def _said(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"the owner answers {error.code().name}: {error.details()}"
    return (str(error).splitlines() or [type(error).__name__])[0]
