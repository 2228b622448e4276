"""Offsets by compare-and-set, and dead letters. The database is the truth about where a group stands."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from vitrin.kit.consumer.records import brand_of, readable_headers
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.kit.kafka.client import Place, TopicInfo

REASON_CHARS_MAX: Final = 2_000

_LOAD = text(
    """
    select topic, topic_id, partition, next_offset from consumer_offsets
    where consumer_group = :consumer_group and topic = any(:topics)
    """
)
_START = text(
    """
    insert into consumer_offsets (consumer_group, topic, topic_id, partition, next_offset, updated_at)
    values (:consumer_group, :topic, :topic_id, :partition, :next_offset, :now)
    on conflict (consumer_group, topic, topic_id, partition) do nothing
    """
)
_ADVANCE: Final = text(
    """
    update consumer_offsets set next_offset = :next_offset, updated_at = :now
    where consumer_group = :consumer_group and topic = :topic and topic_id = :topic_id
      and partition = :partition and next_offset = :expected
    """
)
_DEAD = text(
    """
    insert into dead_letters (id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id,
                              event_type, headers, payload, reason, created_at)
    values (:id, :consumer_group, :topic, :topic_id, :partition, :record_offset, :key, :brand_id,
            :event_type, :headers, :payload, :reason, :now)
    on conflict (consumer_group, topic_id, partition, record_offset) do update
        set state = 'dead', reason = excluded.reason, created_at = excluded.created_at
        where dead_letters.state = 'replayed'
    """
)
_DEAD_COUNT = text(
    """
    select count(*) from dead_letters
    where consumer_group = :consumer_group and created_at > :since and state in ('dead', 'replaying')
    """
)


class TakenOver(Exception):
    """Another member has advanced this partition: roll back, load the offsets again, seek."""


async def load(session: ReadSession, *, group: str, topics: Mapping[str, TopicInfo]) -> dict[Place, int]:
    """Stored positions that belong to the incarnations that are there now."""
    rows = await session.all(_LOAD, {"consumer_group": group, "topics": list(topics)})
    return {
        Place(row.topic, row.topic_id, row.partition): row.next_offset
        for row in rows
        if topics[row.topic].topic_id == row.topic_id
    }


async def start(tx: WriteSession, *, group: str, places: Mapping[Place, int], now: datetime) -> None:
    if places:
        await tx.execute(_START, [_row(group, place, offset, now) for place, offset in places.items()])


async def advance(
    tx: WriteSession, *, group: str, moves: Mapping[Place, tuple[int, int]], now: datetime
) -> None:
    """Compare-and-set of each partition's position (expected, next), in key order. TakenOver when one has moved."""
    for place in sorted(moves, key=lambda place: (place.topic, place.partition)):
        expected, next_offset = moves[place]
        result = await tx.execute(_ADVANCE, {**_row(group, place, next_offset, now), "expected": expected})
        if result.rowcount != 1:
            raise TakenOver(f"{place.topic}/{place.partition} is no longer at {expected}")


def _row(group: str, place: Place, offset: int, now: datetime) -> dict[str, Any]:
    return {
        "consumer_group": group,
        "topic": place.topic,
        "topic_id": place.topic_id,
        "partition": place.partition,
        "next_offset": offset,
        "now": now,
    }


async def bury(
    tx: WriteSession, *, group: str, place: Place, record: Any, reason: str, now: datetime
) -> None:
    headers = readable_headers(record)
    await tx.execute(
        _DEAD,
        {
            "id": new_uuid(),
            "brand_id": brand_of(record),
            "event_type": headers.get("type", ""),
            "consumer_group": group,
            "topic": place.topic,
            "topic_id": place.topic_id,
            "partition": place.partition,
            "record_offset": record.offset,
            "key": (record.key or b"").decode(errors="replace").replace("\x00", ""),
            "headers": json.dumps(headers),
            "payload": record.value,
            "reason": reason[:REASON_CHARS_MAX],
            "now": now,
        },
    )


async def buried_since(session: ReadSession, *, group: str, since: datetime) -> int:
    """Letters that nobody has dealt with yet; what an operator replayed or dropped gives room again."""
    return int(await session.scalar(_DEAD_COUNT, {"consumer_group": group, "since": since}))
