"""PostgreSQL is away, or the process is killed: what was answered 200 is applied, once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import httpx
import pytest

from tests.catalog.shop.corner import product_body
from tests.catalog.shop.house import House, house_of, prepared, until
from tests.catalog.shop.test_door import ready
from tests.support.apache import ROOT
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace

WEBHOOKS = 500
KILLS = 3
BURST = 60


@pytest.fixture
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


async def test_webhooks_are_taken_while_postgresql_is_away(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with house_of(await asyncio.to_thread(prepared, own_postgres), tmp_path) as house:
        house.connect_secrets()
        async with house.running(), house.client() as client:
            await ready(house)
            await until(house.loads, lambda seen: seen == [("first", "done")])
            await asyncio.to_thread(own_postgres.stop)
            lanes = asyncio.Semaphore(16)

            async def send(number: int) -> int:
                async with lanes:
                    body = product_body(f"p{number}")
                    return (await house.post(client, body, delivery_id=f"d{number}")).status_code

            assert await asyncio.gather(*map(send, range(WEBHOOKS))) == [200] * WEBHOOKS
            await asyncio.to_thread(own_postgres.start)

            async def applied() -> int:
                found = await asyncio.to_thread(
                    house.rows,
                    "select count(*) from shop_deliveries where brand_id = %s and state = 'applied'",
                    house.brand,
                )
                return int(found[0][0])

            await until(applied, lambda seen: seen == WEBHOOKS)
            effects = await house.effects()
            assert len(effects) == WEBHOOKS
            assert {times for _, times in effects.values()} == {1}


class Door:
    """Door and mover in a process of their own."""

    def __init__(self, house: House) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.catalog.shop.door_process"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "services"), str(ROOT)]),
                "CORNER_DATABASE": house.database.url.get_secret_value(),
                "CORNER_FOLDER": str(house.folder),
                "CORNER_ACCOUNTS": str(house.accounts_port),
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def url(self) -> str:
        assert self._process.stdout is not None
        while not (line := await asyncio.to_thread(self._process.stdout.readline)).startswith("http"):
            assert line, "the process ended"
        return line.strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def burst(house: House, door: Door, names: list[str]) -> set[str]:
    """Those that were answered 200; the door is killed when half of them were."""
    taken: set[str] = set()

    async def send(client: httpx.AsyncClient, name: str) -> None:
        answer = await house.post(client, product_body(name), delivery_id=name)
        if answer.status_code == 200:
            taken.add(name)
        if len(taken) == len(names) // 2:
            door.kill()

    async with house.client() as client:
        await asyncio.gather(*(send(client, name) for name in names), return_exceptions=True)
    return taken


async def test_kill_9_between_spool_and_table_loses_none_and_doubles_none(house: House) -> None:
    house.connect_secrets()
    async with house.running():
        await ready(house)
        await until(
            house.loads, lambda seen: seen == [("first", "done")]
        )  # later it would ask for what the shop has not
    taken: set[str] = set()
    for turn in range(KILLS):
        door = Door(house)
        try:
            house.url = await door.url()
            taken |= await burst(house, door, [f"p{turn}-{number}" for number in range(BURST)])
        finally:
            door.close()
    assert len(taken) >= KILLS * BURST // 2
    async with house.running():
        await until(
            house.states, lambda seen: taken <= {name for name, state in seen.items() if state == "applied"}
        )
        effects = await house.effects()
        assert taken <= set(effects)
        assert {times for _, times in effects.values()} == {1}
