"""G6: what the outbox costs while rows wait in it: one insert (a transaction of the kit with one event), one claim of
the relay, and one mark, over backlogs of 1,000 to 1,000,000 unsent rows.

Work is counted: shared buffers that the statement touches, so that a busy machine changes nothing. The largest of the
three slopes is the value; medians of the times of many calls stand beside it.
"""

import re
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import text

from bench import outbox_rows
from bench.claims import Result
from bench.rig import Rig, rig, run_loop, slope
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.outbox import store, writer
from vitrin.kit.outbox.wake import Wake

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
CALLS: Final = 150
GOAL: Final = 0.05
BRANDS: Final = 32
OWNER: Final = "bench"
GROW: Final = """
insert into outbox (created_at, shard, brand_id, topic, events, payload)
select o.created_at + make_interval(secs => n / 1e6), o.shard, o.brand_id, o.topic, o.events, o.payload
from (select * from outbox where sent_at is null order by id limit 1000) o, generate_series(1, %s) n
"""
SHARDS: Final = list(range(writer.SHARDS))
PARTS: Final = ("insert", "claim", "mark")
Work = dict[str, float]


def run() -> Result:
    with rig("catalog") as parts, parts.admin() as admin:
        brands = [new_uuid() for _ in range(BRANDS)]
        outbox_rows.copy(admin, outbox_rows.rows(brands, count=1_000, events_per_row=1, now=system_clock()))
        measured: list[Work] = []
        for size in SIZES:
            _grow(admin, size)
            times = run_loop(_measure(parts, brands))
            measured.append({**times, **{f"{name}_buffers": _buffers(admin, name) for name in PARTS}})
    slopes = {name: round(slope(SIZES, [work[name] for work in measured]), 3) for name in measured[0]}
    counted = [slopes[f"{name}_buffers"] for name in PARTS]
    return Result(
        id="G6",
        name="outbox cost against its backlog (1e3 to 1e6 unsent rows): slope of buffers, worst of insert, claim, mark",
        value=max(counted),
        goal=f"<= {GOAL}",
        baseline="the same call over the smaller backlogs, same run",
        met=max(counted) <= GOAL,
        min=min(counted),
        max=max(counted),
        rounds=CALLS,
        also={"slopes": slopes, **{name: [round(work[name], 3) for work in measured] for name in slopes}},
    )


def _grow(admin: "psycopg.Connection[Any]", size: int) -> None:
    row = admin.execute("select count(*) from outbox where sent_at is null").fetchone()
    assert row is not None
    if size > row[0]:
        admin.execute(GROW, ((size - row[0]) // 1_000,))
    admin.execute("vacuum analyze outbox")
    admin.execute("checkpoint")


async def _measure(parts: Rig, brands: list[UUID]) -> Work:
    """Median milliseconds of each part."""
    app = AppDatabase(
        settings=parts.settings, service="catalog", clock=system_clock, wake=Wake(relay_is_here=True)
    )
    worker = WorkerDatabase(settings=parts.settings, service="catalog", clock=system_clock)
    async with worker.write() as tx:
        fences = await store.lease(tx, owner=OWNER)
    shards = list(fences)
    topic_id = new_uuid()
    rows: list[store.OutboxRow] = []

    async def insert(number: int) -> None:
        brand = brands[number % len(brands)]
        async with app.write(BrandId(brand)) as tx:
            tx.publish(outbox_rows.item_event(brand, number, system_clock()))

    async def claim(_: int) -> None:
        async with worker.read() as session:
            rows[:] = await store.unsent(session, shards=shards)
        assert len(rows) > store.CLAIM_ROWS_MAX // 2, len(rows)

    async def mark(number: int) -> None:
        """A fifth of the claimed rows of one shard and topic; the next calls mark others."""
        shard = rows[0].shard
        group = [row for row in rows if row.shard == shard][:4]
        async with worker.write() as tx:
            await tx.execute(text("set local synchronous_commit = off"))
            done = await store.mark(
                tx,
                {(shard, group[0].topic): group},
                topic_ids={group[0].topic: topic_id},
                owner=OWNER,
                fences=fences,
                sent_at=system_clock(),
            )
        assert done == {shard: len(group)}, f"{done} of {len(group)} marked in call {number}"
        rows[:] = [row for row in rows if row not in group]

    times = {
        "insert_ms": await _median_ms(insert),
        "claim_ms": await _median_ms(claim, calls=30),
        "mark_ms": await _median_ms(mark, calls=30),
    }
    async with worker.write() as tx:
        await store.release(tx, owner=OWNER)
    await app.close()
    await worker.close()
    return times


async def _median_ms(call: Callable[[int], Awaitable[None]], *, calls: int = CALLS) -> float:
    found = []
    for number in range(calls):
        began = time.perf_counter()
        await call(number)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def _buffers(admin: "psycopg.Connection[Any]", part: str) -> float:
    """Shared buffers that the store's own statement touches, by EXPLAIN; what it did is rolled back."""
    claim = {
        "shards": SHARDS,
        "without": [],
        "rows_max": store.CLAIM_ROWS_MAX,
        "events_max": store.CLAIM_EVENTS_MAX,
        "bytes_max": store.CLAIM_BYTES_MAX,
    }
    found = admin.execute(store._CLAIM, claim).fetchall()
    mine = [row for row in found if row[2] == found[0][2]]
    times = [row[1] for row in mine]
    params = {
        **claim,
        "ids": store._array(row[0] for row in mine),
        "fences": store._array(-1 for _ in mine),
        "topic_ids": store._array(new_uuid() for _ in mine),
        "first": min(times),
        "last": max(times),
        "owner": "",
        "sent_at": times[0],
        "created_at": system_clock(),
        "shard": mine[0][2],
        "brand_id": new_uuid(),
        "topic": mine[0][3],
        "events": 1,
        "payload": mine[0][4],
    }
    if part == "mark":
        params["shards"] = store._array(row[2] for row in mine)
    statement = {"insert": _plain(writer._INSERT), "claim": store._CLAIM, "mark": _plain(store._MARK)}[part]
    with admin.transaction(force_rollback=True):
        admin.execute("update outbox_leases set owner = '', fence = -1")
        row = admin.execute(f"explain (analyze, buffers, format json) {statement}", params).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _plain(statement: Any) -> str:
    """The statement with psycopg's parameters."""
    return re.sub(r"(?<!:):(\w+)", lambda found: f"%({found[1]})s", str(statement))
