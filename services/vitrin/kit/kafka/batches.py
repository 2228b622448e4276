"""Record batches, encoded here and handed to kafka-python's producer whole.

`KafkaProducer.send` takes 25-40 us a record: a future, a lock, two size estimates and a log line each. Here a record
costs its bytes. Everything that keeps a promise stays the library's, batch by batch: sequence numbers and producer id
(given when a batch is drained), one batch in flight per partition, retries, the delivery time-out, the header and its
checksum. What is used of the library is not its public face: its version is pinned, and tests/kit/kafka shows that the
library reads, numbers and splits these batches as its own.

Format: Kafka's record batch, version 2 (kafka.apache.org/documentation/#recordbatch).
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from kafka import TopicPartition
from kafka.errors import IllegalStateError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder

from vitrin.events.envelope import RECORD_BYTES_MAX

BATCH_BYTES: Final = 256 * 1024
"""A batch is closed before a record would make it larger; one record may be larger alone."""
_MAGIC: Final = 2
_UNCOMPRESSED: Final = 0


class Record(NamedTuple):
    """`headers`: as `headers()` gives them; `value` None deletes the key from a compacted topic."""

    topic: str
    key: bytes
    value: bytes | None
    headers: bytes
    partition: int


def varint(value: int) -> bytes:
    """A signed number of 64 bits, zigzag."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_VARINTS: Final = tuple(varint(value) for value in range(16_384))
_NULL: Final = varint(-1)
_ATTRIBUTES_AND_TIME: Final = b"\0" + varint(0)
_RECORD_OVERHEAD_BYTES: Final = 5 + len(_ATTRIBUTES_AND_TIME) + 5
"""Beside what a record contains: its length and its place in the batch, at their largest."""


def fits(record: Record) -> bool:
    """Brokers take it. (What `pack` counts beside these three is below the reserve of the limit.)"""
    return len(record.key) + len(record.value or b"") + len(record.headers) <= RECORD_BYTES_MAX


def _varint(value: int) -> bytes:
    return _VARINTS[value] if value < len(_VARINTS) else varint(value)


def header(name: str, value: bytes) -> bytes:
    """One header, encoded."""
    encoded = name.encode()
    return b"".join((_varint(len(encoded)), encoded, _varint(len(value)), value))


def headers(pairs: Sequence[tuple[str, bytes]]) -> bytes:
    """A record's headers, encoded."""
    return joined_headers([header(name, value) for name, value in pairs])


def joined_headers(encoded: Sequence[bytes]) -> bytes:
    return b"".join((_varint(len(encoded)), *encoded))


class Batch(ProducerBatch):  # type: ignore[misc]
    """Records of one partition in their order, as kafka-python's sender takes them. All or none is acknowledged."""

    def __init__(self, place: Any, now_ms: int) -> None:
        records = MemoryRecordsBuilder(_MAGIC, _UNCOMPRESSED, BATCH_BYTES)
        super().__init__(place, records)
        self._builder = records._builder
        self._builder._first_timestamp = self._builder._max_timestamp = now_ms
        self._buffer: bytearray = self._builder._buffer
        self._count = 0

    def takes(self, content: bytes) -> bool:
        return not self._count or len(self._buffer) + len(content) + _RECORD_OVERHEAD_BYTES <= BATCH_BYTES

    def add(self, content: bytes) -> None:
        offset = _varint(self._count)
        self._buffer += b"".join(
            (_varint(2 + len(offset) + len(content)), _ATTRIBUTES_AND_TIME, offset, content)
        )
        self._count += 1

    def seal(self) -> None:
        """Nothing is added any more; the sender may have it."""
        self._builder._num_records = self.records._next_offset = self._count
        self._builder._last_offset = self._count - 1

    _futures: list[Any] | None

    @property
    def _record_futures(self) -> list[Any]:
        """One per record, where the library wants them: when it splits a batch that the broker finds too large."""
        if self._futures is None:
            self._futures = [
                FutureRecordMetadata(self.produce_future, index, None, None, -1, -1, -1)
                for index in range(self._count)
            ]
        return self._futures

    @_record_futures.setter
    def _record_futures(self, _: list[Any]) -> None:
        self._futures = None

    def last_offset(self, *, timeout_s: float) -> int:
        """Where its last record stands, once the broker has all of them; -1 where the broker does not know any more.
        KafkaError when they were not acknowledged."""
        end_s = time.monotonic() + timeout_s
        if not self.produce_future.wait(timeout_s):
            raise KafkaTimeoutError(f"no answer for {self.topic_partition} within {timeout_s:.0f} s")
        if not self.produce_future.is_done:  # woken, because the batch was split
            parts = [
                future.get(timeout=max(0.0, end_s - time.monotonic())) for future in self._record_futures
            ]
            return int(parts[-1].offset)
        base_offset, _, exception_of = self.produce_future.value
        if exception_of is not None:
            raise exception_of(self._count - 1)
        return int(base_offset + self._count - 1 if base_offset >= 0 else -1)


def pack(
    records: Iterable[Record], *, topic_prefix: str = "", now_ms: int
) -> tuple[list[Batch], list[Batch]]:
    """The batches in the order of their first records, and the batch of each record. Ends before a record that
    does not fit: what comes behind it must wait."""
    batches: list[Batch] = []
    placed: list[Batch] = []
    latest: dict[tuple[str, int], Batch] = {}
    for record in records:
        if not fits(record):
            break
        topic, key, value, encoded_headers, partition = record
        value_parts = (_NULL, b"") if value is None else (_varint(len(value)), value)
        content = b"".join((_varint(len(key)), key, *value_parts, encoded_headers))
        batch = latest.get((topic, partition))
        if batch is None or not batch.takes(content):
            batch = Batch(TopicPartition(topic_prefix + topic, partition), now_ms)
            latest[topic, partition] = batch
            batches.append(batch)
        batch.add(content)
        placed.append(batch)
    for batch in batches:
        batch.seal()
    return batches, placed


def require_partition(client: Any, place: Any) -> None:
    """The client knows the partition. KafkaError where the topic is not there in time, ValueError where it has no such
    partition (any more)."""
    if place.partition not in client.partitions_for(place.topic):
        raise ValueError(f"{place.topic} has no partition {place.partition}")


def hand_over(client: Any, batch: Batch) -> None:
    """The batch is the producer's, behind the earlier ones of its partition, which the client must know; its delivery
    time-out begins. The sender looks at it when it is woken."""
    place = batch.topic_partition
    accumulator = client._accumulator
    with accumulator._tp_lock(place):
        if accumulator._closed:
            raise IllegalStateError("the producer is closed")
        batch.created = batch.last_attempt = batch.last_append = time.monotonic()
        accumulator._batches[place].append(batch)
        accumulator._incomplete.add(batch)


def wake_up(client: Any) -> None:
    client._sender.wakeup()
