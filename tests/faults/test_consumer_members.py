"""Members of a consumer group that join, leave, are killed, stall and come back: every change has its effect once."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Row, text

from tests.support.figures import Say
from tests.support.spine import PAUSES, Spine
from tests.support.spine_process import SpineProcess, until
from vitrin.kit.settings import DatabaseSettings, KafkaSettings

BRANDS = 4
THINGS = 200
BATCH = 10
PACE_S = 0.15
SESSION_TIMEOUT_MS = 3_000
STALLS_MAX = 3
PAUSE_S = 3.0
REFUSED = "is no longer at"
"""What a member says whose compare-and-set found that another one has advanced the partition."""

Member = Callable[..., SpineProcess]


class Load:
    """Changes that go on until `end`, by one relay that nobody disturbs: each record is on the topic once."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.brands = [uuid4() for _ in range(BRANDS)]
        self.changes = 0
        self.poisoned: list[str] = []
        self._ended = False

    def end(self) -> None:
        self._ended = True

    async def until_more(self, changes: int) -> None:
        """Until so many more were made."""
        goal = self.changes + changes
        await until(lambda: self.changes >= goal, f"{changes} more changes")

    async def run(self, brand: UUID, chance: random.Random) -> None:
        while not self._ended:
            names = sorted(f"thing-{n:03}" for n in chance.sample(range(THINGS), BATCH))
            await self.spine.change_many(brand, [names])
            self.changes += BATCH
            await asyncio.sleep(chance.uniform(0, 2 * PACE_S))


@asynccontextmanager
async def load_on(database: DatabaseSettings, kafka: KafkaSettings) -> AsyncIterator[Load]:
    spine = Spine(database, kafka, member=False)
    async with spine.running():
        load = Load(spine)
        writers = [
            asyncio.create_task(load.run(brand, random.Random(n))) for n, brand in enumerate(load.brands)
        ]
        try:
            yield load
        finally:
            load.end()
            await asyncio.gather(*writers)


@pytest.fixture
async def member(database: DatabaseSettings, kafka: KafkaSettings, tmp_path: Path) -> AsyncIterator[Member]:
    """Starts member processes; those that still run are killed at the end."""
    patient = kafka.model_copy(update={"session_timeout_ms": SESSION_TIMEOUT_MS})
    started: list[SpineProcess] = []

    def start(name: str, *, idle_ms: int = 60_000, **behaviour: object) -> SpineProcess:
        impatient = database.model_copy(update={"idle_transaction_timeout_ms": idle_ms})
        process = SpineProcess(
            "member", name, database=impatient, kafka=patient, directory=tmp_path, **behaviour
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_running:
            process.kill()


async def progress(spine: Spine) -> int:
    """Sum of the positions: how much the group has done."""
    async with spine.worker.read() as session:
        return int(await session.scalar(text("select coalesce(sum(next_offset), 0) from consumer_offsets")))


async def until_progress(spine: Spine, messages: int) -> None:
    """Until the group has done so many more."""
    goal, deadline = await progress(spine) + messages, time.monotonic() + 90
    while await progress(spine) < goal:
        assert time.monotonic() < deadline, f"the group did not get on by {messages}"
        await asyncio.sleep(0.1)


def assert_once(rows: Sequence[Row[Any]]) -> None:
    """Every change had one effect, and was committed once, not twice with the second one absorbed."""
    wrong = [tuple(row) for row in rows if not row.newest == row.version == row.times == row.handled]
    assert wrong == []


@pytest.mark.timeout(300)
async def test_members_come_and_go_under_load(
    database: DatabaseSettings, kafka: KafkaSettings, member: Member, say: Say
) -> None:
    async with load_on(database, kafka) as load:
        first = member("member-1")
        await until_progress(load.spine, 200)
        second, third = member("member-2"), member("member-3")
        for process in (second, third):
            await process.until_up()
        await until_progress(load.spine, 500)
        kills = 0
        for victim in (first, third, second, first):
            victim.kill()
            kills += 1
            await until_progress(load.spine, 200)
            victim.start()
            await victim.until_up()
            await until_progress(load.spine, 200)
        assert await second.stop() == 0, second.log()
        await until_progress(load.spine, 300)
        load.end()
        rows = await load.spine.until_settled(load.brands)
    assert_once(rows)
    refused = sum(process.log().count(REFUSED) for process in (first, second, third))
    say(
        f"{load.changes} changes, 3 members, {kills} kills, 1 clean leave: each had its effect once;"
        f" {refused} batches refused"
    )


@pytest.mark.timeout(300)
@pytest.mark.kafka_only(reason="under a lock nobody else reads while a stalled process keeps its connection")
async def test_a_member_that_stalls_past_its_session_is_refused(
    database: DatabaseSettings, kafka: KafkaSettings, member: Member, say: Say
) -> None:
    """It is stopped in a batch that it has not written yet; another one does it, and its compare-and-set is refused."""
    await stall(database, kafka, member("sleepy", pause_before_s=PAUSE_S), member, say, said=REFUSED)


@pytest.mark.timeout(300)
@pytest.mark.kafka_only(reason="under a lock nobody else reads while a stalled process keeps its connection")
async def test_a_member_that_stalls_with_row_locks_gives_them_back(
    database: DatabaseSettings, kafka: KafkaSettings, member: Member, say: Say
) -> None:
    """It is stopped with the row locks of what it wrote; the database ends its transaction after a while."""
    sleepy = member("sleepy", pause_after_s=PAUSE_S, idle_ms=4_000)
    await stall(database, kafka, sleepy, member, say, said="idle-in-transaction")


async def stall(
    database: DatabaseSettings,
    kafka: KafkaSettings,
    sleepy: SpineProcess,
    member: Member,
    say: Say,
    *,
    said: str,
) -> None:
    async with load_on(database, kafka) as load:
        await sleepy.until_up()
        await until_progress(load.spine, 50)
        await member("other").until_up()
        await until_progress(load.spine, 100)
        stalls = 0
        while said not in sleepy.log() and stalls < STALLS_MAX:
            pauses = sleepy.log().count(PAUSES)
            await until(lambda: sleepy.log().count(PAUSES) > pauses, "a batch in its hands")  # noqa: B023
            sleepy.stall()
            stalls += 1
            await until_all_moved(load.spine)  # the other one has taken everything over
            sleepy.go_on()
            await until_progress(load.spine, 200)
        load.end()
        assert await sleepy.stop() == 0, sleepy.log()[-3000:]
        rows = await load.spine.until_settled(load.brands)
    assert_once(rows)
    assert said in sleepy.log()
    say(
        f"{load.changes} changes, {stalls} stalls: each had its effect once; {sleepy.log().count(said)} refused"
    )


async def until_all_moved(spine: Spine) -> None:
    """Until every partition has got on: also those of whoever is silent."""
    statement = text("select partition, next_offset from consumer_offsets")

    async def positions() -> dict[int, int]:
        async with spine.worker.read() as session:
            return {row.partition: row.next_offset for row in await session.all(statement)}

    before, deadline = await positions(), time.monotonic() + 60
    now = before
    while still := [partition for partition, at in before.items() if now[partition] <= at]:
        assert time.monotonic() < deadline, f"partitions {still} stand still"
        await asyncio.sleep(0.1)
        now = await positions()


@pytest.mark.timeout(300)
async def test_poison_and_a_limit_that_trips_and_heals_while_members_are_killed(
    database: DatabaseSettings, kafka: KafkaSettings, member: Member, say: Say
) -> None:
    """A bad release cannot handle 130 messages: 100 at most become dead letters, then the group halts and keeps the
    rest. The next release does it. Nothing is dropped, nothing is doubled."""
    bad = [f"poison-{n:03}" for n in range(130)]
    async with load_on(database, kafka) as load:
        brand = load.brands[0]
        first = member("member-1", poison=bad)
        await first.until_up()
        await load.spine.change_many(brand, [bad[:30]])
        await until_progress(load.spine, 300)
        first.kill()
        first.start()
        await load.spine.change_many(brand, [bad[30:]])
        await until(lambda: "consumer_halted" in first.log(), "the group halts")
        halted_at = await progress(load.spine)
        await load.until_more(200)  # who writes does not notice
        assert await progress(load.spine) == halted_at
        first.kill()
        healed = member("member-2")
        await healed.until_up()
        load.end()
        async with load.spine.worker.read() as session:
            letters = {
                row.key.split("/")[1] for row in await session.all(text("select key from dead_letters"))
            }
        rows = await load.spine.until_settled(load.brands, without=frozenset(letters))
    assert 30 <= len(letters) <= 100
    assert letters <= set(bad)
    assert {row.name for row in rows if row.name.startswith("poison")} == set(bad) - letters
    assert_once(rows)
    say(
        f"{load.changes} changes, {len(letters)} dead letters of {len(bad)} poison messages, the rest after healing"
    )
