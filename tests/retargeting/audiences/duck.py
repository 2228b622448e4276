"""A reference world in DuckDB, asked with SQL that was made from the rules."""

from typing import Any

import duckdb
from bench.baselines.audience_sql import Dialect, quoted

from tests.retargeting.audiences.reference import World


def members(world: World, at: int) -> dict[str, set[int]]:
    duck: Any = duckdb.connect(":memory:", config={"threads": 1})
    try:
        _fill(duck, world)
        dialect = Dialect(world.rules, world.bounds)
        return {
            audience: {row[0] for row in duck.execute(dialect.members(audience, at)).fetchall()}
            for audience in world.rules
        }
    finally:
        duck.close()


def _fill(duck: Any, world: World) -> None:
    duck.execute(
        "create table events (seq bigint, subject bigint, ts bigint, kind text, value bigint, currency text)"
    )
    duck.execute("create table items (seq bigint, item text, category text, brand text, price bigint)")
    duck.execute(
        "create table facts (subject bigint, market text, analytics text, ads text, personalization text)"
    )
    events = [
        (event.seq, world.subject(event.visitor), event.at, event.name, event.value, event.currency)
        for event in world.events
    ]
    items = [
        (event.seq, item.item, item.category, item.brand, item.price)
        for event in world.events
        for item in event.items
    ]
    facts = [
        (subject, *(known.get(name) for name in ("market", "analytics", "ads", "personalization")))
        for subject, known in world.facts.items()
    ]
    for table, rows in (("events", events), ("items", items), ("facts", facts)):
        if rows:
            duck.execute(
                f"insert into {table} values " + ", ".join(f"({', '.join(map(_sql, row))})" for row in rows)
            )


def _sql(value: object) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else quoted("", str(value))
