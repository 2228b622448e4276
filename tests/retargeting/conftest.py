"""One house for each test, all on the session's PostgreSQL and broker; brands keep them apart."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.retargeting.house import House, house_of
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres


@pytest.fixture
async def house(
    embedded_postgres: EmbeddedPostgres, embedded_broker: EmbeddedBroker, tmp_path: Path
) -> AsyncIterator[House]:
    async with house_of(embedded_postgres, embedded_broker.bootstrap, tmp_path) as house:
        yield house


@pytest.fixture
async def door(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.door() as client:
        yield client
