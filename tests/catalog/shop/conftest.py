"""One migrated database with the table of effects; a house per test, each with a brand and a spool of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.shop.house import House, house_of, prepared
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.settings import DatabaseSettings


@pytest.fixture(scope="session")
def shop_database(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    return prepared(embedded_postgres)


@pytest.fixture
async def house(shop_database: DatabaseSettings, tmp_path: Path) -> AsyncIterator[House]:
    async with house_of(shop_database, tmp_path) as made:
        yield made
