"""Our record batches against kafka-python's own builder, reader and accumulator."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import IllegalStateError, KafkaTimeoutError, NotEnoughReplicasError
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import decode_varint

from vitrin.events.envelope import RECORD_BYTES_MAX
from vitrin.kit.kafka.batches import (
    BATCH_BYTES,
    Batch,
    Record,
    fits,
    hand_over,
    header,
    headers,
    joined_headers,
    pack,
    varint,
)
from vitrin.kit.kafka.declared import load_topics

NOW_MS = 1_700_000_000_123
PRODUCER = (77, 3)
PLACE = TopicPartition("t.item", 0)

pairs = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40)), max_size=7)
contents = st.tuples(st.binary(max_size=80), st.none() | st.binary(max_size=400), pairs)
places = st.tuples(st.sampled_from(["item", "offer"]), st.integers(0, 3))


def packed(records: list[Record]) -> tuple[list[Batch], list[Batch]]:
    return pack(records, topic_prefix="t.", now_ms=NOW_MS)


def drained(batch: Batch, sequence: int = 0) -> bytes:
    """As the accumulator does with a batch that goes out for the first time."""
    batch.records.set_producer_state(*PRODUCER, sequence, False)
    batch.records.close()
    return bytes(batch.records.buffer())


def their_bytes(records: list[tuple[bytes, bytes | None, list[tuple[str, bytes]]]], sequence: int) -> bytes:
    builder = MemoryRecordsBuilder(2, 0, BATCH_BYTES)
    for key, value, found in records:
        assert builder.append(NOW_MS, key, value, found) is not None
    builder.set_producer_state(*PRODUCER, sequence, False)
    builder.close()
    return bytes(builder.buffer())


def read(buffer: bytes) -> list[Any]:
    found = []
    for batch in MemoryRecords(buffer):
        assert batch.validate_crc()
        found += list(batch)
    return found


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(-70_000, 70_000))
def test_varints_are_read_back(value: int) -> None:
    encoded = varint(value)
    assert decode_varint(bytearray(encoded)) == (value, len(encoded))


@given(st.lists(st.tuples(places, contents), max_size=60), st.integers(0, 2**31 - 1))
def test_batches_are_byte_by_byte_what_kafka_python_builds(
    given: list[tuple[tuple[str, int], Any]], sequence: int
) -> None:
    expected: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for place, content in given:
        expected[place].append(content)
    records = [
        Record(topic, key, value, headers(found), partition)
        for (topic, partition), (key, value, found) in given
    ]
    made, placed = packed(records)
    assert [batch.topic_partition for batch in made] == [TopicPartition(f"t.{t}", p) for t, p in expected]
    assert [batch.topic_partition for batch in placed] == [
        TopicPartition(f"t.{topic}", partition) for (topic, partition), _ in given
    ]
    assert [drained(batch, sequence) for batch in made] == [
        their_bytes(content, sequence) for content in expected.values()
    ]
    assert [batch.record_count for batch in made] == [len(content) for content in expected.values()]


def test_lengths_at_the_edges_of_a_varint() -> None:
    for length in (0, 63, 64, 8_191, 8_192, 16_383, 16_384, 100_000):
        content = (b"k" * length, b"v" * length, [("h", b"x" * length)])
        (batch,), _ = packed([Record("item", content[0], content[1], headers(content[2]), 0)])
        assert drained(batch) == their_bytes([content], 0)


def test_offsets_beyond_two_bytes_of_a_varint() -> None:
    content = [(b"", b"", [])] * 9_000
    (batch,), _ = packed([Record("item", b"", b"", headers(()), 0)] * 9_000)
    assert drained(batch) == their_bytes(content, 0)  # type: ignore[arg-type]


def test_headers_may_be_encoded_one_by_one() -> None:
    assert headers([("a", b"1"), ("bc", b"")]) == joined_headers([header("a", b"1"), header("bc", b"")])
    assert headers(()) == joined_headers([])


def test_a_full_batch_is_followed_by_another_and_the_order_stays() -> None:
    value = bytes(BATCH_BYTES // 3)
    records = [Record("item", b"%d" % n, value, headers(()), n % 2) for n in range(11)]
    made, placed = packed(records)
    assert [batch.topic_partition.partition for batch in made] == [0, 1, 0, 1, 0, 1]
    assert [made.index(batch) for batch in placed] == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4]
    assert all(batch.records.size_in_bytes() <= BATCH_BYTES for batch in made)
    found = [record.key for n in (0, 2, 4) for record in read(drained(made[n]))]
    assert found == [b"0", b"2", b"4", b"6", b"8", b"10"]


def test_a_large_record_is_alone_and_one_that_is_too_large_holds_those_behind_it() -> None:
    small, large = b"s", bytes(BATCH_BYTES + 1)
    values = (small, large, small, bytes(RECORD_BYTES_MAX), small)
    records = [Record("item", b"k", value, headers(()), 0) for value in values]
    made, placed = packed(records)
    assert [[len(record.value) for record in read(drained(batch))] for batch in made] == [
        [1],
        [BATCH_BYTES + 1],
        [1],
    ]
    assert placed == made


def test_every_topic_takes_the_largest_record() -> None:
    record = Record("item", b"k", bytes(RECORD_BYTES_MAX - 1 - len(headers(()))), headers(()), 0)
    assert fits(record)
    assert not fits(record._replace(key=b"kk"))
    (made,), _ = packed([record])
    drained(made)
    assert {
        made.records.size_in_bytes() <= int(spec.config["max.message.bytes"]) for spec in load_topics()
    } == {True}


@pytest.fixture
def batch() -> Batch:
    (made,), _ = packed(
        [Record("item", b"%d" % n, bytes(200), headers([("n", b"%d" % n)]), 0) for n in range(7)]
    )
    drained(made, sequence=5)
    return made


def test_the_last_record_is_as_far_behind_the_first_as_there_are_records(batch: Batch) -> None:
    assert batch.complete(1_000, -1)
    assert batch.last_offset(timeout_s=0) == 1_006


def test_a_broker_that_knows_the_batch_but_not_where_it_is(batch: Batch) -> None:
    assert batch.complete(-1, -1)
    assert batch.last_offset(timeout_s=0) == -1


def test_a_batch_that_failed_says_why(batch: Batch) -> None:
    assert batch.complete_exceptionally(NotEnoughReplicasError(), lambda _: NotEnoughReplicasError("alone"))
    with pytest.raises(NotEnoughReplicasError, match="alone"):
        batch.last_offset(timeout_s=0)


def test_silence_is_no_acknowledgement(batch: Batch) -> None:
    with pytest.raises(KafkaTimeoutError, match="no answer"):
        batch.last_offset(timeout_s=0)


def halves(batch: Batch) -> list[Any]:
    accumulator = RecordAccumulator()
    assert accumulator.split_and_reenqueue(batch) == 2
    found = list(accumulator._batches[PLACE])
    for half in found:
        half.records.close()
    return found


def test_a_batch_that_is_too_large_for_the_broker_is_split_by_the_library(batch: Batch) -> None:
    first, second = halves(batch)
    keys = [record.key for half in (first, second) for record in read(bytes(half.records.buffer()))]
    assert keys == [b"%d" % n for n in range(7)]
    first.complete(10, -1)
    second.complete(50, -1)
    assert batch.last_offset(timeout_s=0) == 52


def test_a_split_batch_is_acknowledged_by_all_its_parts_only(batch: Batch) -> None:
    first, second = halves(batch)
    second.complete(50, -1)
    with pytest.raises(KafkaTimeoutError):
        batch.last_offset(timeout_s=0)
    first.complete_exceptionally(NotEnoughReplicasError(), lambda _: NotEnoughReplicasError("alone"))
    with pytest.raises(NotEnoughReplicasError):
        batch.last_offset(timeout_s=0)


def test_the_delivery_time_begins_when_the_batch_is_handed_over(batch: Batch) -> None:
    """A client that took long to connect must not find its first batch expired."""

    class Sent:
        _accumulator = RecordAccumulator()

    batch.created -= 60
    assert batch.has_reached_delivery_timeout(5_000)
    hand_over(Sent, batch)
    assert not batch.has_reached_delivery_timeout(5_000)
    assert list(Sent._accumulator._batches[PLACE]) == [batch]
    assert Sent._accumulator.has_incomplete
    Sent._accumulator.close()
    with pytest.raises(IllegalStateError):
        hand_over(Sent, batch)
