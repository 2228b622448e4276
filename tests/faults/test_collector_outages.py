"""PostgreSQL is away, or the broker, or both; the broker comes back empty; the collector is restarted meanwhile. What
was answered 200 is stored, once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import httpx
import pytest

from tests.retargeting.house import House, event, house_of, send, until
from vitrin.events import topics
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.kafka.declared import load_topics

pytestmark = pytest.mark.embedded_only(reason="the broker is the test's own")
BATCHES = 40
PER_BATCH = 50


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """One that may be stopped."""
    directory = Path(mkdtemp(prefix="vitrin-postgres-"))
    server = EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "postgres.log", fsync=False)
    )
    server.start()
    yield server
    server.stop()
    rmtree(directory)


@pytest.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """On one port, whatever becomes of it."""
    broker = EmbeddedBroker(BrokerPlace(log_path=tmp_path / "broker.log", port=free_port()))
    await asyncio.to_thread(broker.start)
    yield broker
    await asyncio.to_thread(broker.stop)


@pytest.fixture
async def house(
    own_postgres: EmbeddedPostgres, own_broker: EmbeddedBroker, tmp_path: Path
) -> AsyncIterator[House]:
    async with house_of(own_postgres, own_broker.bootstrap, tmp_path / "spool") as house:
        yield house


async def pour(client: httpx.AsyncClient, key: str, name: str) -> set[str]:
    """BATCHES x PER_BATCH events, all answered accepted."""
    lanes = asyncio.Semaphore(8)

    async def one(batch: int) -> None:
        async with lanes:
            events = [event(f"{name}-{batch}-{number}") for number in range(PER_BATCH)]
            answer = await send(client, key, *events)
            assert (answer.status_code, answer.json()["accepted"]) == (200, PER_BATCH), answer.text

    await asyncio.gather(*map(one, range(BATCHES)))
    return {f"e-{name}-{batch}-{number}" for batch in range(BATCHES) for number in range(PER_BATCH)}


async def come_back(house: House, broker: EmbeddedBroker) -> None:
    """Empty."""
    await asyncio.to_thread(broker.start)
    specs = [spec for spec in load_topics() if spec.name == topics.STOREFRONT_EVENT]
    await asyncio.to_thread(ensure_topics, house.kafka, specs)


async def test_without_postgresql_and_kafka_and_with_a_restart_meanwhile(
    house: House, own_postgres: EmbeddedPostgres, own_broker: EmbeddedBroker
) -> None:
    async with house.door() as door:
        key = await house.new_key()
        unseen = await house.new_key()
        assert (await send(door, key, event("before"))).status_code == 200
        await asyncio.to_thread(own_postgres.stop)
        await asyncio.to_thread(own_broker.stop)
        taken = {"e-before"} | await pour(door, key, "down")
        refused = await send(door, unseen, event("x"))
        assert (refused.status_code, refused.json()["code"]) == (503, "access_unavailable")
        assert refused.headers["retry-after"]
    async with house.door() as door:  # a restart, with everything still away
        taken |= await pour(door, key, "restarted")
        refused = await send(door, unseen, event("x"))
        assert (refused.status_code, refused.json()["code"]) == (503, "access_unavailable")
        await asyncio.to_thread(own_postgres.start)
        await come_back(house, own_broker)
        async with house.consumer():
            stored = await until(house.stored, lambda seen: len(seen) >= len(taken))
        assert sorted(stored) == sorted(taken)
        answer = await send(door, unseen, event("x"))
        assert answer.status_code == 200


async def test_a_broker_that_forgets_what_was_not_stored(house: House, own_broker: EmbeddedBroker) -> None:
    async with house.door() as door:
        key = await house.new_key()
        async with house.consumer():
            first = await pour(door, key, "first")
            await until(house.stored, lambda seen: len(seen) == len(first))
            await until(lambda: ledger_of(house), lambda left: left == 0)
        second = await pour(door, key, "second")
        await until(lambda: ledger_of(house), lambda left: left > 0)
        assert house.collector is not None
        await house.collector.carrier.carried(house.collector.spool.end, within_s=30)
        own_broker.process.kill()  # type: ignore[union-attr]
        own_broker.process.wait()  # type: ignore[union-attr]
        await come_back(house, own_broker)
        async with house.consumer():
            stored = await until(house.stored, lambda seen: len(seen) >= len(first | second))
            assert sorted(stored) == sorted(first | second)
            await until(lambda: ledger_of(house), lambda left: left == 0)


async def ledger_of(house: House) -> int:
    """Parts of the spool that Kafka has and the consumers have not stored."""
    assert house.collector is not None
    return house.collector.carrier.uncovered


async def test_where_the_disk_does_not_stay_kafka_has_to_have_it_first(
    house: House, own_broker: EmbeddedBroker
) -> None:
    house.settings_more = {"ack": "kafka", "ack_s": 2.0}
    async with house.door() as door:
        key = await house.new_key()
        assert (await send(door, key, event(1))).status_code == 200
        assert await ledger_of(house) == 1
        await asyncio.to_thread(own_broker.stop)
        answer = await send(door, key, event(2))
        assert (answer.status_code, answer.json()["code"]) == (503, "events_not_in_kafka")
        assert answer.headers["retry-after"]
        await come_back(house, own_broker)

        async def again() -> int:
            return (await send(door, key, event(2))).status_code

        await until(again, lambda status: status == 200)
        async with house.consumer():
            stored = await until(house.stored, lambda seen: len(seen) >= 2)
        assert sorted(stored) == ["e-1", "e-2"]
