"""kill -9 of the collector at random moments under load: no acknowledged event is lost, and none counts twice.

100 kills (`VITRIN_COLLECTOR_KILLS`). Senders repeat what was not answered, with the same event ids, as shops do; orders
come under two event ids each.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.retargeting.house import RING, TOKEN, House, event, house_of, send, until
from tests.support.apache import ROOT
from tests.support.brokers import Broker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres

KILLS = int(os.environ.get("VITRIN_COLLECTOR_KILLS") or 100)
LANES = 6
BATCH = 8
EARLY_SHARE = 0.15
"""Kills that wait for no answer: while the process starts, recovers and carries."""
UP_S = 60.0


class Nursery:
    """Gives birth to collectors, one at a time."""

    def __init__(self, house: House, port: int, log: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "services"), str(ROOT)]),
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "VITRIN_DATABASE_URL": house.database.url.get_secret_value(),
            "VITRIN_KAFKA_BOOTSTRAP": house.kafka.bootstrap,
            "VITRIN_KAFKA_MEMBERSHIP": house.kafka.membership,
            "VITRIN_KAFKA_TOPIC_PREFIX": house.kafka.topic_prefix,
            "VITRIN_SERVICE_TOKEN": TOKEN,
            "VITRIN_ACCOUNTS_GRPC": f"127.0.0.1:{house.accounts_port}",
            "VITRIN_LOG_LEVEL": "error",
            "RETARGETING_SPOOL_KEYS": RING,
            "RETARGETING_SPOOL_FOLDER": str(house.folder),
            "RETARGETING_HTTP_PORT": str(port),
            "RETARGETING_GRPC_PORT": str(free_port()),
        }
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.retargeting_nursery"],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        self._child = 0

    async def birth(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("fork\n")
        self._process.stdin.flush()
        self._child = int(await asyncio.to_thread(self._process.stdout.readline))

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def close(self) -> None:
        if self._child:
            self.kill()
        self._process.kill()
        self._process.communicate()


class Senders:
    """Lanes of a shop's server. What was not answered is sent again, the very same."""

    def __init__(self, key: str, url: str) -> None:
        self._key = key
        self._url = url
        self._numbers = count()
        self.acknowledged: set[str] = set()
        self.orders: set[str] = set()
        self.open_now = 0
        self.repeated = 0
        self.answered = asyncio.Event()
        self.stop = False

    def _batch(self, lane: int) -> list[dict[str, Any]]:
        number = next(self._numbers)
        events = [event(f"{lane}-{number}-{one}") for one in range(BATCH)]
        order = {"name": "purchase", "order_id": f"o-{number}", "items": []}
        return [*events, event(f"{lane}-{number}-a", **order), event(f"{lane}-{number}-b", **order)]

    async def lane(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=10) as client:
            while not self.stop:
                batch = self._batch(number)
                while not await self._sent(client, batch):
                    self.repeated += 1
                    await asyncio.sleep(0.01)

    async def _sent(self, client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> bool:
        self.open_now += 1
        try:
            answer = await send(client, self._key, *batch)
        except httpx.TransportError:
            return False
        finally:
            self.open_now -= 1
        if answer.status_code != 200:
            assert answer.status_code == 503, answer.text
            return False
        assert answer.json()["refused"] == 0, answer.text
        self.acknowledged |= {one["event_id"] for one in batch if "order_id" not in one}
        self.orders |= {one["order_id"] for one in batch if "order_id" in one}
        self.answered.set()
        return True


@asynccontextmanager
async def replica_is_fresh(house: House) -> AsyncIterator[None]:
    """What the worker says whose consumer follows the keys; here nobody does."""
    runtime = house.runtime("api")

    async def say() -> None:
        while True:
            async with runtime.worker.write() as tx:
                await tx.execute(
                    text(
                        "insert into consumer_ends (consumer_group, at_end_at) values ('retargeting.access', now())"
                        " on conflict (consumer_group) do update set at_end_at = now()"
                    )
                )
            await asyncio.sleep(5)

    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        await runtime.close()


@pytest.mark.timeout(900)
@pytest.mark.embedded_only(reason="a member of a group comes back after its session: too slow for so many")
async def test_kill_9_loses_no_acknowledged_event_and_counts_none_twice(
    embedded_postgres: EmbeddedPostgres, broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("VITRIN_CRASH_SEED") or secrets.randbelow(10**6))
    random, began, port = Random(seed), monotonic(), free_port()
    hits = 0
    async with (
        house_of(embedded_postgres, broker.bootstrap, tmp_path / "spool") as house,
        replica_is_fresh(house),
        house.consumer(),
    ):
        key = await house.new_key()
        senders = Senders(key, f"http://127.0.0.1:{port}")
        nursery = Nursery(house, port, tmp_path / "nursery.log")
        lanes = [asyncio.create_task(senders.lane(number)) for number in range(LANES)]
        try:
            for _ in range(KILLS):
                senders.answered.clear()
                await nursery.birth()
                if random.random() >= EARLY_SHARE:
                    async with asyncio.timeout(UP_S):
                        await senders.answered.wait()
                await asyncio.sleep(random.uniform(0, 0.15))
                hits += senders.open_now > 0
                nursery.kill()
            killed_s = monotonic() - began
            await nursery.birth()
            senders.stop = True
            for result in await asyncio.gather(*lanes, return_exceptions=True):
                assert not isinstance(result, BaseException), result
            await until(lambda: missing(house, senders), lambda left: left == 0)
            found = await reckon(house, senders)
        finally:
            for lane in lanes:
                lane.cancel()
            nursery.close()
    with capsys.disabled():
        print(
            f"\ncollector kills, VITRIN_CRASH_SEED={seed}: {KILLS} kills in {killed_s:.0f} s, {hits} with requests"
            f" under way; {len(senders.acknowledged)} events and {len(senders.orders)} orders acknowledged, none lost,"
            f" none twice; {senders.repeated} requests repeated, {found} events came again to the consumer"
        )
    assert hits >= KILLS // 3


async def missing(house: House, senders: Senders) -> int:
    ids = {row.event_id for row in await house.rows("select event_id from event_ids where brand_id = :brand")}
    keys = await house.rows("select business_key from event_business_keys where brand_id = :brand")
    return len(senders.acknowledged - ids) + len(senders.orders - {row.business_key for row in keys})


async def reckon(house: House, senders: Senders) -> int:
    """Rows are what was acknowledged, each once; counts say the same. Answers how many came again."""
    rows = await house.rows("select event_id, name, order_id from events where brand_id = :brand")
    views = Counter(row.event_id for row in rows if row.name == "view_item")
    orders = Counter(row.order_id for row in rows if row.name == "purchase")
    assert set(views) == senders.acknowledged
    assert set(orders) == senders.orders
    assert set(views.values()) == set(orders.values()) == {1}
    counts = await house.rows(
        "select outcome, sum(events) as events from event_counts where brand_id = :brand"
        " and outcome in ('stored', 'repeated') group by outcome"
    )
    said = {row.outcome: int(row.events) for row in counts}
    assert said["stored"] == len(rows)
    return said.get("repeated", 0)
