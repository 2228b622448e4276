"""A brand leaves: the compacted topics end with the deletion of every item, then the rows go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.catalog.support import (
    NOW,
    Service,
    add_key,
    admin_execute,
    admin_rows,
    new_brand,
    published,
    serving,
)
from vitrin.catalog import leaving
from vitrin.catalog.leaving import Leaving
from vitrin.catalog.service_items import ItemService
from vitrin.catalog.tables import TABLES
from vitrin.kit.brand_data import Purger
from vitrin.kit.clock import system_clock
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres) as running:
        yield running


async def brand_with_items(service: Service, count: int) -> BrandId:
    brand = new_brand()
    items = [
        {"id": f"i{number:04}", "title": "T", "price": "1.00 EUR", "quantity": 1, "item_group_id": "g"}
        for number in range(count)
    ]
    async with service.client(add_key(service.database_settings, brand)) as http:
        answer = await http.post("/v1/items:batch", json={"items": items})
    assert {one["outcome"] for one in answer.json()["results"]} == {"created"}
    return brand


def rows(service: Service, brand: BrandId) -> dict[str, Any]:
    found = {
        table.name: admin_rows(
            service.database_settings, f"select count(*) from {table.name} where brand_id = %s", brand
        )[0][0]
        for table in TABLES
        if table.brand and table.name not in ("brand_purges", "outbox", "idempotency_keys")
    }
    return {name: count for name, count in found.items() if count}


async def test_every_item_is_deleted_for_all_before_its_rows_go(service: Service) -> None:
    count = leaving.ITEMS_AT_ONCE + 5
    gone, stays = await brand_with_items(service, count), await brand_with_items(service, 1)
    before = rows(service, stays)
    admin_execute(
        service.database_settings, "update access_brands set deleted = true where brand_id = %s", gone
    )
    items = ItemService(database=service.app_database, places=service.places, clock=system_clock)
    purger = Purger(
        service.worker_database, TABLES, system_clock, first=Leaving(items).delete_items, rows_at_once=100
    )
    await purger.round(asyncio.Event())
    assert rows(service, gone) == {"access_brands": 1}
    assert rows(service, stays) == before
    last: dict[tuple[str, str], Any] = {
        (event.type.partition("_")[0], event.key): event
        for event in published(service.database_settings, gone)
    }
    deletions = [event for event in last.values() if event.type.endswith("item_deleted")]
    assert len(deletions) == count
    receipt = await purger.receipt(gone)
    assert receipt is not None
    assert receipt.counts["items"] == count
    assert receipt.begun_at >= NOW
