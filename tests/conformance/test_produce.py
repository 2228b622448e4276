"""The producer on a real broker: batches that we encode, sent under the library's guarantees."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, TopicPartition

from tests.support.brokers import Broker, OwnEmbedded
from vitrin.events.envelope import RECORD_BYTES_MAX
from vitrin.kit.kafka.batches import Batch, Record, hand_over, headers, pack, require_partition, wake_up
from vitrin.kit.kafka.client import drop_producer, make_consumer, make_producer
from vitrin.kit.kafka.declared import load_topics
from vitrin.kit.kafka.producer import OrderedProducer
from vitrin.kit.settings import KafkaSettings

PARTITIONS = 3
WAIT_S = 20.0


def made(broker: Broker, name: str = "", **config: str) -> tuple[KafkaSettings, str]:
    """A topic of its own."""
    settings = KafkaSettings(bootstrap=broker.bootstrap, membership="lock", topic_prefix=broker.prefix)
    name = name or f"produced.{uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap.split(","), client_id="tests")
    try:
        shape = {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": config}
        admin.create_topics({broker.prefix + name: shape})
    finally:
        admin.close()
    return settings, name


def log_of(settings: KafkaSettings, topic: str, *, records: int) -> dict[int, list[Any]]:
    """At least so many records, by partition, and what comes within half a second after them."""
    client = make_consumer(settings, client_id="reads-all", group=None)
    places = [TopicPartition(settings.topic_prefix + topic, number) for number in range(PARTITIONS)]
    found: dict[int, list[Any]] = {number: [] for number in range(PARTITIONS)}
    deadline = time.monotonic() + WAIT_S
    try:
        client.assign(places)
        client.seek_to_beginning(*places)
        while True:
            polled = client.poll(timeout_ms=500)
            for place, some in polled.items():
                found[place.partition] += some
            if not polled and sum(map(len, found.values())) >= records:
                return found
            assert time.monotonic() < deadline, {number: len(some) for number, some in found.items()}
    finally:
        client.close()


def numbered(topic: str, numbers: range, value: bytes = b"v") -> list[Record]:
    return [
        Record(topic, b"%d" % n, value + b"%d" % n, headers([("id", b"%d" % n)]), n % PARTITIONS)
        for n in numbers
    ]


async def test_records_arrive_in_order_and_the_acks_say_where_they_end(broker: Broker) -> None:
    settings, topic = made(broker)
    producer = OrderedProducer(settings, client_id="tests")
    rounds = [range(0, 1), range(1, 400), range(400, 2_000)]
    last: dict[int, int] = {}
    for numbers in rounds:
        acks = await producer.produce(numbered(topic, numbers))
        assert len(acks) == len(numbers)
        for number, ack in zip(numbers, acks, strict=True):
            assert ack is not None
            assert (ack.topic, ack.partition) == (topic, number % PARTITIONS)
            last[ack.partition] = ack.offset
    await producer.close()
    found = log_of(settings, topic, records=2_000)
    for partition, some in found.items():
        mine = [n for n in range(2_000) if n % PARTITIONS == partition]
        assert [(r.offset, r.key, r.value, list(r.headers)) for r in some] == [
            (offset, b"%d" % n, b"v%d" % n, [("id", b"%d" % n)]) for offset, n in enumerate(mine)
        ]
        assert last[partition] == len(mine) - 1


async def test_nothing_is_handed_over_too_late(broker: Broker) -> None:
    settings, topic = made(broker)
    producer = OrderedProducer(settings, client_id="tests")
    assert await producer.produce(numbered(topic, range(6)), until_s=time.monotonic() - 1) == [None] * 6
    assert None not in await producer.produce(numbered(topic, range(6, 9)), until_s=time.monotonic() + 60)
    await producer.close()
    found = log_of(settings, topic, records=3)
    assert [record.key for some in found.values() for record in some] == [b"6", b"7", b"8"]


@pytest.mark.embedded_only(reason="the session's Apache Kafka cannot be ended by one test")
async def test_what_was_given_up_never_arrives_and_its_waits_do_not_add_up(broker: Broker) -> None:
    """The broker goes when the client knows its partitions, and comes back after the call."""
    assert isinstance(broker, OwnEmbedded)
    assert broker.running.process is not None
    settings, topic = made(broker)
    producer = OrderedProducer(settings, client_id="tests")
    client = producer._client = make_producer(settings, client_id="tests")
    for number in range(PARTITIONS):
        require_partition(client, TopicPartition(topic, number))
    broker.running.process.kill()
    broker.running.process.wait()
    records = numbered(topic, range(60), value=bytes(100_000))
    async with asyncio.timeout(WAIT_S):  # one after the other they would take minutes
        assert await producer.produce(records, until_s=time.monotonic() + 1) == [None] * 60
    assert not client._sender.is_alive()
    assert not client._accumulator._incomplete.all()
    broker.running.start()
    made(broker, name=topic)
    assert None not in await producer.produce(numbered(topic, range(100, 103)))
    await producer.close()
    found = log_of(settings, topic, records=3)
    assert sorted(record.key for some in found.values() for record in some) == [b"100", b"101", b"102"]


async def test_the_largest_record_is_taken(broker: Broker) -> None:
    """By a topic with the limit of topics.yaml."""
    settings, topic = made(broker, **{"max.message.bytes": load_topics()[0].config["max.message.bytes"]})
    producer = OrderedProducer(settings, client_id="tests")
    record = Record(
        topic, b"large", bytes(RECORD_BYTES_MAX - len(b"large") - len(headers(()))), headers(()), 0
    )
    (ack,) = await producer.produce([record])
    assert ack is not None
    await producer.close()


async def test_a_record_that_is_too_large_and_those_behind_it_are_not_sent(broker: Broker) -> None:
    settings, topic = made(broker)
    producer = OrderedProducer(settings, client_id="tests")
    records = numbered(topic, range(2))
    records.insert(1, Record(topic, b"large", bytes(RECORD_BYTES_MAX), headers(()), 0))
    acks = await producer.produce(records)
    assert [ack is not None for ack in acks] == [True, False, False]
    await producer.close()
    found = log_of(settings, topic, records=1)
    assert [record.key for some in found.values() for record in some] == [b"0"]


async def test_a_partition_that_is_not_there_holds_what_follows(broker: Broker) -> None:
    settings, topic = made(broker)
    producer = OrderedProducer(settings, client_id="tests")
    records = [
        record._replace(partition=PARTITIONS * n) for n, record in enumerate(numbered(topic, range(2)))
    ]
    assert [ack is not None for ack in await producer.produce(records)] == [True, False]
    assert None not in await producer.produce(numbered(topic, range(1, 2)))
    await producer.close()


@contextmanager
def client_of(settings: KafkaSettings) -> Iterator[Any]:
    client = make_producer(settings, client_id="tests")
    try:
        yield client
    finally:
        drop_producer(client)


def sent(client: Any, settings: KafkaSettings, records: list[Record], *, like: Batch | None = None) -> Batch:
    """`like`: what the sender does when no answer came: the same bytes, producer and sequence once more."""
    (batch,), _ = pack(
        records,
        topic_prefix=settings.topic_prefix,
        now_ms=1_700_000_000_000,
    )
    if like is not None:
        batch.records.set_producer_state(like.producer_id, like.producer_epoch, like.base_sequence, False)
        batch.retry()
    require_partition(client, batch.topic_partition)
    hand_over(client, batch)
    wake_up(client)
    return batch


@pytest.mark.kafka_only(reason="the embedded broker is not asked to know repeats")
def test_a_batch_that_is_sent_again_after_a_lost_answer_stands_once(broker: Broker) -> None:
    settings, topic = made(broker)
    with client_of(settings) as client:
        batches = [
            sent(client, settings, [Record(topic, b"%d" % n, b"v", headers(()), 0)] * 2) for n in range(3)
        ]
        assert [batch.last_offset(timeout_s=WAIT_S) for batch in batches] == [1, 3, 5]
        assert [batch.base_sequence for batch in batches] == [0, 2, 4]
        again = sent(client, settings, [Record(topic, b"1", b"v", headers(()), 0)] * 2, like=batches[1])
        assert again.last_offset(timeout_s=WAIT_S) == 3
        later = sent(client, settings, [Record(topic, b"3", b"v", headers(()), 0)])
        assert later.last_offset(timeout_s=WAIT_S) == 6
    found = log_of(settings, topic, records=7)
    assert [record.key for record in found[0]] == [b"0", b"0", b"1", b"1", b"2", b"2", b"3"]


@pytest.mark.kafka_only(reason="the embedded broker has no limit per topic")
async def test_a_batch_that_the_broker_finds_too_large_arrives_in_parts(broker: Broker) -> None:
    settings, topic = made(broker, **{"max.message.bytes": "20000"})
    producer = OrderedProducer(settings, client_id="tests")
    acks = await producer.produce(numbered(topic, range(300), value=bytes(500)))
    assert {(ack.partition, ack.offset) for ack in acks if ack is not None} == {(0, 99), (1, 99), (2, 99)}
    assert None not in acks
    await producer.close()
    found = log_of(settings, topic, records=300)
    for partition, some in found.items():
        assert [int(record.key) for record in some] == list(range(partition, 300, PARTITIONS))
