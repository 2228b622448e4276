"""Locations of shops over HTTP, and the sweep of what nobody can use any more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from tests.catalog.shop_support import items_of, level, place_of, product, shop_of, variant
from tests.catalog.support import NOW, Service, add_key, admin_execute, admin_rows, new_brand, serving
from vitrin.catalog.shop import applying
from vitrin.catalog.shop.keeping import GONE_KEEP, ShopKeeping
from vitrin.catalog.shop.values import Shop
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.platforms.shop import ShopLocation


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres) as running:
        yield running


@pytest.fixture
async def shop(service: Service) -> Shop:
    shop = shop_of(new_brand())
    levels = [level("11", 3), level("11", 4, location="L2"), level("99", 7)]
    places = [
        ShopLocation("L1", "Berlin"),
        ShopLocation("L2", "Paris"),
        ShopLocation("L3", "Closed", active=False),
    ]
    async with service.worker_database.write([shop.brand]) as tx:
        await applying.save_locations(tx, shop, places)
        await applying.apply_product(
            tx, shop, product(variant("11")), levels, place=place_of(shop.brand), received_at=NOW
        )
    return shop


@pytest.fixture
async def client(service: Service, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(add_key(service.database_settings, shop.brand)) as client:
        yield client


async def test_the_brand_chooses_what_counts(service: Service, client: httpx.AsyncClient, shop: Shop) -> None:
    url = f"/v1/shops/{shop.connection_id}/locations"
    listed = (await client.get(url)).json()
    assert listed["chosen"] is False
    assert [(one["id"], one["name"], one["counted"]) for one in listed["data"]] == [
        ("L1", "Berlin", True),
        ("L2", "Paris", True),
        ("L3", "Closed", False),
    ]
    assert items_of(service.database_settings, shop.brand)["gloves"].quantity == 7
    chosen = (await client.put(url, json={"counted": ["L2"]})).json()
    assert (chosen["chosen"], chosen["recounted"]) == (True, 1)
    assert items_of(service.database_settings, shop.brand)["gloves"].quantity == 4
    async with service.worker_database.write([shop.brand]) as tx:
        new = level("11", 50, location="L9")
        await applying.apply_stock(tx, shop, [new], place=place_of(shop.brand), received_at=NOW)
    assert items_of(service.database_settings, shop.brand)["gloves"].quantity == 4
    assert (await client.put(url, json={"counted": []})).json()["recounted"] == 1
    assert items_of(service.database_settings, shop.brand)["gloves"].quantity == 0
    assert (await client.put(url, json={"counted": None})).json()["chosen"] is False
    assert items_of(service.database_settings, shop.brand)["gloves"].quantity == 57


async def test_what_is_refused_changes_nothing(
    service: Service, client: httpx.AsyncClient, shop: Shop
) -> None:
    url = f"/v1/shops/{shop.connection_id}/locations"
    refused = await client.put(url, json={"counted": ["L1", "nowhere"]})
    assert refused.json()["code"] == "location_unknown"
    assert (await client.get(url)).json()["chosen"] is False
    unknown = await client.get(f"/v1/shops/{uuid4()}/locations")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "shop_unknown")
    async with service.client(add_key(service.database_settings, new_brand())) as other:
        assert (await other.get(url)).status_code == 404
        assert (await other.put(url, json={"counted": None})).status_code == 404


async def test_what_nobody_can_use_goes(service: Service, shop: Shop) -> None:
    settings = service.database_settings
    admin_execute(settings, "insert into markets values (%s, 'DE', 'EUR', true, now())", shop.brand)
    late = NOW + GONE_KEEP + timedelta(days=1)
    async with service.worker_database.write([shop.brand]) as tx:
        await applying.apply_product(
            tx,
            shop,
            product(variant("21"), product_id="2", handle="b"),
            (),
            place=place_of(shop.brand),
            received_at=NOW,
        )
        await applying.delete_product(tx, shop, "2", at=NOW, place=place_of(shop.brand), received_at=NOW)
    await ShopKeeping(database=service.worker_database, clock=lambda: late).sweep(asyncio.Event())
    left = "select {} from {} where brand_id = %s order by 1"
    assert admin_rows(settings, left.format("product_id", "shop_products"), shop.brand) == [("1",)]
    assert admin_rows(settings, left.format("inventory_item_id", "shop_inventory"), shop.brand) == [("i11",)]
    assert len(admin_rows(settings, left.format("location_id", "shop_stock"), shop.brand)) == 2
