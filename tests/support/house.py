"""A house of one service for tests of what happens when its broker forgets."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from kafka import KafkaAdminClient, TopicPartition
from sqlalchemy import create_engine, pool, text

from tests.support.spine import SERVICE, Spine, Things, database_settings, install
from vitrin.events import topics
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.kafka.admin import TopicShapeWrong, ensure_topics
from vitrin.kit.kafka.client import make_consumer
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.protos.catalog.v1.events_pb2 import ItemChanged

TOPIC = topics.ITEM
PARTITIONS = 8
WITHIN_S = 40.0
Seen = TypeVar("Seen")


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


async def until(look: Callable[[], Awaitable[Seen]], good: Callable[[Seen], bool] = bool) -> Seen:
    """What an async `look` says once it is good."""
    end = time.monotonic() + WITHIN_S
    while not good(found := await look()):
        assert time.monotonic() < end, f"seen last: {found}"
        await asyncio.sleep(0.05)
    return found


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
