"""Apache Kafka loses a broker of three under load, and a topic is deleted and made again: every change arrives."""

import asyncio
import random
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from kafka import KafkaAdminClient
from sqlalchemy import text

from tests.support.apache import ApacheKafka, KafkaMissing, kafka_jars
from tests.support.brokers import spine_topics
from tests.support.figures import Say
from tests.support.spine import Spine, database_settings, install
from tests.support.spine_process import until
from tests.support.topic_log import judge, read_versions
from vitrin.events import topics
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.settings import DatabaseSettings, KafkaSettings

NODES = 3
THINGS = 300
BATCH = 10
PACE_S = 0.1
PARTITIONS = 8

pytestmark = pytest.mark.kafka_only(reason="the embedded broker is one process and keeps no copies")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three nodes, for this module."""
    try:
        kafka_jars()
    except KafkaMissing as missing:
        pytest.skip(str(missing))
    cluster = ApacheKafka(tmp_path_factory.mktemp("cluster"), nodes=NODES)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def kafka(cluster: ApacheKafka) -> KafkaSettings:
    """Three copies of each topic, as `VITRIN_KAFKA_REPLICATION=3` makes them."""
    settings = KafkaSettings(
        bootstrap=cluster.bootstrap,
        replication=NODES,
        session_timeout_ms=3_000,
        topic_prefix=f"t{uuid4().hex[:8]}.",
    )
    ensure_topics(settings, spine_topics())
    return settings


@pytest.fixture
def database(postgres_url: str) -> DatabaseSettings:
    settings = database_settings(postgres_url, hints=False)
    install(settings)
    return settings


class Load:
    """Changes of one brand until `end`."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.brand: UUID = uuid4()
        self.changes = 0
        self.ended = False

    async def run(self) -> None:
        chance = random.Random(0)
        while not self.ended:
            names = sorted(f"thing-{n:03}" for n in chance.sample(range(THINGS), BATCH))
            await self.spine.change_many(self.brand, [names])
            self.changes += BATCH
            await asyncio.sleep(chance.uniform(0, 2 * PACE_S))

    async def until_more(self, changes: int) -> None:
        goal = self.changes + changes
        await until(lambda: self.changes >= goal, "more changes")

    async def until_arrived(self) -> None:
        """Until what was changed up to now is seen: the spine works."""
        newest = {row.name: row.newest for row in await self.spine.effects([self.brand])}

        async def behind() -> bool:
            return any(
                row.version < newest.get(row.name, 0) for row in await self.spine.effects([self.brand])
            )

        end = asyncio.get_running_loop().time() + 90
        while await behind():
            assert asyncio.get_running_loop().time() < end, "changes do not arrive"
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_one_broker_of_three_is_killed_again_and_again(
    database: DatabaseSettings, cluster: ApacheKafka, kafka: KafkaSettings, say: Say
) -> None:
    """Each in turn, so also the leader of every partition, the controller, and the group's coordinator."""
    spine = Spine(database, kafka)
    async with spine.running():
        load = Load(spine)
        writing = asyncio.create_task(load.run())
        try:
            await load.until_arrived()
            for node in cluster.nodes:
                await load.until_more(100)
                node.kill()
                await load.until_more(100)
                await load.until_arrived()  # with two brokers
                node.start()
                await asyncio.to_thread(cluster.wait)
                await asyncio.to_thread(wait_in_sync, kafka)
        finally:
            load.ended = True
            await writing
        rows = await spine.until_settled([load.brand])
    assert [tuple(row) for row in rows if row.version != row.newest] == []
    found = await asyncio.to_thread(read_versions, kafka, partitions=PARTITIONS)
    verdict = judge(found, {f"{load.brand}/{row.name}": row.newest for row in rows})
    say(f"{load.changes} changes, {NODES} kills: {verdict}")
    assert (verdict.missing, verdict.stale_ends) == (0, 0)


def wait_in_sync(kafka: KafkaSettings) -> None:
    """Until every partition is on every node again: the next kill must not be the second of one partition."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(","), client_id="tests")
    try:
        for _ in range(600):
            (found,) = admin.describe_topics([kafka.topic_prefix + topics.ITEM])
            if all(len(partition["isr_nodes"]) == NODES for partition in found["partitions"]):
                return
            time.sleep(0.1)
        raise AssertionError("the copies did not catch up")
    finally:
        admin.close()


@pytest.mark.timeout(200)
async def test_a_topic_that_was_deleted_and_made_again_is_a_new_incarnation(
    database: DatabaseSettings, kafka: KafkaSettings, say: Say
) -> None:
    """Under load: what was sent to the old one is sent again to the new one; consumers start at its beginning and
    absorb what they have seen. (Records that reach the new one before the relay has noticed stand before their
    predecessors, and are repeated behind them.)"""
    spine = Spine(database, kafka)
    async with spine.running():
        load = Load(spine)
        writing = asyncio.create_task(load.run())
        try:
            await load.until_more(200)
            await load.until_arrived()
            before = await topic_ids(spine)
            await asyncio.to_thread(delete_topic, kafka)
            await load.until_more(100)
            await asyncio.to_thread(ensure_topics, kafka, spine_topics())
            await load.until_more(100)
            await load.until_arrived()
        finally:
            load.ended = True
            await writing
        rows = await spine.until_settled([load.brand])
        after = await topic_ids(spine)
    assert [tuple(row) for row in rows if not row.times == row.version == row.newest] == []
    assert len(before) == 1
    assert len(after) == 2
    found = await asyncio.to_thread(read_versions, kafka, partitions=PARTITIONS)
    verdict = judge(found, {f"{load.brand}/{row.name}": row.newest for row in rows})
    say(f"{load.changes} changes, on the new topic: {verdict}")
    assert (verdict.missing, verdict.stale_ends) == (0, 0)


def delete_topic(kafka: KafkaSettings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(","), client_id="tests")
    try:
        admin.delete_topics([kafka.topic_prefix + topics.ITEM])
    finally:
        admin.close()


async def topic_ids(spine: Spine) -> set[UUID]:
    """Incarnations that the consumer has positions of."""
    async with spine.worker.read() as session:
        return {
            row.topic_id for row in await session.all(text("select distinct topic_id from consumer_offsets"))
        }
