"""Outbox, relay, broker, consumer on the real parts: order, repeats, poison, an empty broker, tenancy."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from kafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.support.brokers import Broker, Membership, kafka_settings
from tests.support.spine import SERVICE, Spine, database_settings, install
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.age import AgeWatch
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.batches import Record, headers
from vitrin.kit.kafka.client import BrokerUnavailable, KafkaFault, Place, Probe, TopicInfo, make_consumer
from vitrin.kit.kafka.producer import OrderedProducer
from vitrin.kit.kafka.reader import LogReader
from vitrin.kit.settings import DatabaseSettings, KafkaSettings


@pytest.fixture
def database(postgres_url: str, broker: Broker) -> DatabaseSettings:
    """Hints are the embedded profile's: Apache Kafka wakes its fetches itself."""
    settings = database_settings(postgres_url, hints=broker.membership == "lock")
    install(settings)
    return settings


@pytest.mark.parametrize("membership", ["lock", "group"])
async def test_every_change_arrives_in_its_last_version(
    database: DatabaseSettings, broker: Broker, membership: Membership
) -> None:
    spine = Spine(database, kafka_settings(broker, membership))
    brands = [uuid4() for _ in range(3)]
    async with spine.running():
        for round_ in range(4):
            await asyncio.gather(
                *(spine.change(brand, f"thing-{n}") for brand in brands for n in range(10 + round_))
            )
        for brand in brands:
            expected = {f"thing-{n}": 4 - max(0, n - 9) for n in range(13)}
            assert await spine.until_seen(brand, expected) == expected
    assert sum(spine.batches) == 3 * (10 + 11 + 12 + 13)


async def test_poison_goes_to_the_dead_letters_and_the_rest_is_done(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker), poison={"thing-3"})
    brand = uuid4()
    async with spine.running():
        await asyncio.gather(*(spine.change(brand, f"thing-{n}") for n in range(6)))
        expected = {f"thing-{n}": 1 for n in range(6) if n != 3}
        assert await spine.until_seen(brand, expected) == expected
        async with spine.worker.read() as session:
            letters = await session.all(
                text("select key, reason, headers ->> 'type' as type from dead_letters")
            )
    assert [(row.key, row.reason, row.type) for row in letters] == [
        (f"{brand}/thing-3", "ValueError: cannot handle thing-3", "catalog.item_changed")
    ]


async def test_too_many_dead_letters_halt_the_consumer_and_lose_nothing(
    database: DatabaseSettings, broker: Broker
) -> None:
    names = [f"thing-{n}" for n in range(130)]
    spine = Spine(database, kafka_settings(broker), poison=set(names))
    brand = uuid4()
    async with spine.running():
        await asyncio.gather(*(spine.change(brand, name) for name in names))
        await asyncio.sleep(3)
        async with spine.worker.read() as session:
            letters = await session.scalar(text("select count(*) from dead_letters"))
            advanced = await session.scalar(
                text("select coalesce(sum(next_offset), 0) from consumer_offsets")
            )
    assert letters <= 100
    assert advanced == letters
    healed = Spine(database, spine.kafka)
    async with healed.running():
        expected_count = 130 - letters
        deadline = time.monotonic() + 20
        while len(await healed.seen(brand)) < expected_count and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert len(await healed.seen(brand)) == expected_count


async def test_a_broker_that_comes_back_empty_loses_nothing(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    brand = uuid4()
    async with spine.running():
        for n in range(20):
            await spine.change(brand, f"before-{n}")
        expected = {f"before-{n}": 1 for n in range(20)}
        assert await spine.until_seen(brand, expected) == expected
        broker.lose_everything()
        for n in range(20):
            await spine.change(brand, f"during-{n}")
        kafka_settings(broker)
        for n in range(20):
            await spine.change(brand, f"after-{n}")
        expected |= {f"{when}-{n}": 1 for when in ("during", "after") for n in range(20)}
        assert await spine.until_seen(brand, expected) == expected
        async with spine.app.read(BrandId(brand)) as session:
            times = await session.all(text("select distinct times from seen"))
        assert [row.times for row in times] == [1]


async def test_offsets_move_by_compare_and_set(database: DatabaseSettings, broker: Broker) -> None:
    """Somebody else advances the partition under our feet: we roll back, load again, and nothing is doubled."""
    spine = Spine(database, kafka_settings(broker))
    brand = uuid4()
    handle = spine.handle
    stolen = []

    async def handle_slowly(tx: WriteSession, messages: object) -> None:
        await handle(tx, messages)  # type: ignore[arg-type]
        if not stolen:
            stolen.append(True)
            async with spine.worker.write() as other:
                await other.execute(text("update consumer_offsets set next_offset = next_offset + 0"))
                await other.execute(text("delete from consumer_offsets"))

    spine.consumer._handler = handle_slowly
    async with spine.running():
        await spine.change(brand, "thing")
        assert await spine.until_seen(brand, {"thing": 1}) == {"thing": 1}
        async with spine.app.read(BrandId(brand)) as session:
            assert await session.scalar(text("select times from seen")) == 1
    assert len(spine.batches) == 2


async def test_an_unfiltered_query_shows_no_rows_without_a_brand(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    mine, theirs = uuid4(), uuid4()
    await spine.change(mine, "mine")
    await spine.change(theirs, "theirs")
    async with spine.app.lookup() as session:
        assert await session.all(text("select * from things")) == []
    async with spine.app.read(BrandId(mine)) as session:
        assert [row.name for row in await session.all(text("select name from things"))] == ["mine"]
        with pytest.raises(DBAPIError, match="read-only"):
            await session.execute(text("delete from things"))
    async with spine.worker.read([BrandId(theirs)]) as session:
        assert [row.name for row in await session.all(text("select name from things"))] == ["theirs"]
    with pytest.raises(DBAPIError, match="row-level security"):
        async with spine.app.write(BrandId(mine)) as tx:
            await tx.execute(text("insert into things values (:b, 'x', 1)"), {"b": theirs})
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()


async def test_a_client_never_creates_a_topic(broker: Broker) -> None:
    """A lost topic would come back with the broker's default partitions, and the order per key with it."""
    settings = KafkaSettings(bootstrap=broker.bootstrap, membership="lock", topic_prefix=broker.prefix)
    producer = OrderedProducer(settings, client_id="stranger")
    record = Record(topic="nobody.made.v1", key=b"k", value=b"v", headers=headers(()), partition=0)
    assert await producer.produce([record]) == [None]
    await producer.close()
    consumer = make_consumer(settings, client_id="stranger", group=None)
    place = TopicPartition(f"{broker.prefix}nobody.made.v1", 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    assert consumer.poll(timeout_ms=500) == {}
    consumer.close()
    probe = Probe(settings)
    with pytest.raises(BrokerUnavailable, match=r"has no topic nobody\.made\.v1"):
        await probe.topics(["nobody.made.v1"])
    await probe.close()


async def test_a_group_that_cannot_share_its_partitions_out_says_so(broker: Broker) -> None:
    """A member that knew nothing of the topic when it shared the partitions out would wait in silence for ever."""
    info = TopicInfo("nobody.made.v1", uuid4(), 8)
    reader = LogReader(
        kafka_settings(broker, "group"), group=f"spine.{uuid4().hex}", topics={info.name: info}
    )

    async def nowhere(places: Sequence[Place]) -> Mapping[Place, int]:
        assert places == []
        return {}

    async def read() -> None:
        await reader.open(nowhere)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            await reader.poll(timeout_ms=500)

    with pytest.raises(KafkaFault):
        await read()
    await reader.close()


async def test_an_api_process_knows_when_a_worker_stood_at_the_end(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker), watched=True)
    watch = AgeWatch(group="spine.seen", database=spine.app, clock=system_clock)
    stop = asyncio.Event()
    watching = asyncio.create_task(watch.run(stop))
    try:
        await asyncio.sleep(0.2)
        assert watch.age_s() == float("inf")
        async with spine.running():
            deadline = time.monotonic() + 20
            while watch.age_s() == float("inf") and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert watch.age_s() < 20
            stop.set()
            await watching
    finally:
        watching.cancel()


async def test_a_server_that_dies_at_the_commit_is_a_database_that_is_away(
    database: DatabaseSettings,
) -> None:
    """Events and commit go past SQLAlchemy; what the driver raises there must be what doors and loops know."""
    brand = uuid4()
    spine = Spine(database, KafkaSettings(bootstrap="127.0.0.1:1"))
    url = database.url.get_secret_value().replace("/postgres?", f"/vitrin_{SERVICE}?")
    waits = "select pid from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(url) as server:
        await server.execute("lock table outbox in access exclusive mode")
        changing = asyncio.create_task(spine.change(brand, "thing"))
        deadline = time.monotonic() + 20
        while not (found := await (await server.execute(waits, [f"vitrin-{SERVICE}-app"])).fetchall()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
            await server.execute("select pg_stat_clear_snapshot()")
        await server.execute("select pg_terminate_backend(%s, 5000)", found[0])
        with pytest.raises(OperationalError) as raised:
            await changing
    assert raised.value.connection_invalidated
    assert await spine.change(brand, "thing") == 1
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()


async def test_a_replica_that_is_never_quiet_has_an_age_all_the_same(
    database: DatabaseSettings, broker: Broker
) -> None:
    """Under load the end moves on while it is read, and no poll comes back empty: what was there at a look counts."""
    spine = Spine(database, kafka_settings(broker))
    brands = [uuid4() for _ in range(8)]
    stop = asyncio.Event()

    async def load(brand: UUID) -> int:
        number = 0
        while not stop.is_set():
            number += 1
            await spine.change(brand, "thing")
        return number

    async def until_younger_than(age_s: float) -> None:
        deadline = time.monotonic() + 60
        while spine.consumer.age_s() >= age_s:
            assert time.monotonic() < deadline, f"{spine.consumer.age_s()} s old"
            await asyncio.sleep(0.02)

    writing = [asyncio.create_task(load(brand)) for brand in brands]
    try:
        async with spine.running():
            await until_younger_than(float("inf"))
            await asyncio.sleep(0.5)
            await until_younger_than(spine.consumer.age_s())
            assert not any(task.done() for task in writing)
            stop.set()
            assert min(await asyncio.gather(*writing)) > 1
    finally:
        stop.set()
        await asyncio.gather(*writing, return_exceptions=True)


async def test_a_change_whose_events_cannot_be_saved_is_not_saved_either(database: DatabaseSettings) -> None:
    """Events and commit go in one round trip: the refusal comes with the commit, and the connection stays usable."""
    brand = uuid4()
    spine = Spine(database, KafkaSettings(bootstrap="127.0.0.1:1"))
    days_without_a_partition = AppDatabase(
        settings=database, service=SERVICE, clock=lambda: datetime(2001, 1, 1, tzinfo=UTC)
    )
    honest, spine.app = spine.app, days_without_a_partition
    for number in range(12):
        with pytest.raises(DBAPIError, match="no partition of relation"):
            await spine.change(brand, f"thing-{number}")
    assert await spine.seen_things(brand) == {}
    await days_without_a_partition.close()
    spine.app = honest
    await spine.change(brand, "thing-0")
    assert await spine.seen_things(brand) == {"thing-0": 1}
    await honest.close()
    await spine.worker.close()
    await spine.probe.close()
