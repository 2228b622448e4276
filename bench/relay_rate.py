"""P11: the relay at work (outbox to the embedded broker, acks=all, marked), against draining the same rows to nowhere.

Rows of one event each, as single changes leave them: the hardest case, since every event is a record of its own (the
topics are compacted by item). Rows of 100 events, as batches and imports leave them, stand under `also`. Both sides
take 1,000 rows at a time; the broker shares the machine's cores with relay and database.
"""

import asyncio
import time
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from bench import outbox_rows
from bench.baselines.drain import delete_all, mark_all
from bench.claims import Result, spread
from bench.rig import Rig, rig, run_loop
from vitrin.events import topics
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import new_uuid
from vitrin.kit.kafka.client import Probe
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake

ROUNDS: Final = 5
ROWS: Final = 15_000
WIDE_ROWS: Final = 200
WIDE_EVENTS: Final = 100
BRANDS: Final = 32
DEADLINE_S: Final = 120.0
UNSENT: Final = "select exists (select from outbox where sent_at is null)"


def run() -> Result:
    with rig("catalog", topics=[topics.ITEM]) as parts:
        brands = [new_uuid() for _ in range(BRANDS)]
        found = run_loop(_measure(parts, brands))
    ratios = [relay / delete for relay, delete, _, _ in found]
    marked = [relay / mark for relay, _, mark, _ in found]
    value, smallest, largest = spread(ratios)
    return Result(
        id="P11",
        name="outbox to Kafka relay, rows/s against deleting the same rows (one event each)",
        value=value,
        goal=">= 0.5x",
        baseline="bench/baselines/drain.py: DELETE .. SKIP LOCKED RETURNING of 1,000 rows",
        met=value >= 0.5,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "against_claim_and_mark": spread(marked),
            "relay_rows_per_s": spread([relay for relay, _, _, _ in found]),
            "delete_rows_per_s": spread([delete for _, delete, _, _ in found]),
            "claim_and_mark_rows_per_s": spread([mark for _, _, mark, _ in found]),
            "relay_events_per_s_in_rows_of_100": spread([wide for _, _, _, wide in found]),
        },
    )


async def _measure(parts: Rig, brands: list[UUID]) -> list[tuple[float, float, float, float]]:
    """Rows per second of relay, delete, claim and mark; events per second of the relay with wide rows."""
    wake = Wake(relay_is_here=True)
    database = WorkerDatabase(settings=parts.settings, service="catalog", clock=system_clock, wake=wake)
    probe = Probe(parts.kafka)

    def relay() -> Relay:
        return Relay(
            service="catalog",
            owner="bench",
            database=database,
            database_settings=parts.settings,
            kafka_settings=parts.kafka,
            probe=probe,
            wake=wake,
            clock=system_clock,
        )

    now = system_clock()
    narrow = outbox_rows.rows(brands, count=ROWS, events_per_row=1, now=now)
    wide = outbox_rows.rows(brands, count=WIDE_ROWS, events_per_row=WIDE_EVENTS, now=now)
    found = []
    for number in range(ROUNDS + 1):
        sent = ROWS / await _relayed(parts, relay(), wake, narrow)
        deleted = ROWS / await asyncio.to_thread(_drained, parts, narrow, keep=False)
        marked = ROWS / await asyncio.to_thread(_drained, parts, narrow, keep=True)
        broad = WIDE_ROWS * WIDE_EVENTS / await _relayed(parts, relay(), wake, wide)
        if number:
            found.append((sent, deleted, marked, broad))
    await probe.close()
    await database.close()
    return found


async def _relayed(parts: Rig, relay: Relay, wake: Wake, rows: list[tuple[object, ...]]) -> float:
    """Seconds from the rows' commit until the last of them is marked; producer and leases are warm."""
    stop = asyncio.Event()
    with parts.admin() as admin:
        admin.execute("truncate outbox")
        task = asyncio.create_task(relay.run(stop))
        await asyncio.to_thread(outbox_rows.copy, admin, rows[:200])
        await _until_sent(admin, wake)
        began = time.perf_counter()
        await asyncio.to_thread(outbox_rows.copy, admin, rows)
        copied = time.perf_counter()
        await _until_sent(admin, wake)
        ended = time.perf_counter()
        stop.set()
        wake.event.set()
        await task
        row = admin.execute("select count(*) from outbox where sent_at is not null").fetchone()
        assert row == (len(rows) + min(200, len(rows)),), row
    assert began < copied
    return ended - copied


async def _until_sent(admin: "psycopg.Connection[Any]", wake: Wake) -> None:
    end = time.perf_counter() + DEADLINE_S
    wake.event.set()
    while (await asyncio.to_thread(lambda: admin.execute(UNSENT).fetchone())) != (False,):
        assert time.perf_counter() < end, f"not relayed within {DEADLINE_S:.0f} s"
        await asyncio.sleep(0.02)


def _drained(parts: Rig, rows: list[tuple[object, ...]], *, keep: bool) -> float:
    with parts.admin() as admin:
        admin.execute("truncate outbox")
        outbox_rows.copy(admin, rows)
    # Nobody but the superuser may delete from the outbox; claim and mark run as the relay's role does.
    with psycopg.connect(parts.address("worker"), autocommit=True) if keep else parts.admin() as connection:
        began = time.perf_counter()
        done = mark_all(connection, uuid4()) if keep else delete_all(connection)
        ended = time.perf_counter()
    assert done == len(rows), done
    return ended - began
