"""The relay: carries outbox rows to Kafka, in order per key, at least once.

One active relay per shard, under a lease with a fence. It reads unsent rows, produces them with acks=all, then marks
them. A crash between produces them again; consumers drop repeats by version. When a topic comes back in another
incarnation (a broker that lost its memory), what consumers may lack is sent again (`resending`). A topic that the
broker lacks, or has in another shape than declared, is held: its rows wait, those of other topics go on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

from psycopg import Error
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit.clock import Clock
from vitrin.kit.consumer.lock import GroupLock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.listen import notifications
from vitrin.kit.db.urls import libpq_url, role_url
from vitrin.kit.kafka.batches import Record, fits
from vitrin.kit.kafka.client import DELIVERY_TIMEOUT_MS, BrokerUnavailable, Probe, TopicInfo
from vitrin.kit.kafka.hints import HintSender
from vitrin.kit.kafka.producer import Ack, OrderedProducer
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge
from vitrin.kit.outbox import decisions, store
from vitrin.kit.outbox.decisions import LeaseTimes
from vitrin.kit.outbox.records import records_of
from vitrin.kit.outbox.resending import IN_FULL, resending
from vitrin.kit.outbox.store import OutboxRow
from vitrin.kit.outbox.wake import NOTIFY_CHANNEL, Wake
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.kit.state import jobs

POLL_S: Final = 0.2
"""How often it looks while there is traffic: a NOTIFY may have been held back."""
POLL_IDLE_S: Final = 5.0
BUSY_S: Final = 1.0
TICK_S: Final = 3.0
LEASE: Final = LeaseTimes(
    lease_s=store.LEASE_S,
    renew_s=store.LEASE_S / 3,
    delivery_s=DELIVERY_TIMEOUT_MS / 1000,
    margin_s=DELIVERY_TIMEOUT_MS / 1000 + 3,
)
RETRY_S: Final = 0.5
LANES: Final = 2
BACKLOG_FROM_EVENTS: Final = 200
BACKLOG_FROM_BYTES: Final = 1_000_000
"""A round that found so much is followed by one in lanes; a single change goes the short way."""

EVENTS_SENT = counter("vitrin_outbox_events_total", "Events acknowledged by Kafka", ["topic"])
FAILURES = counter("vitrin_outbox_failures_total", "Produce attempts that were not acknowledged", ["topic"])
SENT_AGAIN = counter(
    "vitrin_outbox_rows_again_total",
    "Rows sent again because a topic came back as another incarnation",
    ["topic"],
)
BACKLOG_ROWS = gauge("vitrin_outbox_backlog_rows", "Outbox rows not yet acknowledged, counted up to 10,000")
BACKLOG_AGE = gauge("vitrin_outbox_backlog_age_seconds", "Age of the oldest outbox row not yet acknowledged")

SHARDS_STOPPED = gauge(
    "vitrin_outbox_stopped_shards",
    "Outbox shards that wait behind a row with a record that is too large for Kafka",
)

log = get_logger(__name__)


class Relay:
    """Runs in the worker role of a service. `owner` is the stable name of this process, without '#'; `has_state` says
    whether this service can publish the whole state of a topic."""

    def __init__(
        self,
        *,
        service: str,
        owner: str,
        database: WorkerDatabase,
        database_settings: DatabaseSettings,
        kafka_settings: KafkaSettings,
        probe: Probe,
        wake: Wake,
        clock: Clock,
        has_state: Callable[[str], bool] = lambda _topic: False,
    ) -> None:
        self._service = service
        self._owner = f"{owner}#{uuid4().hex}"
        self._database = database
        self._database_settings = database_settings
        self._probe = probe
        self._wake = wake
        self._clock = clock
        self._has_state = has_state
        self._producer = OrderedProducer(kafka_settings, client_id=f"vitrin-{service}-relay")
        self._hints = HintSender(database_settings)
        self._name_lock = GroupLock(
            libpq_url(role_url(database_settings, service, "worker")), f"relay/{owner}"
        )
        self._fences: Mapping[int, int] = {}
        # On time.monotonic(): a loop's own time is of the beginning of its turn, and a process may stall within one.
        self._lease_until_s = float("-inf")
        self._ticked_at_s = float("-inf")
        self._topics: dict[str, TopicInfo] = {}
        self._held: dict[str, str] = {}
        self._stopped: dict[int, int] = {}
        self._seen: set[tuple[int, str]] = set()
        self._busy_until_s = float("-inf")
        self._has_backlog = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then sends what is left, gives the leases back and closes."""
        listener = asyncio.create_task(self._listen())
        try:
            await self._take_over()
            while not stop.is_set():
                if await self._round():
                    await asyncio.sleep(0)
                    continue
                await self._sleep(stop)
            while await self._round():
                pass
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
            await self._close()

    async def _take_over(self) -> None:
        """The shards of an earlier process of our name, if it is dead: its connection, and the lock on it, went with
        it. One that is only silent keeps the lock; its leases are waited for like anybody's, since it may wake up and
        send what it has in its hands."""
        with suppress(SQLAlchemyError, Error, OSError):
            if not await self._name_lock.acquire():
                log.warning("earlier_process_is_silent", service=self._service, owner=self._owner)
                return
            async with self._database.write() as tx:
                await store.take_over(tx, owner=self._owner)

    async def _round(self) -> bool:
        """One look; True when something was found, so that there may be more.

        Under a backlog two lanes, each with half of the shards: while one produces, the database claims and marks for
        the other. A shard is in one lane, and a round ends when both have ended, so each shard's rows are claimed,
        sent and marked one batch after the other, as without lanes.
        """
        try:
            await self._keep_leases()
            await self._tick()
            lanes = decisions.lanes(self._fences, count=LANES if self._has_backlog else 1)
            carrying = [self._carry(lane, claims=len(lanes)) for lane in lanes]
            outcomes = await asyncio.gather(*carrying, return_exceptions=True)
            claimed: list[OutboxRow] = []
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                claimed += outcome
            # In events, not in rows: an import has 500 of them in one.
            self._has_backlog = (
                sum(row.events for row in claimed) >= BACKLOG_FROM_EVENTS
                or sum(len(row.payload) for row in claimed) >= BACKLOG_FROM_BYTES
            )
            return bool(claimed)
        except (SQLAlchemyError, Error, BrokerUnavailable, OSError) as error:
            log.warning(
                "relay_waits", service=self._service, reason=(str(error) or repr(error)).splitlines()[0]
            )
            self._ticked_at_s = float("-inf")
            self._probe.forget()
            await asyncio.sleep(RETRY_S)
            return False

    async def _sleep(self, stop: asyncio.Event) -> None:
        """Until a commit wakes us, or the poll: often after traffic, seldom when it has been quiet."""
        busy = asyncio.get_running_loop().time() < self._busy_until_s
        seldom_s = RETRY_S if self._held or self._stopped else POLL_IDLE_S
        waiting = {asyncio.create_task(self._wake.event.wait()), asyncio.create_task(stop.wait())}
        woken, _ = await asyncio.wait(
            waiting, timeout=POLL_S if busy else seldom_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if woken:
            self._wake.event.clear()
            self._busy_until_s = asyncio.get_running_loop().time() + BUSY_S

    async def _keep_leases(self) -> None:
        now_s = time.monotonic()
        if not LEASE.must_ask(now_s, self._lease_until_s, holds=bool(self._fences)):
            return
        async with self._database.write() as tx:
            fences = await store.lease(tx, owner=self._owner)
        if set(fences) - set(self._fences):
            self._ticked_at_s = float("-inf")
        self._fences = fences
        self._lease_until_s = LEASE.until_s(now_s)

    async def _tick(self) -> None:
        """Notice a broker that came back empty, also while there is nothing to send."""
        now_s = asyncio.get_running_loop().time()
        if not self._fences or now_s - self._ticked_at_s < (
            RETRY_S if self._held or self._stopped else TICK_S
        ):
            return
        async with self._database.read() as session:
            known = await store.incarnations(session, shards=list(self._fences))
            oldest, rows = await store.backlog(session)
            if self._stopped:
                unsent = await store.still_unsent(session, self._stopped)
                self._stopped = {shard: row for shard, row in self._stopped.items() if shard in unsent}
        SHARDS_STOPPED.set(len(self._stopped.keys() & self._fences.keys()))
        BACKLOG_ROWS.set(rows)
        BACKLOG_AGE.set((self._clock() - oldest).total_seconds() if oldest else 0)
        names = {topic for _, topic in known} | set(self._held)
        if names:
            await self._compare(known, await self._look(names))
        self._ticked_at_s = now_s

    async def _look(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        """The topics that can be written. The others are held until a tick finds them as they should be."""
        found, unusable = await self._probe.look(names)
        for name, reason in unusable.items():
            if self._held.get(name) != reason:
                log.error("topic_held", service=self._service, topic=name, reason=reason)
        for name in self._held.keys() & found.keys():
            log.info("topic_released", service=self._service, topic=name)
        self._held = {name: why for name, why in self._held.items() if name not in found} | unusable
        self._topics |= found
        return found

    async def _compare(self, known: Mapping[tuple[int, str], UUID], found: Mapping[str, TopicInfo]) -> None:
        self._seen = set(known)
        ids = {topic: info.topic_id for topic, info in found.items()}
        for (shard, topic), topic_id in decisions.reborn(known, ids).items():
            await self._new_incarnation(shard, topic, topic_id)

    async def _new_incarnation(self, shard: int, topic: str, topic_id: UUID) -> None:
        """Remember it, make unsent what it lacks, and ask for the state where the rows do not suffice: at once."""
        now = self._clock()
        async with self._database.write() as tx:
            drained_at = await store.drained_at(tx)
            wanted = resending(now=now, drained_at=drained_at, has_state=self._has_state(topic))
            rows = await store.send_again(
                tx, shard=shard, topic=topic, topic_id=topic_id, after=wanted.after, now=now
            )
            if wanted.state:
                await jobs.for_incarnation(tx, topic=topic, topic_id=topic_id, since=now - IN_FULL, now=now)
        SENT_AGAIN.labels(topic=topic).inc(rows)
        log.warning(
            "topic_came_back_empty",
            topic=topic,
            shard=shard,
            rows_sent_again=rows,
            sent_after=None if wanted.after is None else wanted.after.isoformat(),
            whole_state=wanted.state,
        )

    async def _carry(self, fences: Mapping[int, int], *, claims: int) -> Sequence[OutboxRow]:
        """Claim, produce and mark rows of these shards; what was claimed."""
        shards = [shard for shard in fences if shard not in self._stopped]
        async with self._database.read() as session:
            claimed = await store.unsent(session, shards=shards, without=self._held, claims=claims)
        rows = await self._writable(claimed)
        if rows:
            await self._send(rows, fences)
        return claimed

    async def _send(self, rows: Sequence[OutboxRow], fences: Mapping[int, int]) -> None:
        """Produce and mark. Stops at the first row that was not acknowledged: its successors wait behind it."""
        if not LEASE.may_produce(time.monotonic(), self._lease_until_s):
            self._lease_until_s = float("-inf")  # asked for anew before the next batch
            return
        # Marked with the incarnation that was known before they were sent: a newer one, which the other lane may find
        # meanwhile, does not have them.
        topics = {row.topic: self._topics[row.topic] for row in rows}
        rows, records = self._without_too_large(
            rows, [records_of(row, self._service, topics[row.topic].partitions) for row in rows]
        )
        acks = await self._producer.produce(
            [record for batch in records for record in batch],
            until_s=LEASE.hand_over_until_s(self._lease_until_s),
        )
        done = decisions.acknowledged(rows, [len(batch) for batch in records], acks)
        arrived = {ack for ack in acks if ack is not None}
        ids = {name: info.topic_id for name, info in topics.items()}
        marking = self._mark(done, arrived, fences=fences, topic_ids=ids)
        await asyncio.gather(self._hints.sent(arrived), marking)  # a mark does not wait for a hint
        for topic, events in Counter(ack.topic for ack in acks if ack is not None).items():
            EVENTS_SENT.labels(topic=topic).inc(events)
        if len(done) < len(rows):
            FAILURES.labels(topic=rows[len(done)].topic).inc()
            self._ticked_at_s = float("-inf")
            raise BrokerUnavailable(f"no acknowledgement for {rows[len(done)].topic}")

    def _without_too_large(
        self, rows: Sequence[OutboxRow], records: Sequence[list[Record]]
    ) -> tuple[Sequence[OutboxRow], Sequence[list[Record]]]:
        """A row that no broker takes (`publish` refuses such events; this one is from before, or was written past it)
        stops its shard, since its successors must not overtake it, and only its shard."""
        large = [position for position, some in enumerate(records) if not all(map(fits, some))]
        if not large:
            return rows, records
        sendable, stopped = decisions.up_to_too_large(rows, large)
        for shard, row in stopped.items():
            log.error("row_too_large", service=self._service, shard=shard, row=row.id, topic=row.topic)
        self._stopped |= {shard: row.id for shard, row in stopped.items()}
        SHARDS_STOPPED.set(len(self._stopped))
        return [rows[position] for position in sendable], [records[position] for position in sendable]

    async def _writable(self, rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        """First use of a topic by a shard: remember its incarnation before anything is marked with it. Without the rows
        of topics that turn out to be unusable."""
        new = decisions.unseen(rows, self._seen)
        if not new:
            return rows
        found = await self._look({topic for _, topic in new})
        for shard, topic in new:
            if topic in found:
                async with self._database.write() as tx:
                    await store.see(
                        tx, shard=shard, topic=topic, topic_id=found[topic].topic_id, now=self._clock()
                    )
                self._seen.add((shard, topic))
        return [row for row in rows if row.topic not in self._held]

    async def _mark(
        self,
        rows: Sequence[OutboxRow],
        acks: Iterable[Ack],
        *,
        fences: Mapping[int, int],
        topic_ids: Mapping[str, UUID],
    ) -> None:
        groups = decisions.marks(rows)
        if not groups:
            return
        async with self._database.write() as tx:
            # A lost mark is a repeat, which consumers absorb; nothing else may commit this way.
            await tx.execute(text("set local synchronous_commit = off"))
            marked = await store.mark(
                tx, groups, topic_ids=topic_ids, owner=self._owner, fences=fences, sent_at=self._clock()
            )
            await store.remember_ends(tx, decisions.ends(acks, topic_ids))
        for shard in {shard for shard, _ in groups} - set(marked):
            self._lease_until_s = float("-inf")
            log.warning("lease_lost", shard=shard, service=self._service)

    async def _listen(self) -> None:
        """A NOTIFY of another process of this service wakes the relay."""
        address = libpq_url(role_url(self._database_settings, self._service, "worker"))
        while True:
            with suppress(Error, OSError):
                async for _ in notifications(address, NOTIFY_CHANNEL):
                    self._wake.event.set()
            await asyncio.sleep(1)

    async def _close(self) -> None:
        await (
            self._producer.close()
        )  # before the leases go: nothing of ours may come after what the next one sends
        with suppress(SQLAlchemyError):
            async with self._database.write() as tx:
                await store.release(tx, owner=self._owner)
        with suppress(Error):
            await self._name_lock.release()
        await self._hints.close()
