"""How a transaction opens and ends on the wire, on the real PostgreSQL; what libpq's own trace shows of it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from psycopg import connect
from pydantic import SecretStr
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from vitrin.events.envelope import Event
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.driver import driver_connection
from vitrin.kit.db.migrate import prepare_database
from vitrin.kit.db.migration import brand_table, install_outbox
from vitrin.kit.db.session import ReadSession
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.settings import DatabaseSettings
from vitrin.protos.accounts.v1 import events_pb2

SERVICE = "driver_probe"
INSERT = text("insert into things (brand_id, name) values (:brand, :name)")
NAMES = text("select name from things order by name")


@pytest.fixture(scope="module")
def settings(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = DatabaseSettings(url=SecretStr(embedded_postgres.url), app_pool_max=2)
    prepare_database(settings, SERVICE)
    engine = create_engine(role_url(settings, SERVICE, "owner"), poolclass=pool.NullPool)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        operations.execute("create table things (brand_id uuid, name text, primary key (brand_id, name))")
        brand_table(operations, "things")
        install_outbox(operations)
    engine.dispose()
    return settings


@pytest.fixture
async def database(settings: DatabaseSettings) -> AsyncIterator[AppDatabase]:
    database = AppDatabase(
        settings=settings, service=SERVICE, clock=system_clock, wake=Wake(relay_is_here=False)
    )
    yield database
    await database.close()


@pytest.fixture
def brand() -> BrandId:
    return BrandId(new_uuid())


def a_change(brand: UUID) -> Event:
    return Event.of(
        key=str(brand),
        type="accounts.brand_changed",
        brand_id=brand,
        message=events_pb2.BrandChanged(brand_id=str(brand)),
        occurred_at=system_clock(),
        received_at=system_clock(),
    )


async def save(database: AppDatabase, brand: BrandId, event: Event) -> None:
    async with database.write(brand) as tx:
        await tx.execute(INSERT, {"brand": brand, "name": "mug"})
        tx.publish(event)


def asked(trace: Path) -> list[str]:
    """What we sent by its first words, "wait" for each Sync. libpq's lines: `time F length kind "name" "text"`."""
    found = []
    for line in trace.read_text().splitlines():
        _, sender, _, kind, *rest = line.split("\t")
        if sender == "F" and kind in {"Parse", "Query"}:
            words = re.search(r"(begin; select \w+|begin|commit|(select|insert into) \w+)", rest[0])
            found.append(words[0] if words else rest[0])
        elif sender == "F" and kind == "Sync":
            found.append("wait")
    return found


async def process_id(session: ReadSession) -> int:
    return (await driver_connection(session.connection)).info.backend_pid


async def test_a_change_with_its_event_takes_three_trips(
    database: AppDatabase, brand: BrandId, tmp_path: Path
) -> None:
    with (tmp_path / "trace").open("wb") as trace:
        async with database.write(brand) as tx:
            driver = await driver_connection(tx.connection)
            driver.pgconn.trace(trace.fileno())
            await tx.execute(INSERT, {"brand": brand, "name": "mug"})
            tx.publish(a_change(brand))
        driver.pgconn.untrace()
    assert asked(tmp_path / "trace") == [
        "begin; select set_config",
        "insert into things",
        "wait",
        "insert into outbox",
        "select pg_notify",
        "commit",
        "wait",
    ]


async def test_in_a_pipeline_of_ones_own_it_takes_two(
    database: AppDatabase, brand: BrandId, tmp_path: Path
) -> None:
    with (tmp_path / "trace").open("wb") as trace:
        async with database.write(brand) as tx:
            driver = await driver_connection(tx.connection)
            driver.pgconn.trace(trace.fileno())
            async with driver.pipeline():
                await driver.execute("insert into things (brand_id, name) values (%s, 'mug')", (brand,))
                tx.publish(a_change(brand))
        driver.pgconn.untrace()
    assert asked(tmp_path / "trace") == [
        "begin",
        "select set_config",
        "insert into things",
        "wait",
        "insert into outbox",
        "select pg_notify",
        "commit",
        "wait",
    ]


async def test_an_idle_transaction_is_ended_also_after_its_first_statement(
    settings: DatabaseSettings, embedded_postgres: EmbeddedPostgres, brand: BrandId
) -> None:
    hasty = settings.model_copy(update={"idle_transaction_timeout_ms": 50})
    database = AppDatabase(settings=hasty, service=SERVICE, clock=system_clock)
    with pytest.raises(DBAPIError, match="idle-in-transaction"):
        await stall(database, embedded_postgres.url, brand)
    await database.close()


async def stall(database: AppDatabase, server: str, brand: BrandId) -> None:
    """A process that sleeps in its transaction, until PostgreSQL has ended it (10 s at most)."""
    async with database.write(brand) as tx:
        await tx.execute(INSERT, {"brand": brand, "name": "mug"})
        ours, end = await process_id(tx), time.monotonic() + 10
        with connect(server, autocommit=True) as admin:
            query = "select 1 from pg_stat_activity where pid = %s"
            while admin.execute(query, (ours,)).fetchone() and time.monotonic() < end:
                await asyncio.sleep(0.02)
        await tx.all(NAMES)


async def test_a_transaction_that_asks_nothing_sends_nothing(
    database: AppDatabase, brand: BrandId, tmp_path: Path
) -> None:
    with (tmp_path / "trace").open("wb") as trace:
        async with database.write(brand) as tx:
            driver = await driver_connection(tx.connection)
            driver.pgconn.trace(trace.fileno())
        driver.pgconn.untrace()
    assert (tmp_path / "trace").read_text() == ""
    async with database.lookup() as session:
        assert await session.scalar(text("select current_setting('app.brand', true)")) == ""


async def test_whatever_comes_first_is_within_the_scope(database: AppDatabase, brand: BrandId) -> None:
    async with database.write(brand) as tx:
        await tx.execute(INSERT, [{"brand": brand, "name": "mug"}, {"brand": brand, "name": "cup"}])
    async with database.write(brand) as tx:
        await tx.copy_to_temp("new", {"name": "text"}, [("jug",)])
        await tx.execute(
            text("insert into things (brand_id, name) select :brand, name from new_1"), {"brand": brand}
        )
    async with database.write(brand) as tx, tx.savepoint():
        await tx.execute(INSERT, {"brand": brand, "name": "pot"})
    async with database.write(brand) as tx:
        driver = await driver_connection(tx.connection)
        async with driver.pipeline():
            await driver.execute("insert into things (brand_id, name) values (%s, 'urn')", (brand,))
    async with database.read(brand) as session:
        assert await session.connection.scalar(text("select count(*) from things")) == 5
    async with database.read(BrandId(new_uuid())) as session:
        assert await session.all(NAMES) == []
    async with database.read(brand) as session:
        driver = await driver_connection(session.connection)
        async with driver.cursor() as cursor, cursor.copy("copy (select name from things) to stdout") as copy:
            assert sorted([row[0] async for row in copy.rows()]) == ["cup", "jug", "mug", "pot", "urn"]


async def test_a_first_statement_that_is_refused_raises_itself_and_leaves_nothing(
    database: AppDatabase, brand: BrandId
) -> None:
    async with database.write(brand) as tx:
        await tx.execute(INSERT, {"brand": brand, "name": "mug"})
        before = await process_id(tx)
    with pytest.raises(IntegrityError):
        async with database.write(brand) as tx:
            await tx.execute(INSERT, {"brand": brand, "name": "mug"})
    with pytest.raises(DBAPIError, match="read-only transaction"):
        async with database.read(brand) as session:
            await session.execute(INSERT, {"brand": brand, "name": "cup"})
    async with database.read(brand) as session:
        assert [row.name for row in await session.all(NAMES)] == ["mug"]
        assert await process_id(session) == before


async def test_events_that_are_refused_take_the_change_with_them(
    database: AppDatabase, brand: BrandId
) -> None:
    foreign = a_change(new_uuid())
    with pytest.raises(DBAPIError, match="row-level security"):
        await save(database, brand, foreign)
    async with database.read(brand) as session:
        assert await session.all(NAMES) == []


async def test_a_server_that_went_away_before_the_first_statement_is_a_lost_connection(
    database: AppDatabase, embedded_postgres: EmbeddedPostgres, brand: BrandId
) -> None:
    with pytest.raises(DBAPIError) as error:
        await lose(database, embedded_postgres.url, brand)
    assert error.value.connection_invalidated
    async with database.read(brand) as one, database.read(brand) as two:
        assert await one.all(NAMES) == await two.all(NAMES) == []


async def lose(database: AppDatabase, server: str, brand: BrandId) -> None:
    async with database.write(brand) as tx:
        with connect(server) as admin:
            admin.execute("select pg_terminate_backend(%s, 10000)", (await process_id(tx),))
        await tx.execute(INSERT, {"brand": brand, "name": "mug"})
