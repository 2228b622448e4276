"""Writing the outbox: one row per topic, brand and transaction, in the transaction of the change."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from vitrin.events.envelope import Event, to_us
from vitrin.kit.outbox.wake import NOTIFY_CHANNEL
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch

SHARDS: Final = 8
ROW_EVENTS_MAX: Final = 500
ROW_BYTES_MAX: Final = 1_000_000

_INSERT: Final = (
    "insert into outbox (created_at, shard, brand_id, topic, events, payload)"
    " values (%(created_at)b, %(shard)b, %(brand_id)b, %(topic)b, %(events)b, %(payload)b)"
)
_NOTIFY: Final = f"select pg_notify('{NOTIFY_CHANNEL}', '')"


def shard_of(brand_id: UUID) -> int:
    """Shard of a brand: its events stay in order because one relay at a time owns the shard."""
    return zlib.crc32(brand_id.bytes) % SHARDS


async def save_events(
    driver: AsyncConnection[Any], events: Sequence[Event], *, created_at: datetime, notify: bool
) -> None:
    """Last statements before the commit: the events of this transaction, in the order of their publishing."""
    for batch in _batches(events):
        await driver.execute(_INSERT, _row(batch, created_at))
    if notify:
        await driver.execute(_NOTIFY)


def _batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Groups of one topic and brand, each within the row limits; the order per key is kept."""
    open_batches: dict[tuple[str, UUID], tuple[list[Event], int]] = {}
    for event in events:
        group = (event.topic, event.brand_id)
        batch, size_bytes = open_batches.get(group, ([], 0))
        if len(batch) >= ROW_EVENTS_MAX or (batch and size_bytes + len(event.payload) > ROW_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(event)
        open_batches[group] = (batch, size_bytes + len(event.payload))
    for batch, _ in open_batches.values():
        yield batch


def _row(batch: Sequence[Event], created_at: datetime) -> dict[str, Any]:
    message = OutboxBatch()
    brand_id = batch[0].brand_id
    for event in batch:
        entry = message.events.add()
        entry.key = event.key
        entry.type = event.type
        entry.event_id = event.event_id
        entry.brand_id = brand_id.bytes
        entry.occurred_at_us = to_us(event.occurred_at)
        entry.received_at_us = to_us(event.received_at)
        entry.payload = event.payload
    return {
        "created_at": created_at,
        "shard": shard_of(brand_id),
        "brand_id": brand_id,
        "topic": batch[0].topic,
        "events": len(batch),
        "payload": message.SerializeToString(),
    }
