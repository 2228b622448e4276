"""The broker comes back empty, or a topic in the wrong shape: nothing is lost, and after a clean stop nothing is sent
twice."""

import asyncio
from uuid import UUID

import pytest
from kafka import TopicPartition
from sqlalchemy import text

from tests.support.house import PARTITIONS, TOPIC, House, changing, raw, until
from tests.support.spine import SERVICE, Spine
from vitrin.cli.supervisor.draining import Answer, Drained, drain
from vitrin.events.envelope import Event
from vitrin.kit.clock import system_clock
from vitrin.kit.kafka.admin import TopicShapeRight, ensure_topics
from vitrin.kit.kafka.client import TopicUnusable, make_consumer
from vitrin.kit.kafka.declared import TopicSpec
from vitrin.kit.ops import spine as ops
from vitrin.kit.outbox.relay import SENT_AGAIN
from vitrin.protos.accounts.v1.events_pb2 import BrandChanged

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
