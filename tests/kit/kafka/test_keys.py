"""Which partition a key belongs to: as Kafka's own clients say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as their_murmur2

from vitrin.kit.kafka.keys import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_examples_of_kafka_itself(data: bytes, expected: int) -> None:
    """org.apache.kafka.common.utils.UtilsTest.testMurmur2"""
    assert murmur2(data) == expected & 0xFFFFFFFF


@given(st.binary(max_size=120))
def test_any_key_as_kafka_python(data: bytes) -> None:
    assert murmur2(data) == their_murmur2(data) & 0xFFFFFFFF


@given(st.uuids(), st.text(max_size=60), st.integers(1, 64))
def test_keys_of_a_brand_as_kafka_python(brand: object, name: str, partitions: int) -> None:
    key = f"{brand}/{name}".encode()
    assert partition_of(key, partitions) == (their_murmur2(key) & 0x7FFFFFFF) % partitions
