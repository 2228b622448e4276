"""Outbox, leases, relays, broker and consumer. What SQL does in kit/outbox/store.py is done here on dictionaries; what
the relay decides is `kit.outbox.decisions` and `resending`."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from tests.simulation.clockwork import Clockwork, Nap, Steps
from tests.simulation.scenario import Change
from vitrin.kit.outbox import decisions
from vitrin.kit.outbox.decisions import LeaseTimes
from vitrin.kit.outbox.resending import IN_FULL, resending
from vitrin.shop_sync.domain import replica
from vitrin.shop_sync.domain.replica import ItemReplica, Stamp

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
ITEM, OFFER, MARKET = "item", "offer", "US"
TOPICS: Final = (ITEM, OFFER)
SHARDS, PARTITIONS = 3, 2
LEASE: Final = LeaseTimes(lease_s=15.0, renew_s=5.0, delivery_s=5.0, margin_s=8.0)
TICK_S, POLL_S, DB_S = 3.0, 5.0, 0.002
KEEP: Final = timedelta(days=7)
CLAIM_ROWS_MAX: Final = 20


def moment(now_s: float) -> datetime:
    return EPOCH + timedelta(seconds=now_s)


@dataclass(frozen=True, slots=True)
class Record:
    """One event. `news`: what it tells a replica."""

    key: str
    version: int
    news: ItemReplica


@dataclass(slots=True)
class OutRow:
    id: int
    created_at: datetime
    shard: int
    topic: str
    records: tuple[Record, ...]
    sent_at: datetime | None = None
    sent_topic_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class CatalogItem:
    content_version: int = 0
    offer_version: int = 0
    exists: bool = False
    title: int = 0
    status: str = "active"
    valid: bool = True
    price: int | None = None
    availability: str = "in stock"


@dataclass(slots=True)
class Lease:
    owner: str = ""
    fence: int = 0
    expires_s: float = float("-inf")


@dataclass
class Database:
    """catalog's: its items, its outbox, and what the relays know together."""

    items: dict[str, CatalogItem] = field(default_factory=dict)
    outbox: dict[int, OutRow] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=lambda: {shard: Lease() for shard in range(SHARDS)})
    incarnations: dict[tuple[int, str], UUID] = field(default_factory=dict)
    ends: dict[tuple[str, UUID, int], int] = field(default_factory=dict)
    drained_at: datetime | None = None
    jobs: dict[str, datetime] = field(default_factory=dict)
    last_id: int = 0

    def change(self, change: Change, now: datetime) -> bool:
        """One transaction of catalog; False where the change says nothing new."""
        item = self.items.setdefault(change.item, CatalogItem())
        lane = self._apply(item, change)
        if lane is None:
            return False
        if lane == OFFER:
            item.offer_version += 1
        else:
            item.content_version += 1
        self.publish(change.item, lane, now)
        return True

    @staticmethod
    def _apply(item: CatalogItem, change: Change) -> str | None:
        if change.kind == "content":
            item.exists, item.title = True, change.value
            return ITEM
        if not item.exists:
            return None
        match change.kind:
            case "delete":
                item.exists, item.price, item.status, item.valid = False, None, "active", True
            case "draft" | "activate":
                item.status = "draft" if change.kind == "draft" else "active"
            case "break" | "repair":
                item.valid = change.kind == "repair"
            case "offer":
                item.price = change.value
                return OFFER
            case _:
                if item.price is None:
                    return None
                item.availability = "out of stock" if change.kind == "sell_out" else "in stock"
                return OFFER
        return ITEM

    def publish(self, name: str, lane: str, now: datetime) -> None:
        self.last_id += 1
        shard = zlib.crc32(name.encode()) % SHARDS
        records = (self.record(name, lane, now),)
        self.outbox[self.last_id] = OutRow(self.last_id, now, shard, lane, records)

    def record(self, name: str, lane: str, now: datetime) -> Record:
        item, stamp = self.items[name], Stamp(now, now, "key:test")
        if lane == OFFER:
            offer = json.dumps({"price": item.price, "availability": item.availability}).encode()
            return Record(
                f"{name}/{MARKET}",
                item.offer_version,
                replica.offer_changed(MARKET, item.offer_version, offer, stamp),
            )
        if not item.exists:
            return Record(
                name,
                item.content_version,
                replica.item_deleted(item.content_version, item.offer_version, stamp),
            )
        content = json.dumps({"title": item.title, "status": item.status, "valid": item.valid}).encode()
        return Record(
            name, item.content_version, replica.content_changed(item.content_version, content, stamp)
        )

    def publish_state(self, topic: str, now: datetime) -> None:
        """`vitrin republish`: everything as it is now, tombstones too, with the versions that it has."""
        for name, item in sorted(self.items.items()):
            if (topic == ITEM and item.content_version) or (topic == OFFER and item.price is not None):
                self.publish(name, topic, now)

    # ---- what the relays do

    def lease(self, owner: str, now_s: float) -> dict[int, int]:
        for lease in self.leases.values():
            if lease.owner == owner or lease.expires_s < now_s:
                lease.fence += lease.owner != owner
                lease.owner, lease.expires_s = owner, now_s + LEASE.lease_s
        return {shard: lease.fence for shard, lease in self.leases.items() if lease.owner == owner}

    def take_over(self, owner: str, now_s: float) -> None:
        for lease in self.leases.values():
            if lease.owner.split("#")[0] == owner.split("#", maxsplit=1)[0]:
                lease.owner, lease.fence, lease.expires_s = owner, lease.fence + 1, now_s + LEASE.lease_s

    def unsent(self, shards: Sequence[int]) -> list[OutRow]:
        found = (row for row in self.outbox.values() if row.sent_at is None and row.shard in shards)
        return sorted(found, key=lambda row: row.id)[:CLAIM_ROWS_MAX]

    def mark(self, rows: Sequence[OutRow], topic_id: UUID, owner: str, fence: int, now: datetime) -> bool:
        lease = self.leases[rows[0].shard]
        if (lease.owner, lease.fence) != (owner, fence):
            return False
        for row in rows:
            row.sent_at, row.sent_topic_id = now, topic_id
        return True

    def new_incarnation(
        self, shard: int, topic: str, topic_id: UUID, *, has_state: bool, now: datetime
    ) -> None:
        wanted = resending(now=now, drained_at=self.drained_at, has_state=has_state)
        self.incarnations[shard, topic] = topic_id
        for row in self.outbox.values():
            same = row.shard == shard and row.topic == topic and row.sent_topic_id != topic_id
            if same and row.sent_at is not None and (wanted.after is None or row.sent_at > wanted.after):
                row.sent_at = None
        if wanted.state and self.jobs.get(topic, EPOCH) <= now - IN_FULL:
            self.jobs[topic] = now
            self.publish_state(topic, now)

    def forget(self, now: datetime) -> None:
        """Rows are kept for some days."""
        self.outbox = {
            row.id: row for row in self.outbox.values() if row.sent_at is None or row.created_at > now - KEEP
        }


class Away(Exception):
    """No broker."""


@dataclass
class Broker:
    clock: Clockwork
    up: bool = True
    lives: int = 0
    topics: dict[str, tuple[UUID, list[list[Record]]]] = field(default_factory=dict)
    told: Callable[[], None] = lambda: None
    first_seen: dict[tuple[UUID, str], list[int]] = field(default_factory=dict)
    """Versions of a key in the order of their first appearance in an incarnation."""

    def __post_init__(self) -> None:
        self.come_back_empty()

    def come_back_empty(self) -> None:
        self.up = True
        self.lives += 1
        self.topics = {
            name: (UUID(int=self.lives * 16 + number), [[] for _ in range(PARTITIONS)])
            for number, name in enumerate(TOPICS)
        }

    def look(self) -> dict[str, UUID]:
        if not self.up:
            raise Away
        return {name: topic_id for name, (topic_id, _) in self.topics.items()}

    def append(self, topic: str, record: Record, life: int) -> Ack | None:
        """None: not acknowledged. An acknowledgement may be lost although the record is there. A producer that was
        made in another `life` of the broker is refused for ever (ADR 3)."""
        if not self.up or life != self.lives:
            return None
        topic_id, logs = self.topics[topic]
        partition = zlib.crc32(record.key.encode()) % PARTITIONS
        logs[partition].append(record)
        self._judge(topic_id, record)
        self.told()
        lost = self.clock.chance.random() < 0.01
        return None if lost else Ack(topic, partition, len(logs[partition]) - 1)

    def _judge(self, topic_id: UUID, record: Record) -> None:
        seen = self.first_seen.setdefault((topic_id, record.key), [])
        if record.version not in seen:
            assert not seen or record.version > seen[-1], (
                f"{record.key}: version {record.version} after {seen}: the order of the key is inverted"
            )
            seen.append(record.version)


def relay(
    database: Database,
    broker: Broker,
    clock: Clockwork,
    *,
    owner: str,
    has_state: bool,
    told: Callable[[], None],
) -> Steps:
    """The rounds of kit/outbox/relay.py."""
    yield DB_S
    database.take_over(owner, clock.now_s)
    memory = _Memory(owner=owner, has_state=has_state, life=broker.lives)
    while True:
        try:
            busy = yield from _round(database, broker, clock, memory)
        except Away:
            memory.ticked_at_s = float("-inf")
            yield 0.5
            continue
        if busy:
            told()
        yield DB_S if busy else Nap(POLL_S)


@dataclass
class _Memory:
    owner: str
    has_state: bool
    fences: dict[int, int] = field(default_factory=dict)
    until_s: float = float("-inf")
    ticked_at_s: float = float("-inf")
    topics: dict[str, UUID] = field(default_factory=dict)
    seen: set[tuple[int, str]] = field(default_factory=set)
    life: int = 0
    """Of the broker, when the producer was made."""


def _round(database: Database, broker: Broker, clock: Clockwork, memory: _Memory) -> Steps:
    now_s = clock.now_s
    if LEASE.must_ask(now_s, memory.until_s, holds=bool(memory.fences)):
        yield DB_S
        fences = database.lease(memory.owner, clock.now_s)
        if set(fences) - set(memory.fences):
            memory.ticked_at_s = float("-inf")
        memory.fences, memory.until_s = fences, LEASE.until_s(now_s)
    if memory.fences and now_s - memory.ticked_at_s >= TICK_S:
        yield from _tick(database, broker, clock, memory)
        memory.ticked_at_s = now_s
    yield DB_S
    rows = database.unsent(list(memory.fences))
    if not rows:
        return False
    yield DB_S
    return (yield from _send(database, broker, clock, memory, rows))


def _tick(database: Database, broker: Broker, clock: Clockwork, memory: _Memory) -> Steps:
    yield DB_S
    known = {place: found for place, found in database.incarnations.items() if place[0] in memory.fences}
    memory.seen = set(known)
    memory.topics = broker.look()
    for (shard, topic), topic_id in decisions.reborn(known, memory.topics).items():
        yield DB_S
        clock.note(f"{memory.owner} {shard} {topic} came back empty")
        database.new_incarnation(shard, topic, topic_id, has_state=memory.has_state, now=moment(clock.now_s))


def _send(
    database: Database, broker: Broker, clock: Clockwork, memory: _Memory, rows: Sequence[OutRow]
) -> Steps:
    new = decisions.unseen(rows, memory.seen)
    if new:
        memory.topics = broker.look()
        for shard, topic in sorted(new):
            yield DB_S
            database.incarnations[shard, topic] = memory.topics[topic]
            memory.seen.add((shard, topic))
    if not LEASE.may_produce(clock.now_s, memory.until_s):
        memory.until_s = float("-inf")
        return True
    acks: list[Ack | None] = []
    last_s = LEASE.hand_over_until_s(memory.until_s)
    broken: set[int] = set()
    for row in rows:
        for record in row.records:
            ack = None
            handed_s = clock.now_s
            partition = zlib.crc32(record.key.encode()) % PARTITIONS
            if handed_s <= last_s and partition not in broken:
                yield clock.chance.choice((0.0005, 0.003))
                if clock.now_s - handed_s <= LEASE.delivery_s:
                    ack = broker.append(row.topic, record, memory.life)
            if ack is None:
                broken.add(partition)  # idempotent: nothing overtakes a lost record of its partition
            acks.append(ack)
    done = decisions.acknowledged(rows, [len(row.records) for row in rows], acks)
    yield DB_S
    for (shard, topic), group in decisions.marks(done).items():
        fence = memory.fences[shard]
        if not database.mark(group, memory.topics[topic], memory.owner, fence, moment(clock.now_s)):
            memory.until_s = float("-inf")
            clock.note(f"{memory.owner} lost shard {shard}")
    for place, end in decisions.ends([ack for ack in acks if ack is not None], memory.topics).items():
        database.ends[place] = max(database.ends.get(place, 0), end)
    if len(done) < len(rows):
        memory.life = broker.lives
        raise Away
    return True
