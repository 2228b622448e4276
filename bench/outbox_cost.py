"""P10: what the outbox costs: a domain change with its events, against the same change as a bare psycopg pipeline.

Ours is the kit as every service uses it: `AppDatabase.write` (pool, scope, transaction), `Event.of` per change (its
message and bytes), `publish`, and `save_events` before the commit; NOTIFY included, as if the relay were elsewhere.
The statements of the change are the same on both sides, and pipelined on both. `no_events` under `also` is ours without
events: what of the difference is the session layer, and what the outbox.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final
from uuid import UUID

import psycopg

from bench.baselines.bare_change import CHANGE, BareWriter, parameters
from bench.claims import Result, spread
from bench.rig import Rig, pooled, rig, run_loop
from vitrin.catalog.domain import Offer
from vitrin.catalog.events import offer_message
from vitrin.events.envelope import Event
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.driver import driver_connection
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.money import Money
from vitrin.kit.outbox.wake import Wake

ROUNDS: Final = 7
BRANDS: Final = 16
ITEMS_PER_BRAND: Final = 500
GOAL: Final = 0.80


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    writers: int
    changes: int
    transactions: int
    """Per writer and round."""


SHAPES: Final = (
    Shape("changes_100", 1, 100, 60),
    Shape("changes_1", 1, 1, 300),
    Shape("writers_16_changes_100", 16, 100, 6),
    Shape("writers_16_changes_1", 16, 1, 60),
)
FILL: Final = (
    "insert into items (brand_id, item_id, content_version, offer_version, content, created_at, updated_at)"
    " select b, 'item-' || n, 1, 1, '{\"title\": \"Mug\"}', now(), now()"
    " from unnest(%s::uuid[]) b, generate_series(1, %s) n",
    "insert into offers (brand_id, item_id, market, currency, price_minor, effective_availability,"
    " inventory_policy, offer_version, updated_at) select brand_id, item_id, 'DE', 'EUR', 1000, 'in_stock', 'deny',"
    " 1, now() from items",
)
Writer = Callable[[Shape, int], Awaitable[None]]


def run() -> Result:
    with rig("catalog") as parts:
        brands = [new_uuid() for _ in range(BRANDS)]
        with parts.admin() as admin:
            admin.execute(FILL[0], (brands, ITEMS_PER_BRAND))
            admin.execute(FILL[1])
            admin.execute("vacuum analyze")
        rates = run_loop(_measure(parts, brands))
        with parts.admin() as admin:
            row = admin.execute("select sum(events) from outbox").fetchone()
    expected = (ROUNDS + 1) * sum(shape.writers * shape.changes * shape.transactions for shape in SHAPES)
    assert row is not None
    assert row[0] == expected, f"{row[0]} events of {expected} changes"
    ratios = {shape.name: [ours / bare for ours, bare, _ in rates[shape.name]] for shape in SHAPES}
    value, smallest, largest = spread(ratios["changes_100"])
    medians = {name: spread(found)[0] for name, found in ratios.items()}
    return Result(
        id="P10",
        name="domain change with outbox, changes/s against the same change without (100 per transaction)",
        value=value,
        goal=f">= {GOAL:.2f}, each shape",
        baseline="bench/baselines/bare_change.py: psycopg pipeline, binary, same statements, fsync on",
        met=min(medians.values()) >= GOAL,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            name: {
                "ratio": spread(ratios[name]),
                "no_events": spread([plain / bare for _, bare, plain in rates[name]]),
                "changes_per_s": round(spread([ours for ours, _, _ in rates[name]])[0]),
                "bare_changes_per_s": round(spread([bare for _, bare, _ in rates[name]])[0]),
            }
            for name in ratios
        },
    )


async def _measure(parts: Rig, brands: Sequence[UUID]) -> dict[str, list[tuple[float, float, float]]]:
    """Per shape and round: changes per second of ours, bare, ours without events. The first round is warm-up."""
    rates: dict[str, list[tuple[float, float, float]]] = {}
    async with AsyncExitStack() as stack:
        app = AppDatabase(
            settings=pooled(parts.settings, BRANDS),
            service="catalog",
            clock=system_clock,
            wake=Wake(relay_is_here=False),
        )
        stack.push_async_callback(app.close)
        connections = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(parts.address("app")))
            for _ in brands
        ]
        bare = [BareWriter(connection) for connection in connections]
        versions = count(2)

        async def ours(shape: Shape, number: int) -> None:
            await _change(app, brands[number], shape, next(versions), events=True)

        async def plain(shape: Shape, number: int) -> None:
            await _change(app, brands[number], shape, next(versions), events=False)

        async def without(shape: Shape, number: int) -> None:
            await bare[number].change(parameters(brands[number], _ids(shape), version=next(versions)))

        for shape in SHAPES:
            found = []
            for turn in range(ROUNDS + 1):
                order: list[Writer] = [ours, without, plain]
                timed = {
                    writer.__name__: await _timed(shape, writer) for writer in order[:: 1 if turn % 2 else -1]
                }
                found.append((timed["ours"], timed["without"], timed["plain"]))
            rates[shape.name] = found[1:]
    return rates


async def _timed(shape: Shape, write: Writer) -> float:
    async def writer(number: int) -> None:
        for _ in range(shape.transactions):
            await write(shape, number)

    began = time.perf_counter()
    await asyncio.gather(*(writer(number) for number in range(shape.writers)))
    return shape.writers * shape.transactions * shape.changes / (time.perf_counter() - began)


def _ids(shape: Shape) -> list[str]:
    return [f"item-{number}" for number in range(1, shape.changes + 1)]


async def _change(app: AppDatabase, brand: UUID, shape: Shape, version: int, *, events: bool) -> None:
    ids = _ids(shape)
    values = parameters(brand, ids, version=version)
    async with app.write(BrandId(brand)) as tx:
        driver = await driver_connection(tx.connection)
        async with driver.pipeline():
            for statement in CHANGE:
                await driver.execute(statement, values)
            if events:
                for event in _events(brand, ids, version, values["now"]):
                    tx.publish(event)


def _events(brand: UUID, ids: Sequence[str], version: int, now: datetime) -> Iterator[Event]:
    """What catalog publishes of each item: made while the database works on the statements before."""
    offer = Offer(price=Money(1_000 + version % 1_000, "EUR"), quantity=5)
    for item_id in ids:
        yield Event.of(
            key=f"{brand}/{item_id}/DE",
            type="catalog.offer_changed",
            brand_id=brand,
            message=offer_message(
                offer, item_id=item_id, market="DE", offer_version=version, actor="key:bench"
            ),
            occurred_at=now,
            received_at=now,
        )
