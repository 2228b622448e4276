"""Row-level security of accounts' tables, as the app role sees them without any brand in the query."""

from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from tests.accounts.conftest import Shop
from vitrin.accounts import models
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId

TABLES = (models.brands, models.api_keys, models.connections, models.audit_entries)


async def test_without_a_brand_there_are_no_rows(shop: Shop, database: AppDatabase) -> None:
    await shop.connect()
    async with database.lookup() as session:
        for table in TABLES:
            assert await session.all(select(table)) == []


async def test_a_query_without_a_filter_shows_the_own_brand_only(
    shop: Shop, other: Shop, database: AppDatabase
) -> None:
    await shop.connect()
    await other.connect()
    async with database.read(BrandId(UUID(shop.id))) as session:
        for table in TABLES:
            brands = {str(row.brand_id) for row in await session.all(select(table))}
            assert brands == {shop.id}


async def test_a_row_of_another_brand_cannot_be_written(
    shop: Shop, other: Shop, database: AppDatabase
) -> None:
    row = {
        "audit_id": UUID(int=1),
        "brand_id": UUID(other.id),
        "at": system_clock(),
        "actor": "x",
        "action": "x",
        "subject": "x",
    }
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.write(BrandId(UUID(shop.id))) as tx:
            await tx.execute(insert(models.audit_entries).values(row))


async def test_a_lookup_shows_one_key_and_its_brand(shop: Shop, other: Shop, database: AppDatabase) -> None:
    key_id = shop.live.split("_")[2]
    async with database.lookup() as session:
        await session.execute(text("select set_config('app.lookup_key', :key, true)"), {"key": key_id})
        assert [row.key_id for row in await session.all(select(models.api_keys))] == [key_id]
        assert [str(row.brand_id) for row in await session.all(select(models.brands))] == [shop.id]
        assert await session.all(select(models.connections)) == []


async def test_the_worker_cannot_read_tokens(accounts_settings: AccountsSettings, shop: Shop) -> None:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    try:
        with pytest.raises(DBAPIError, match="permission denied"):
            async with worker.read([BrandId(UUID(shop.id))]) as session:
                await session.all(select(models.connections))
    finally:
        await worker.close()
