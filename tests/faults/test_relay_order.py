"""Three relay processes, long and short concurrent transactions, a held old snapshot, kills and stalls: on the topic no
key has an inversion, and nothing is missed."""

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from tests.support.figures import Say
from tests.support.spine import SERVICE, Spine
from tests.support.spine_process import SpineProcess
from tests.support.topic_log import judge, read_versions
from vitrin.kit.db.urls import libpq_url, role_url, server_url
from vitrin.kit.settings import DatabaseSettings, KafkaSettings

CHANGES = 100_000
BRANDS = 12
WRITERS_PER_BRAND = 2
THINGS = 60
CHANGES_PER_THING = 5
"""By each of two writers."""
PAUSE_MAX_S = 0.4
KILLS_MIN = 12
PARTITIONS = 8


class Fleet:
    """Three relays and what is done to them."""

    def __init__(self, relays: list[SpineProcess], spine: Spine, chance: random.Random) -> None:
        self.relays = relays
        self.kills = self.kills_in_flight = self.handed_over = self.replaced = 0
        self._spine = spine
        self._chance = chance

    async def backlog(self) -> int:
        async with self._spine.worker.read() as session:
            return int(await session.scalar(text("select count(*) from outbox where sent_at is null")))

    async def owner(self) -> SpineProcess | None:
        async with self._spine.worker.read() as session:
            found = await session.scalar(
                text(
                    "select owner from outbox_leases where expires_at > clock_timestamp()"
                    " group by owner order by count(*) desc limit 1"
                )
            )
        return next((relay for relay in self.relays if found and found.split("#")[0] == relay.name), None)

    async def until_owner(self, *, other_than: SpineProcess | None = None) -> SpineProcess:
        deadline = time.monotonic() + 60
        while (found := await self.owner()) is None or found is other_than:
            assert time.monotonic() < deadline, "no relay took the shards over"
            await asyncio.sleep(0.1)
        await found.until_up()
        return found

    async def kill(self) -> SpineProcess:
        """kill -9 of the relay that has the shards."""
        relay = await self.until_owner()
        in_flight = await self.backlog() > 0
        relay.kill()
        self.kills += 1
        self.kills_in_flight += in_flight
        return relay

    async def kill_and_restart(self) -> None:
        relay = await self.kill()
        relay.start()
        await relay.until_up()

    async def kill_for_good(self) -> None:
        """Another name takes over once the lease is over; then the dead one comes back."""
        dead = await self.kill()
        await self.until_owner(other_than=dead)
        self.handed_over += 1
        dead.start()

    async def stall(self) -> None:
        """It stops in the middle of what it does, another takes over, and it goes on as if nothing had been."""
        relay = await self.until_owner()
        relay.stall()
        await self.until_owner(other_than=relay)
        self.handed_over += 1
        await asyncio.sleep(self._chance.uniform(0.2, 1))
        relay.go_on()

    async def stall_and_replace(self) -> None:
        """An orchestrator that gives a silent process up starts another of its name. The old one wakes up soon, and the
        two must not both send."""
        relay = await self.until_owner()
        relay.stall()
        old = relay.process
        relay.start()
        await relay.until_up()
        await asyncio.sleep(self._chance.uniform(1, 3))
        old.send_signal(signal.SIGCONT)
        await asyncio.sleep(self._chance.uniform(6, 8))  # long enough for it to renew its leases
        old.kill()
        await asyncio.to_thread(old.wait)
        self.replaced += 1

    async def stop_cleanly(self) -> None:
        relay = await self.until_owner()
        assert await relay.stop() == 0, relay.log()
        await self.until_owner(other_than=relay)
        self.handed_over += 1
        relay.start()


@contextmanager
def held_snapshot(database: DatabaseSettings) -> Iterator[None]:
    """A transaction that has written and stays open: nothing that waits for the oldest transaction moves on."""
    address = role_url(database, SERVICE, "owner")
    with psycopg.connect(libpq_url(server_url(database).set(database=address.database))) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select pg_current_xact_id()").fetchone()
        connection.execute("select count(*) from outbox").fetchone()
        yield
        connection.rollback()


async def write(spine: Spine, brand: UUID, changes: int, chance: random.Random) -> None:
    """Short transactions mostly; some hold their row locks over several steps while others commit. A thing changes some
    ten times within a short while and then never again, so that what comes after its last change would be seen."""
    left = changes
    while left:
        first = (changes - left) // CHANGES_PER_THING
        size = min(left, chance.randint(1, THINGS))
        names = sorted(f"thing-{n:06}" for n in chance.sample(range(first, first + THINGS), size))
        kind = chance.random()
        pieces, pause_s = (1, 0.0) if kind < 0.7 else (3, 0.05) if kind < 0.9 else (2, 0.4)
        size = -(-len(names) // pieces)
        steps = [names[at : at + size] for at in range(0, len(names), size)]
        await spine.change_many(brand, steps, pause_s=pause_s)
        left -= len(names)
        await asyncio.sleep(chance.uniform(0, PAUSE_MAX_S))


async def newest_versions(spine: Spine, brands: list[UUID]) -> dict[str, int]:
    async with spine.worker.read(brands) as session:  # type: ignore[arg-type]
        rows = await session.all(text("select brand_id, name, version from things"))
    return {f"{row.brand_id}/{row.name}": row.version for row in rows}


@pytest.mark.timeout(400)
async def test_no_inversion_and_nothing_missed_in_100_000_changes(
    database: DatabaseSettings, kafka: KafkaSettings, tmp_path: Path, say: Say
) -> None:
    seed = random.randrange(1_000_000)
    say(f"seed {seed}")
    chance = random.Random(seed)
    brands = [uuid4() for _ in range(BRANDS)]
    wide = database.model_copy(update={"app_pool_max": 16})
    spine = Spine(wide, kafka, relay_is_here=False, member=False)
    relays = [
        SpineProcess("relay", f"relay-{n}", database=database, kafka=kafka, directory=tmp_path)
        for n in range(3)
    ]
    fleet = Fleet(relays, spine, chance)
    started = time.monotonic()
    async with spine.running():
        try:
            for relay in relays:
                relay.start()
            with held_snapshot(database):
                share = CHANGES // (BRANDS * WRITERS_PER_BRAND)
                shares = [share] * (BRANDS * WRITERS_PER_BRAND)
                shares[0] += CHANGES - sum(shares)
                writing = asyncio.gather(
                    *(
                        write(spine, brands[n % BRANDS], changes, random.Random(f"{seed}/{n}"))
                        for n, changes in enumerate(shares)
                    )
                )
                await disturb(fleet, writing, chance)
                await writing
                written = time.monotonic() - started
                deadline = time.monotonic() + 120
                while (left := await fleet.backlog()) and time.monotonic() < deadline:
                    await asyncio.sleep(0.2)
                assert left == 0, [relay.log()[-2000:] for relay in relays]
            assert [await relay.stop() for relay in relays] == [0, 0, 0], [
                relay.log()[-2000:] for relay in relays
            ]
        finally:
            for relay in relays:
                if relay.is_running:
                    relay.kill()
        expected = await newest_versions(spine, brands)
    found = await asyncio.to_thread(read_versions, kafka, partitions=PARTITIONS)
    verdict = judge(found, expected)
    say(
        f"{sum(expected.values())} changes of {len(expected)} keys in {written:.0f} s, {verdict}; {fleet.kills} kills,"
        f" {fleet.kills_in_flight} with work in flight, {fleet.handed_over} hand-overs,"
        f" {fleet.replaced} replaced while silent; {time.monotonic() - started:.0f} s in all"
    )
    assert sum(expected.values()) == CHANGES
    assert (verdict.missing, verdict.inversions, verdict.stale_ends) == (0, 0, 0)
    assert fleet.kills >= KILLS_MIN
    assert fleet.handed_over >= 3


async def disturb(fleet: Fleet, writing: "asyncio.Future[list[None]]", chance: random.Random) -> None:
    """Each kind of trouble once in random order, kills between them, and more kills while there is something to do."""
    troubles = [fleet.kill_for_good, fleet.stall, fleet.stall_and_replace, fleet.stop_cleanly]
    chance.shuffle(troubles)
    for trouble in troubles:
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.5, 2))
            await fleet.kill_and_restart()
        await trouble()
    while not writing.done():
        await asyncio.sleep(chance.uniform(0.5, 2))
        await fleet.kill_and_restart()
