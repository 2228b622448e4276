"""Parked messages: a queue per group, topic and key, in the order in which they came.

The member that reads a partition parks; whoever takes the row handles it later (`consumer.retry`). A key with a parked
message is closed to the micro-batches until its queue is empty.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.events.envelope import Message
from vitrin.kit.consumer.handling import QueueKey, queue_key
from vitrin.kit.consumer.records import readable_headers
from vitrin.kit.consumer.store import REASON_CHARS_MAX
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.kit.kafka.client import Place

PARKED_ROWS_MAX: Final = 10_000
PARKED_TRIES_MAX: Final = 300
PARKED_AGE_MAX: Final = timedelta(days=7)
BACK_OFF: Final = timedelta(seconds=1)
BACK_OFF_MAX: Final = timedelta(minutes=5)

_ANY = text("select exists (select 1 from parked_messages where consumer_group = :consumer_group)")
_BLOCKED = text(
    """
    select parked.topic, parked.key from parked_messages parked
    join (select distinct topic, key from unnest(cast(:topics as text[]), cast(:keys as text[])) as batch (topic, key))
        as batch on batch.topic = parked.topic and batch.key = parked.key
    where parked.consumer_group = :consumer_group group by 1, 2
    union all
    select null, null where exists (select 1 from parked_messages where consumer_group = :consumer_group)
    """
)
_COUNT = text(
    "select count(*) from (select 1 from parked_messages where consumer_group = :consumer_group limit :most) as counted"
)
_PARK = text(
    """
    insert into parked_messages (id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id,
                                 event_id, event_type, headers, payload, reason, parked_at, due_at)
    values (:id, :consumer_group, :topic, :topic_id, :partition, :record_offset, :key, :brand_id,
            :event_id, :event_type, :headers, :payload, :reason, :now, :due_at)
    on conflict do nothing
    """
)
_HEADS: Final = """
    select distinct on (topic, key) id, topic, key, brand_id, due_at from parked_messages
    where consumer_group = :consumer_group order by topic, key, position
"""
_NEXT_HEADS = text(f"select id, brand_id, due_at from ({_HEADS}) as heads order by due_at limit :most")
_STATE = text(
    "select count(*) as rows, min(parked_at) as oldest_at from parked_messages where consumer_group = :consumer_group"
)
_HOLD_HEADS = text(
    """
    select topic, key from parked_messages held
    where id = any(:ids) and due_at <= :now and not exists (
        select 1 from parked_messages earlier
        where earlier.consumer_group = held.consumer_group and earlier.topic = held.topic
          and earlier.key = held.key and earlier.position < held.position)
    order by position for update skip locked
    """
)
_ALONE = text(
    """
    select topic, key from unnest(cast(:topics as text[]), cast(:keys as text[])) as wanted (topic, key)
    where pg_try_advisory_xact_lock(
        hashtextextended(concat_ws(E'\\n', 'parked', cast(:consumer_group as text), topic, key), 0))
    """
)
_QUEUES = text(
    """
    select parked.* from parked_messages parked
    join unnest(cast(:topics as text[]), cast(:keys as text[])) as held (topic, key)
      on held.topic = parked.topic and held.key = parked.key
    where parked.consumer_group = :consumer_group order by parked.position limit :most
    """
)
_DELETE = text("delete from parked_messages where id = any(:ids)")
_AGAIN = text("update parked_messages set tries = :tries, due_at = :due_at, reason = :reason where id = :id")
_BURY = text(
    """
    insert into dead_letters (id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id,
                              event_type, headers, payload, reason, created_at)
    select id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id,
           event_type, headers, payload, :reason, :now
    from parked_messages where id = :id
    on conflict (consumer_group, topic_id, partition, record_offset) do update
        set state = 'dead', reason = excluded.reason, created_at = excluded.created_at
        where dead_letters.state = 'replayed'
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how much may wait. Beyond `tries_max` or `age_max` a message goes to the dead letters after its
    last try; beyond `rows_max` of a group the consumer waits instead of parking more."""

    rows_max: int = PARKED_ROWS_MAX
    tries_max: int = PARKED_TRIES_MAX
    age_max: timedelta = PARKED_AGE_MAX
    back_off: timedelta = BACK_OFF
    back_off_max: timedelta = BACK_OFF_MAX

    def pause(self, tries: int) -> timedelta:
        """How long a message waits after so many tries (from 0, when it was parked): doubled each time."""
        return min(self.back_off_max, self.back_off * (1 << min(tries, 32)))


class ParkingFull(Exception):
    """More rows of the group would be parked than the limit allows: its position stays where it is."""


class Parking:
    """What is parked of a group, as one member sees it.

    Most of the time nothing is, and then a micro-batch asks nothing: only the member that reads a partition parks its
    keys, so what this member saw empty stays empty until it parks something itself. A member that was replaced and
    does not know it yet is refused by the compare-and-set of its position.
    """

    def __init__(self, *, group: str, limits: Limits) -> None:
        self.group = group
        self.limits = limits
        self._maybe_parked = True

    async def load(self, session: ReadSession) -> None:
        """When partitions are assigned, after their positions were read: what the member before us parked."""
        self._maybe_parked = bool(await session.scalar(_ANY, {"consumer_group": self.group}))

    async def blocked(self, session: ReadSession, messages: Sequence[Message]) -> set[QueueKey]:
        """Keys of the batch that have a parked message. One query, or none."""
        if not self._maybe_parked or not messages:
            return set()
        keys = list({queue_key(message) for message in messages})
        rows = await session.all(
            _BLOCKED,
            {"consumer_group": self.group, **_arrays(keys)},
        )
        self._maybe_parked = bool(rows)
        return {(row.topic, row.key) for row in rows if row.topic is not None}

    async def park(
        self, tx: WriteSession, waiting: Sequence[tuple[Place, Any, Message, str]], *, now: datetime
    ) -> None:
        """Put these at the end of their queues, in order. A message that is there already (read again, or sent again
        by a broker that came back empty) keeps its place. Raises ParkingFull."""
        if not waiting:
            return
        self._maybe_parked = True
        most = self.limits.rows_max + 1
        parked = int(await tx.scalar(_COUNT, {"consumer_group": self.group, "most": most}))
        if parked + len(waiting) > self.limits.rows_max:
            raise ParkingFull(
                f"{len(waiting)} more messages would have to wait; of at most {self.limits.rows_max:,}"
                f" {parked:,} are parked"
            )
        due_at = now + self.limits.pause(0)
        await tx.execute(_PARK, [self._row(*one, now=now, due_at=due_at) for one in waiting])

    def _row(
        self, place: Place, record: Any, message: Message, reason: str, *, now: datetime, due_at: datetime
    ) -> dict[str, Any]:
        headers = readable_headers(record)
        return {
            "id": new_uuid(),
            "consumer_group": self.group,
            "topic": place.topic,
            "topic_id": place.topic_id,
            "partition": place.partition,
            "record_offset": message.offset,
            "key": message.key,
            "brand_id": message.brand_id,
            "event_id": message.event_id,
            "event_type": headers["type"],
            "headers": json.dumps(headers),
            "payload": message.payload,
            "reason": reason[:REASON_CHARS_MAX],
            "now": now,
            "due_at": due_at,
        }


async def next_heads(session: ReadSession, *, group: str, most: int) -> Sequence[Row[Any]]:
    """First of each queue with its brand and the time of its next try, soonest first."""
    return await session.all(_NEXT_HEADS, {"consumer_group": group, "most": most})


async def state(session: ReadSession, *, group: str) -> tuple[int, datetime | None]:
    """How many are parked, and since when the oldest."""
    row = (await session.all(_STATE, {"consumer_group": group}))[0]
    return row.rows, row.oldest_at


async def hold(
    tx: WriteSession, *, group: str, heads: Sequence[UUID], now: datetime, most: int
) -> Sequence[Row[Any]]:
    """The queues of these heads as far as nobody else holds them, in order. The lock on a head is the lock on its
    queue: while we have it nobody handles a later message of that key, and new ones only join at the end."""
    found = await tx.all(_HOLD_HEADS, {"ids": list(heads), "now": now})
    held = await alone(tx, group=group, keys=[(row.topic, row.key) for row in found])
    if not held:
        return ()
    return await tx.all(_QUEUES, {"consumer_group": group, "most": most, **_arrays(held)})


async def alone(tx: WriteSession, *, group: str, keys: Sequence[QueueKey]) -> list[QueueKey]:
    """Those of the keys that are ours until the end of the transaction: a parked message and a replayed letter of one
    key are not handled at once."""
    if not keys:
        return []
    rows = await tx.all(_ALONE, {"consumer_group": group, **_arrays(keys)})
    return [(row.topic, row.key) for row in rows]


def _arrays(keys: Sequence[QueueKey]) -> dict[str, list[str]]:
    return {"topics": [topic for topic, _ in keys], "keys": [key for _, key in keys]}


async def delete(tx: WriteSession, ids: Sequence[UUID]) -> None:
    if ids:
        await tx.execute(_DELETE, {"ids": list(ids)})


async def again(tx: WriteSession, row: Any, *, reason: str, due_at: datetime) -> None:
    params = {"id": row.id, "tries": row.tries + 1, "due_at": due_at, "reason": reason[:REASON_CHARS_MAX]}
    await tx.execute(_AGAIN, params)


async def bury(tx: WriteSession, row: Any, *, reason: str, now: datetime) -> None:
    """From the queue to the dead letters, under the same id."""
    await tx.execute(_BURY, {"id": row.id, "reason": reason[:REASON_CHARS_MAX], "now": now})
    await delete(tx, [row.id])
