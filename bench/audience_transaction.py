"""P20W: the whole path of a batch: evaluation, and one durable transaction with events, changes and position.

As ADR 30 lays it out: binary COPY into temporary tables and from there into the log of events (key by arrival, index by
visitor) and the log of changes (index by subject), since tables under row-level security refuse COPY; the batch's row
with its instant; fsync on. The events go to PostgreSQL while the engine evaluates in a thread. Against the same honest
recompute as P20, which stores nothing.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.audience_rig import batches, engine_with, history
from bench.audience_workload import dictionary, rules
from bench.baselines.duckdb_audiences import DuckRecompute
from bench.claims import Result, spread
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace
from vitrin.retargeting.audiences.engine import Batch, Changes, Engine, compile_plan

EVENTS: Final = int(os.environ.get("EVENTS", "5000000"))
VISITORS: Final = EVENTS // 5
BATCH: Final = EVENTS // 500
ROUNDS: Final = 7
RATIO_MIN: Final = 10.0
EVENTS_PER_S_MIN: Final = 100_000
EVENT_COLUMNS: Final = (
    *(("seq", "i8"), ("subject", "i8"), ("at", "i8"), ("kind", "i2"), ("value", "i8"), ("currency", "i4")),
    *(("item", "i4"), ("category", "i4"), ("brand", "i4"), ("price", "i8")),
)
CHANGE_COLUMNS: Final = (("at", "i8"), ("subject", "i8"), ("audience", "i4"), ("member", "i1"))
SQL_TYPES: Final = {"i8": "bigint", "i4": "integer", "i2": "smallint", "i1": "boolean"}
HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)


def run() -> Result:
    numbers, made = dictionary(), rules()
    plan, log = compile_plan(made, numbers), history(EVENTS, VISITORS)
    duck = DuckRecompute(made, numbers, VISITORS)
    duck.insert(log)
    engine = engine_with(plan, log, "auto")
    del log
    ours: list[float] = []
    evaluated: list[float] = []
    theirs: list[float] = []
    with _database() as connection, ThreadPoolExecutor(1) as thread:
        for number, (at, batch) in enumerate(batches(ROUNDS + 1, BATCH, EVENTS, VISITORS)):
            duck.insert(batch)
            began = time.perf_counter()
            evaluation = thread.submit(_evaluated, engine, batch, at)
            _store_events(connection, batch)
            changes, evaluation_s = evaluation.result()
            _store_changes(connection, number, at, batch, changes)
            evaluated.append(evaluation_s)
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            members = duck.members(at)
            theirs.append(time.perf_counter() - began)
            for audience in plan.audiences:
                assert np.array_equal(engine.is_member(audience), members[audience][: engine.subjects.size])
        stored = connection.execute("select count(*), max(seq) from audience_events").fetchone()
        assert stored == ((ROUNDS + 1) * BATCH, engine.position)
    value, smallest, largest = spread([duck / own for duck, own in zip(theirs[1:], ours[1:], strict=True)])
    rate = round(BATCH / spread(ours[1:])[0])
    return Result(
        id="P20W",
        name=f"audience update with its transaction: {BATCH:,} events, evaluated, logged, fsynced",
        value=value,
        goal=f">= {RATIO_MIN:g}, and >= {EVENTS_PER_S_MIN:,} events/s",
        baseline="DuckDB as in P20, which stores nothing",
        met=value >= RATIO_MIN and rate >= EVENTS_PER_S_MIN,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "events_per_s": rate,
            "ms": {
                "whole": spread([1_000 * one for one in ours[1:]]),
                "evaluation": spread([1_000 * one for one in evaluated[1:]]),
                "duckdb": spread([1_000 * one for one in theirs[1:]]),
            },
        },
    )


@contextmanager
def _database() -> "Iterator[psycopg.Connection[Any]]":
    directory = Path(tempfile.mkdtemp(prefix="vitrin-bench-"))
    server = EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "postgres.log", fsync=True)
    )
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            for name, columns, keys in (
                ("audience_events", EVENT_COLUMNS, ("primary key (seq)",)),
                ("audience_changes", CHANGE_COLUMNS, ()),
            ):
                body = ", ".join(
                    (*(f"{column} {SQL_TYPES[kind]} not null" for column, kind in columns), *keys)
                )
                connection.execute(f"create table {name} ({body})")
                connection.execute(f"create temporary table new_{name} (like {name}) on commit delete rows")
            connection.execute("create index on audience_events (subject)")
            connection.execute("create index on audience_changes (subject, at)")
            connection.execute(
                "create table audience_batches (number bigint primary key, at bigint, position bigint)"
            )
            connection.commit()
            yield connection
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _evaluated(engine: Engine, batch: Batch, at: int) -> tuple[Changes, float]:
    began = time.perf_counter()
    return engine.apply(batch, at), time.perf_counter() - began


def _store_events(connection: "psycopg.Connection[Any]", batch: Batch) -> None:
    _copy(
        connection,
        "audience_events",
        EVENT_COLUMNS,
        {name: getattr(batch, name) for name, _ in EVENT_COLUMNS},
    )


def _store_changes(
    connection: "psycopg.Connection[Any]", number: int, at: int, batch: Batch, changes: Changes
) -> None:
    values = {name: getattr(changes, name) for name, _ in CHANGE_COLUMNS}
    _copy(connection, "audience_changes", CHANGE_COLUMNS, values)
    connection.execute("insert into audience_batches values (%s, %s, %s)", (number, at, int(batch.seq[-1])))
    connection.commit()


def _copy(
    connection: "psycopg.Connection[Any]",
    table: str,
    columns: "tuple[tuple[str, str], ...]",
    values: "dict[str, NDArray[Any]]",
) -> None:
    with connection.cursor() as cursor:
        with cursor.copy(f"copy new_{table} from stdin (format binary)") as copy:
            copy.write(HEADER + _rows(columns, values) + b"\xff\xff")
        cursor.execute(f"insert into {table} select * from new_{table}")


def _rows(columns: "tuple[tuple[str, str], ...]", values: "dict[str, NDArray[Any]]") -> bytes:
    """PostgreSQL's binary COPY of rows without nulls, made column by column: no loop over rows."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        fields += [(f"{name}_bytes", ">i4"), (name, f">{kind}")]
    rows = np.empty(len(values[columns[0][0]]), dtype=np.dtype(fields))
    rows["fields"] = len(columns)
    for name, kind in columns:
        rows[f"{name}_bytes"] = int(kind[1:])
        rows[name] = values[name]
    return rows.tobytes()
