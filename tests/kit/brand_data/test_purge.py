"""The rows of a brand that has left go, in every table, and nobody else's; on the real database of notify."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from vitrin.kit.brand_data import Purger
from vitrin.kit.brand_data.purge import SETTLED
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.urls import libpq_url, server_url
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import DatabaseSettings
from vitrin.notify.tables import TABLES

ROWS = {
    "told_states": 25,
    "webhook_events": 12,
    "webhook_endpoints": 1,
    "webhook_secrets": 2,
    "access_keys": 1,
}


class MovingClock:
    ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


@pytest.fixture(scope="module")
def settings(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    made = DatabaseSettings(url=SecretStr(embedded_postgres.url))
    migrate(made, "notify")
    return made


@pytest.fixture
async def worker(settings: DatabaseSettings) -> AsyncIterator[WorkerDatabase]:
    database = WorkerDatabase(settings=settings, service="notify", clock=system_clock)
    yield database
    await database.close()


@pytest.fixture
def admin(settings: DatabaseSettings) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    url = server_url(settings).set(database="vitrin_notify")
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        yield connection


def brand_with_rows(admin: psycopg.Connection[tuple[object, ...]], *, left: bool) -> BrandId:
    brand, endpoint = BrandId(uuid4()), uuid4()
    admin.execute(
        "insert into access_brands values (%s, 1, '', '', '', 'EUR', 'DE', 'de', 'UTC', false, %s)",
        (brand, left),
    )
    admin.execute(
        "insert into access_keys values (%s, %s, 1, 'secret', 'live', '', '{}', 'owner', now())",
        (brand.hex, brand),
    )
    admin.execute("insert into told_states select %s, n::text, 1, '' from generate_series(1, 25) n", (brand,))
    admin.execute(
        "insert into webhook_endpoints (brand_id, endpoint_id, url, description, event_types, ordered, enabled,"
        " created_at, created_by, updated_at)"
        " values (%s, %s, 'https://a.example', '', '{}', false, true, now(), '', now())",
        (brand, endpoint),
    )
    admin.execute(
        "insert into webhook_secrets (brand_id, endpoint_id, secret_id, key_id, nonce, ciphertext, hint, created_at)"
        " select %s, %s, gen_random_uuid(), 'k', '', '', '', now() from generate_series(1, 2)",
        (brand, endpoint),
    )
    admin.execute(
        "insert into webhook_events (created_at, event_id, brand_id, type, object_type, object_id, test, payload)"
        " select now(), gen_random_uuid(), %s, 't', 'o', 'i', false, '' from generate_series(1, 12)",
        (brand,),
    )
    return brand


def counts(admin: psycopg.Connection[tuple[object, ...]], brand: UUID) -> dict[str, int]:
    found = {}
    for table in TABLES:
        if table.brand and table.name != "brand_purges":
            row = admin.execute(f"select count(*) from {table.name} where brand_id = %s", (brand,)).fetchone()
            if row and row[0]:
                found[table.name] = int(str(row[0]))
    return found


async def test_all_rows_of_a_brand_that_left_go_twice(
    worker: WorkerDatabase, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    clock = MovingClock()
    gone, stays = brand_with_rows(admin, left=True), brand_with_rows(admin, left=False)
    before = counts(admin, stays)
    purger = Purger(worker, TABLES, clock, rows_at_once=10)
    await purger.round(asyncio.Event())
    assert counts(admin, gone) == {"access_brands": 1}
    assert counts(admin, stays) == before == {**ROWS, "access_brands": 1}
    receipt = await purger.receipt(gone)
    assert receipt is not None
    assert (receipt.counts, receipt.passes, receipt.finished_at) == (ROWS, 1, None)
    admin.execute("insert into told_states values (%s, 'late', 1, '')", (gone,))
    await purger.round(asyncio.Event())
    assert counts(admin, gone) == {"access_brands": 1, "told_states": 1}
    clock.ahead = SETTLED
    await purger.round(asyncio.Event())
    receipt = await purger.receipt(gone)
    assert receipt is not None
    assert receipt.counts == ROWS | {"told_states": 26}
    assert receipt.passes == 2
    assert receipt.finished_at is not None
    assert counts(admin, gone) == {"access_brands": 1}
    assert await purger.receipt(stays) is None


async def test_what_was_stopped_goes_on(
    worker: WorkerDatabase, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    gone, stop = brand_with_rows(admin, left=True), asyncio.Event()
    stop.set()
    purger = Purger(worker, TABLES, system_clock, rows_at_once=5)
    await purger.round(stop)
    assert counts(admin, gone) == {**ROWS, "access_brands": 1}
    await purger.round(asyncio.Event())
    assert counts(admin, gone) == {"access_brands": 1}


async def test_nobody_deletes_of_a_brand_that_stays(
    worker: WorkerDatabase, settings: DatabaseSettings, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    stays = brand_with_rows(admin, left=False)
    statement = text("select vitrin_purge('told_states', :brand, 10)")
    with pytest.raises(DBAPIError, match="has not left"):
        async with worker.write([stays]) as tx:
            await tx.execute(statement, {"brand": stays})
    app = AppDatabase(settings=settings, service="notify", clock=system_clock)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with app.write(stays) as tx:
            await tx.execute(statement, {"brand": stays})
    await app.close()
    assert counts(admin, stays) == {**ROWS, "access_brands": 1}
