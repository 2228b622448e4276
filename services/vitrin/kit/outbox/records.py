"""An outbox row as Kafka's records: the envelope's headers (`vitrin.events.envelope`), encoded."""

from functools import lru_cache
from typing import Final

from vitrin.kit.kafka.batches import Record, header, joined_headers
from vitrin.kit.kafka.keys import partition_of
from vitrin.kit.outbox.store import OutboxRow
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch

_REPEATING: Final = 4_096
"""Types, brands and the times of one transaction come again and again."""


def records_of(row: OutboxRow, service: str, partitions: int) -> list[Record]:
    """In the order of their publishing."""
    producer = _repeating("producer", service.encode())
    records = []
    for event in OutboxBatch.FromString(row.payload).events:
        key = event.key.encode()
        headers = joined_headers(
            (
                header("id", event.event_id),
                _repeating("type", event.type.encode()),
                _repeating("brand", event.brand_id),
                _time("occurred", event.occurred_at_us),
                _time("received", event.received_at_us),
                producer,
            )
        )
        records.append(Record(row.topic, key, event.payload, headers, partition_of(key, partitions)))
    return records


_repeating = lru_cache(_REPEATING)(header)


@lru_cache(_REPEATING)
def _time(name: str, us: int) -> bytes:
    return header(name, b"%d" % us)
