"""The broker comes back empty, or a topic in the wrong shape: nothing is lost, and after a clean stop nothing is sent
twice; what is not on the topic any more comes from the owner's tables."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from kafka import KafkaAdminClient, TopicPartition
from sqlalchemy import create_engine, pool, text

from tests.support.spine import SERVICE, Spine, Things, database_settings, install
from vitrin.cli.supervisor.draining import Answer, Drained, drain
from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.clock import system_clock
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.kafka.admin import TopicShapeRight, TopicShapeWrong, ensure_topics
from vitrin.kit.kafka.client import TopicUnusable, make_consumer
from vitrin.kit.kafka.declared import TopicSpec
from vitrin.kit.ops import spine as ops
from vitrin.kit.outbox.relay import SENT_AGAIN
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.protos.accounts.v1.events_pb2 import BrandChanged
from vitrin.protos.catalog.v1.events_pb2 import ItemChanged

TOPIC = topics.ITEM
PARTITIONS = 8
WITHIN_S = 40.0
SPECS = [
    TopicSpec(
        name=TOPIC,
        partitions=PARTITIONS,
        replication=1,
        cleanup="compact",
        producer=SERVICE,
        consumers=(SERVICE,),
        types=(),
        config={},
    )
]


@dataclass
class House:
    """A broker on one port, whatever becomes of it, and the settings of those who use it."""

    broker: EmbeddedBroker
    database: DatabaseSettings
    kafka: KafkaSettings
    things: Things = field(default_factory=lambda: Things([]))

    def spine(self, **more: Any) -> Spine:
        """A fresh process; it owns the state of `things`."""
        return Spine(self.database, self.kafka, sources={TOPIC: self.things}, **more)

    def brand(self) -> UUID:
        self.things.brands.append(made := uuid4())
        return made

    def kill(self) -> None:
        assert self.broker.process is not None
        self.broker.process.kill()
        self.broker.process.wait()

    def come_back(self, *, wrong_partitions: int | None = None) -> None:
        """Empty. With a number: the topic is there already, as a stranger's client would have made it."""
        self.broker.start()
        if wrong_partitions is None:
            ensure_topics(self.kafka)
        else:
            self.make(wrong_partitions)
            with pytest.raises(TopicShapeWrong, match=f"vitrin topics --recreate {TOPIC}"):
                ensure_topics(self.kafka)

    def make(self, partitions: int) -> None:
        admin = self.admin()
        admin.create_topics({TOPIC: {"num_partitions": partitions, "replication_factor": 1}})
        admin.close()

    def delete(self) -> None:
        admin = self.admin()
        admin.delete_topics([TOPIC])
        admin.close()

    def admin(self) -> Any:
        return KafkaAdminClient(bootstrap_servers=[self.broker.bootstrap])

    def as_owner(self, *statements: str) -> None:
        """What a migration, retention or an accident does."""
        engine = create_engine(role_url(self.database, SERVICE, "owner"), poolclass=pool.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def lose_the_replica(self) -> None:
        """The consumer's tables as they are in a database that was made anew."""
        consumer = ("seen", "consumer_offsets", "consumer_ends", "consumer_snapshots")
        self.as_owner(*(f"truncate {table}" for table in consumer))


@pytest.fixture
def house(embedded_postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    log = tmp_path_factory.mktemp("broker") / "broker.log"
    broker = EmbeddedBroker(BrokerPlace(log_path=log, port=free_port()))
    database = database_settings(embedded_postgres.url)
    install(database)
    broker.start()
    kafka = KafkaSettings(bootstrap=broker.bootstrap, membership="lock", session_timeout_ms=1000)
    ensure_topics(kafka)
    yield House(broker, database, kafka)
    broker.stop()


async def until(look: Callable[[], Any], good: Callable[[Any], bool] = bool) -> Any:
    """What an async `look` says once it is good."""
    end = time.monotonic() + WITHIN_S
    while not good(found := await look()):
        assert time.monotonic() < end, f"seen last: {found}"
        await asyncio.sleep(0.05)
    return found


async def drained(spine: Spine, *, wait_s: float = 10.0) -> Drained:
    """What the supervisor does at a clean stop, without HTTP between."""
    door = ops.Spine(service=SERVICE, database=spine.worker, probe=spine.probe, clock=system_clock)

    async def look(_service: str) -> Answer:
        return (await door.state()).model_dump(mode="json")

    async def mark(_service: str, at: str) -> None:
        assert (await door.set_marker(ops.Marker(drained_at=at).drained_at)).changed  # type: ignore[arg-type]

    return await drain(SPECS, look=look, mark=mark, wait_s=wait_s)


def sent_again() -> float:
    return float(SENT_AGAIN.labels(topic=TOPIC)._value.get())


async def raw(house: House) -> list[tuple[str, int]]:
    """(key, version) of every record on the topic, in order per partition."""

    def read() -> list[tuple[str, int]]:
        consumer = make_consumer(house.kafka, client_id="raw", group=None)
        places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        found, quiet = [], 0
        while quiet < 5:
            polled = consumer.poll(timeout_ms=200)
            quiet = 0 if polled else quiet + 1
            found += [
                (record.key.decode(), ItemChanged.FromString(record.value).content_version)
                for records in polled.values()
                for record in records
            ]
        consumer.close()
        return found

    return await asyncio.to_thread(read)


@asynccontextmanager
async def changing(spine: Spine, brand: UUID, names: int) -> AsyncIterator[dict[str, int]]:
    """Changes all the time; answers the truth, which is whole when the block is over."""
    truth: dict[str, int] = {}
    over = asyncio.Event()

    async def change() -> None:
        number = 0
        while not over.is_set():
            name = f"thing-{number % names}"
            truth[name] = await spine.change(brand, name)
            number += 1
            await asyncio.sleep(0.002)

    task = asyncio.create_task(change())
    try:
        yield truth
    finally:
        over.set()
        await task


async def test_after_a_clean_stop_nothing_is_sent_again(house: House) -> None:
    brand, before = house.brand(), sent_again()
    spine = house.spine()
    async with spine.running():
        for n in range(30):
            await spine.change(brand, f"thing-{n}")
        expected = {f"thing-{n}": 1 for n in range(30)}
        assert await spine.until_seen(brand, expected) == expected
        assert await drained(spine) == Drained(frozenset({SERVICE}), {})
    house.kill()
    house.come_back()
    again = house.spine()
    async with again.running():
        assert await again.change(brand, "thing-0") == 2
        expected["thing-0"] = 2
        assert await again.until_seen(brand, expected) == expected
    assert (sum(again.batches), sent_again() - before) == (1, 0)


async def test_without_a_marker_everything_is_sent_again(house: House) -> None:
    brand, before = house.brand(), sent_again()
    spine = house.spine()
    async with spine.running():
        for n in range(30):
            await spine.change(brand, f"thing-{n}")
        expected = {f"thing-{n}": 1 for n in range(30)}
        assert await spine.until_seen(brand, expected) == expected
    house.kill()
    house.lose_the_replica()
    house.come_back()
    again = house.spine()
    async with again.running():
        assert await again.until_seen(brand, expected) == expected
    assert sent_again() - before == 30


async def test_a_marker_set_under_load_forgets_nothing(house: House) -> None:
    """Changes go on while it drains, and until the kill: what the marker does not cover is sent again."""
    brand, before = house.brand(), sent_again()
    spine = house.spine()
    async with spine.running():
        async with changing(spine, brand, 40) as truth:
            await until(lambda: spine.seen(brand), lambda seen: len(seen) == 40)
            assert await drained(spine) == Drained(frozenset({SERVICE}), {})
            covered = sum(truth.values())
            spine.stop.set()  # the relay sends what is left, and the consumer may or may not read it
            await asyncio.sleep(0.3)
        house.kill()
        house.come_back()
    again = house.spine()
    async with again.running():
        assert await again.until_seen(brand, truth) == truth
    assert covered >= 40
    assert sent_again() - before <= sum(truth.values()) - 40


async def test_no_marker_while_a_consumer_is_behind_or_rows_wait(house: House) -> None:
    brand = house.brand()
    spine = house.spine()
    await spine.change(brand, "thing")
    waiting = await drained(spine, wait_s=0.5)
    assert waiting.reasons == {SERVICE: "1 rows of its outbox are not sent"}
    relay = asyncio.create_task(spine.relay.run(spine.stop))

    async def reasons() -> dict[str, str]:
        return dict((await drained(spine, wait_s=0)).reasons)

    found = await until(reasons, lambda seen: "read" in seen.get(SERVICE, ""))
    assert found[SERVICE].startswith(f"{SERVICE} has not read {TOPIC}/")
    spine.stop.set()
    await relay
    house.kill()
    house.come_back()
    unsettled = house.spine()
    lost = await drained(unsettled, wait_s=0)
    assert lost.reasons == {SERVICE: f"not settled with the broker: {TOPIC}"}
    again = house.spine()
    async with again.running():
        assert await again.until_seen(brand, {"thing": 1}) == {"thing": 1}
        assert await drained(again) == Drained(frozenset({SERVICE}), {})
    for one in (spine, unsettled):
        await one.probe.close()
        await one.app.close()
        await one.worker.close()


async def test_a_topic_in_the_wrong_shape_is_neither_written_nor_read(house: House) -> None:
    brand = house.brand()
    spine = house.spine()
    async with spine.running():
        await spine.change(brand, "thing")
        assert await spine.until_seen(brand, {"thing": 1}) == {"thing": 1}
        await asyncio.to_thread(house.delete)
        await asyncio.to_thread(house.make, 3)

        async def held() -> bool:
            return TOPIC in spine.relay._held

        await until(held)
        for n in range(20):
            await spine.change(brand, f"held-{n}")
        await asyncio.sleep(1.0)
        admin = house.admin()
        (wrong,) = await asyncio.to_thread(admin.describe_topics, [TOPIC])
        admin.close()
        assert len(wrong["partitions"]) == 3
        assert await raw_ends(house, 3) == [0, 0, 0]
        assert await spine.seen(brand) == {"thing": 1}
        with pytest.raises(TopicUnusable, match=f"{TOPIC} has 3 partitions, topics.yaml declares 8"):
            await spine.probe.topics([TOPIC])
        made = await asyncio.to_thread(ensure_topics, house.kafka, recreate=[TOPIC])
        assert made == [TOPIC]
        expected = {"thing": 1} | {f"held-{n}": 1 for n in range(20)}
        assert await spine.until_seen(brand, expected) == expected
    with pytest.raises(TopicShapeRight, match="in its declared shape"):
        ensure_topics(house.kafka, recreate=[TOPIC])
    with pytest.raises(TopicShapeRight, match="not declared: nobody"):
        ensure_topics(house.kafka, recreate=["nobody.v1"])


async def raw_ends(house: House, partitions: int) -> list[int]:
    def read() -> list[int]:
        consumer = make_consumer(house.kafka, client_id="raw", group=None)
        ends = consumer.end_offsets([TopicPartition(TOPIC, number) for number in range(partitions)])
        consumer.close()
        return [ends[key] for key in sorted(ends, key=lambda place: place.partition)]

    return await asyncio.to_thread(read)


async def test_other_topics_go_on_while_one_is_held(house: House) -> None:
    """The rows of a held topic are the older ones."""
    brand = house.brand()
    await asyncio.to_thread(house.delete)
    await asyncio.to_thread(house.make, 3)
    spine = house.spine()
    await spine.change(brand, "held")
    async with spine.app.write(brand) as tx:  # type: ignore[arg-type]
        tx.publish(brand_event(brand))
    relay = asyncio.create_task(spine.relay.run(spine.stop))

    async def unsent() -> list[str]:
        async with spine.worker.read() as session:
            rows = await session.all(text("select topic from outbox where sent_at is null order by id"))
        return [row.topic for row in rows]

    assert await until(unsent, lambda seen: len(seen) == 1) == [TOPIC]
    spine.stop.set()
    await relay
    await spine.probe.close()
    await spine.app.close()
    await spine.worker.close()


def brand_event(brand: UUID) -> Event:
    now = system_clock()
    return Event.of(
        key=str(brand),
        type="accounts.brand_changed",
        brand_id=brand,
        message=BrandChanged(brand_id=str(brand), version=1),
        occurred_at=now,
        received_at=now,
    )


async def test_killed_under_load_and_back_with_the_wrong_shape(house: House) -> None:
    brand = house.brand()
    spine = house.spine()
    async with spine.running():
        async with changing(spine, brand, 40) as truth:
            await until(lambda: spine.seen(brand), lambda seen: len(seen) == 40)
            await asyncio.to_thread(house.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(house.come_back, wrong_partitions=5)

            async def held() -> bool:
                return TOPIC in spine.relay._held

            await until(held)
            assert await raw_ends(house, 5) == [0] * 5
            await asyncio.to_thread(ensure_topics, house.kafka, recreate=[TOPIC])
        assert await spine.until_seen(brand, truth) == truth
        records = await raw(house)
    newest: dict[str, int] = {}
    for key, version in records:
        assert version > newest.get(key, 0), f"{key} went back from {newest[key]} to {version}"
        newest[key] = version
    assert {key.partition("/")[2]: version for key, version in newest.items()} == truth
