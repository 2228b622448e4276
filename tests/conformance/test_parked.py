"""Parked messages on the real parts: order per key, neighbours, restarts, limits, two members."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.spine import Spine, database_settings, install
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer import parking
from vitrin.kit.consumer.handling import BEHIND
from vitrin.kit.consumer.loop import PARKING_FULL
from vitrin.kit.consumer.parking import Limits
from vitrin.kit.consumer.records import stored_message
from vitrin.kit.db.session import WriteSession
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.settings import DatabaseSettings, KafkaSettings

Seen = TypeVar("Seen")
WITHIN_S = 30.0
QUICK = Limits(back_off=timedelta(milliseconds=50), back_off_max=timedelta(milliseconds=200))


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(BrokerPlace(log_path=tmp_path_factory.mktemp("broker") / "broker.log"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def database(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = database_settings(embedded_postgres.url)
    install(settings)
    return settings


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> KafkaSettings:
    settings = KafkaSettings(bootstrap=broker.bootstrap, membership="lock", session_timeout_ms=1000)
    ensure_topics(settings)
    return settings


async def until(look: Callable[[], Awaitable[Seen]], good: Callable[[Seen], bool]) -> Seen:
    """What `look` sees once it is `good`; after the deadline the test fails with what it saw last."""
    end = asyncio.get_running_loop().time() + WITHIN_S
    while not good(seen := await look()):
        assert asyncio.get_running_loop().time() < end, f"seen last: {seen}"
        await asyncio.sleep(0.02)
    return seen


async def parked(spine: Spine) -> Sequence[Any]:
    async with spine.worker.read() as session:
        return await session.all(text("select * from parked_messages order by position"))


async def letters(spine: Spine) -> Sequence[Any]:
    async with spine.worker.read() as session:
        return await session.all(text("select * from dead_letters order by created_at, record_offset"))


async def tries(spine: Spine) -> int:
    async with spine.worker.read() as session:
        return int(await session.scalar(text("select coalesce(max(tries), 0) from parked_messages")))


def number(rows: int) -> Callable[[Sequence[Any]], bool]:
    return lambda seen: len(seen) == rows


def versions(spine: Spine, name: str) -> list[int]:
    return [version for handled, version in spine.handled if handled == name]


@pytest.mark.parametrize("named", [False, True])
async def test_a_key_waits_in_order_and_its_neighbours_do_not(
    database: DatabaseSettings, kafka: KafkaSettings, named: bool
) -> None:
    spine = Spine(database, kafka, waiting={"late"}, named=named, limits=QUICK)
    brand, neighbour = uuid4(), uuid4()
    async with spine.running():
        for n in range(5):
            await spine.change(brand, "late")
            await asyncio.gather(spine.change(brand, f"other-{n}"), spine.change(neighbour, "late-not"))
        assert await spine.until_seen(neighbour, {"late-not": 5}) == {"late-not": 5}
        others = {f"other-{n}": 1 for n in range(5)}
        assert await spine.until_seen(brand, others) == others
        rows = await until(lambda: parked(spine), number(5))
        assert {row.key for row in rows} == {f"{brand}/late"}
        assert {row.brand_id for row in rows} == {brand}
        assert [stored_message(row).decode().content_version for row in rows] == [1, 2, 3, 4, 5]
        assert [row.reason for row in rows[1:]] == [BEHIND] * 4
        assert "wait" in rows[0].reason
        await until(lambda: tries(spine), lambda seen: seen >= 3)
        assert [row.tries for row in (await parked(spine))[1:]] == [0] * 4
        spine.waiting.clear()
        assert await spine.until_seen(brand, {**others, "late": 5}) == {**others, "late": 5}
        assert await until(lambda: parked(spine), number(0)) == []
        assert versions(spine, "late") == [1, 2, 3, 4, 5]
        assert await letters(spine) == []
        await spine.change(brand, "late")
        assert (await spine.until_seen(brand, {**others, "late": 6}))["late"] == 6
    assert await times(spine, brand) == {"late": 6, **others}


async def times(spine: Spine, brand: UUID) -> dict[str, int]:
    """How often each thing was written. From a door of its own: the spine's are closed."""
    fresh = Spine(spine.database, spine.kafka)
    async with fresh.worker.read([brand]) as session:  # type: ignore[list-item]
        rows = await session.all(text("select name, times from seen"))
    await fresh.app.close()
    await fresh.worker.close()
    await fresh.probe.close()
    return {row.name: row.times for row in rows}


async def test_a_restart_keeps_the_queue_and_later_messages_join_it(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    brand = uuid4()
    before = Spine(database, kafka, waiting={"late"}, limits=QUICK)
    async with before.running():
        await before.change(brand, "late")
        await before.change(brand, "late")
        await until(lambda: parked(before), number(2))
    between = Spine(database, kafka, waiting={"late"}, limits=QUICK)
    async with between.running():
        await between.change(brand, "late")
        await between.change(brand, "on-time")
        await between.until_seen(brand, {"on-time": 1})
        assert [row.tries >= 0 for row in await until(lambda: parked(between), number(3))] == [True] * 3
        assert between.handled == [("on-time", 1)]
    after = Spine(database, kafka, limits=QUICK)
    async with after.running():
        assert await after.until_seen(brand, {"late": 3, "on-time": 1}) == {"late": 3, "on-time": 1}
        await until(lambda: parked(after), number(0))
        assert after.handled == [("late", 1), ("late", 2), ("late", 3)]


async def test_a_head_that_turns_out_invalid_lets_its_key_go_on(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    brand = uuid4()
    spine = Spine(database, kafka, waiting={"late"}, limits=QUICK)
    async with spine.running():
        await spine.change(brand, "late")
        await spine.change(brand, "late")
        head, second = await until(lambda: parked(spine), number(2))
        handle = spine.handle

        async def handle_second(tx: WriteSession, messages: Any) -> None:
            if any(message.event_id == head.event_id for message in messages):
                raise ValueError("never any more")
            await handle(tx, messages)

        spine.waiting.clear()
        spine.consumer._handler = handle_second
        assert await spine.until_seen(brand, {"late": 2}) == {"late": 2}
        (letter,) = await letters(spine)
        assert (letter.event_type, letter.brand_id, letter.state) == ("catalog.item_changed", brand, "dead")
        assert (letter.record_offset, letter.reason) == (head.record_offset, "ValueError: never any more")
        assert stored_message(letter).event_id == head.event_id
        assert await until(lambda: parked(spine), number(0)) == []
        assert versions(spine, "late") == [2]
        assert second.event_id != head.event_id


@pytest.mark.parametrize(
    "limits",
    [
        Limits(tries_max=3, back_off=timedelta(milliseconds=10)),
        Limits(age_max=timedelta(milliseconds=1), back_off=timedelta(milliseconds=10)),
    ],
    ids=["tries", "age"],
)
async def test_what_waits_too_long_becomes_a_dead_letter(
    database: DatabaseSettings, kafka: KafkaSettings, limits: Limits
) -> None:
    brand = uuid4()
    spine = Spine(database, kafka, waiting={"never"}, limits=limits)
    async with spine.running():
        await spine.change(brand, "never")
        await spine.change(brand, "never")
        found = await until(lambda: letters(spine), number(2))
        assert [stored_message(row).decode().content_version for row in found] == [1, 2]
        assert all("the last one said: never has to wait" in row.reason for row in found)
        assert await parked(spine) == []
        assert await spine.seen(brand) == {}


async def test_no_more_is_parked_than_the_limit_and_nothing_is_lost(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    brand = uuid4()
    names = {f"late-{n}" for n in range(12)}
    limits = Limits(rows_max=5, back_off=timedelta(milliseconds=50), back_off_max=timedelta(milliseconds=200))
    spine = Spine(database, kafka, waiting=set(names), limits=limits)
    async with spine.running():
        for name in sorted(names):
            await spine.change(brand, name)
        await until(full, lambda seen: seen == 1.0)
        assert len(await parked(spine)) <= 5
        assert await spine.seen(brand) == {}
        spine.waiting.clear()
        expected = dict.fromkeys(names, 1)
        assert await spine.until_seen(brand, expected) == expected
        await until(full, lambda seen: seen == 0.0)
        assert await letters(spine) == []
    assert await times(spine, brand) == expected


async def full() -> float:
    return float(PARKING_FULL.labels(group="spine.seen")._value.get())


async def test_too_many_that_turn_out_invalid_stay_parked(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    """The limit of dead letters holds for parked messages too: a bad release does not empty the queues into them."""
    brand = uuid4()
    names = {f"late-{n}" for n in range(120)}
    spine = Spine(database, kafka, waiting=set(names), limits=Limits(back_off=timedelta(milliseconds=20)))
    async with spine.running():
        await asyncio.gather(*(spine.change(brand, name) for name in sorted(names)))
        await until(lambda: parked(spine), number(120))
        spine.poison = set(names)
        spine.waiting.clear()
        await until(lambda: letters(spine), lambda seen: len(seen) >= 1)
        await asyncio.sleep(1)
        buried, waiting = await letters(spine), await parked(spine)
        assert len(buried) <= 100
        assert len(buried) + len(waiting) == 120


async def test_a_broker_that_comes_back_empty_doubles_nothing(
    database: DatabaseSettings, broker: EmbeddedBroker, kafka: KafkaSettings
) -> None:
    brand = uuid4()
    spine = Spine(database, kafka, waiting={"late"}, limits=QUICK)
    async with spine.running():
        await spine.change(brand, "late")
        await spine.change(brand, "late")
        await spine.change(brand, "on-time")
        assert await spine.until_seen(brand, {"on-time": 1}) == {"on-time": 1}
        first = await until(lambda: parked(spine), number(2))
        port = broker.port
        assert broker.process is not None
        broker.process.kill()
        broker.process.wait()
        again = EmbeddedBroker(BrokerPlace(log_path=broker.place.log_path, port=port))
        again.start()
        try:
            ensure_topics(kafka)
            await spine.change(brand, "late")
            await spine.change(brand, "after")
            assert await spine.until_seen(brand, {"on-time": 1, "after": 1}) == {"on-time": 1, "after": 1}
            rows = await until(lambda: parked(spine), number(3))
            assert [row.event_id for row in rows[:2]] == [row.event_id for row in first]
            # The third may have been read before the consumer knew that the topic is another one; it is parked once.
            assert len({row.event_id for row in rows}) == 3
            spine.waiting.clear()
            expected = {"on-time": 1, "after": 1, "late": 3}
            assert await spine.until_seen(brand, expected) == expected
            assert versions(spine, "late") == [1, 2, 3]
        finally:
            again.stop()


async def test_two_members_never_handle_one_key_at_once(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    """Both retry; the handler is slow and says who is in it. Order per key is kept whoever takes the queue."""
    brand = uuid4()
    keys = [f"late-{n}" for n in range(6)]
    one = Spine(database, kafka, waiting=set(keys), limits=QUICK)
    async with one.running():
        for _ in range(4):
            for key in keys:
                await one.change(brand, key)
        await until(lambda: parked(one), number(24))
    inside: set[str] = set()
    at_once: list[str] = []
    order: dict[str, list[int]] = {}

    def slow(spine: Spine) -> Any:
        handle = spine.handle

        async def handle_slowly(tx: WriteSession, messages: Any) -> None:
            if len(messages) > 1:
                raise ValueError("one by one, please")
            key = messages[0].key
            at_once.extend([key] if key in inside else [])
            inside.add(key)
            await asyncio.sleep(0.01)
            order.setdefault(key, []).append(messages[0].decode().content_version)
            inside.discard(key)
            await handle(tx, messages)

        return handle_slowly

    members = [Spine(database, kafka, owner=f"spine-{n}", limits=QUICK) for n in range(2)]
    for member in members:
        member.consumer._handler = slow(member)
    async with members[0].running(), members[1].running():
        assert await members[0].until_seen(brand, dict.fromkeys(keys, 4)) == dict.fromkeys(keys, 4)
        await until(lambda: parked(members[0]), number(0))
    assert at_once == []
    assert order == {f"{brand}/{key}": [1, 2, 3, 4] for key in keys}
    assert await times(one, brand) == dict.fromkeys(keys, 4)


async def test_a_queue_that_is_held_is_left_alone(database: DatabaseSettings, kafka: KafkaSettings) -> None:
    brand = uuid4()
    spine = Spine(database, kafka, waiting={"late"}, limits=Limits(back_off=timedelta(hours=1)))
    async with spine.running():
        await spine.change(brand, "late")
        await spine.change(brand, "late")
        rows = await until(lambda: parked(spine), number(2))
        later = system_clock() + timedelta(hours=2)
        heads = [row.id for row in rows]

        async def hold(tx: WriteSession) -> list[int]:
            held = await parking.hold(tx, group="spine.seen", heads=heads, now=later, most=10)
            return [stored_message(row).decode().content_version for row in held]

        async with spine.worker.write() as mine:
            assert await hold(mine) == [1, 2]
            async with spine.worker.write() as theirs:
                assert await hold(theirs) == []
        async with spine.worker.write() as mine:
            await parking.delete(mine, heads[:1])
            async with spine.worker.write() as theirs:
                assert await hold(theirs) == []
        async with spine.worker.write() as theirs:
            assert await hold(theirs) == [2]


async def test_nothing_is_asked_while_nothing_is_parked(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    """The fast path: one look when partitions are assigned, then none until something is parked."""
    brand = uuid4()
    spine = Spine(database, kafka, limits=QUICK)
    async with spine.running():
        await spine.change(brand, "first")
        assert await spine.until_seen(brand, {"first": 1}) == {"first": 1}
        assert spine.consumer._parking._maybe_parked is False
        spine.waiting.add("late")
        await spine.change(brand, "late")
        await until(lambda: parked(spine), number(1))
        assert spine.consumer._parking._maybe_parked is True
        spine.waiting.clear()
        await until(lambda: parked(spine), number(0))
        await spine.change(brand, "second")
        await spine.until_seen(brand, {"first": 1, "late": 1, "second": 1})
        assert spine.consumer._parking._maybe_parked is False


async def test_a_stranger_without_the_role_sees_nothing(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    spine = Spine(database, kafka)
    for table in ("parked_messages", "dead_letters"):
        async with spine.worker.read() as session:
            forced = await session.scalar(
                text("select relrowsecurity and relforcerowsecurity from pg_class where relname = :table"),
                {"table": table},
            )
            assert forced is True
            granted = text("select has_table_privilege('vitrin_spine_app', :table, 'select')")
            assert await session.scalar(granted, {"table": table}) is False
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()
