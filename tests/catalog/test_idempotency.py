"""Idempotency keys in the catalog: an item, a batch and an uploaded file each happen once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.catalog.support import Service, add_key, admin_execute, admin_rows, new_brand, published, serving
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId

FEED = "id,title,price,quantity\n" + "".join(f"i{number},Item,1.00 EUR,3\n" for number in range(20))
KEY = {"Idempotency-Key": "once"}


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres) as running:
        yield running


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


@pytest.fixture
async def client(service: Service, brand: BrandId) -> AsyncIterator[httpx.AsyncClient]:
    admin_execute(
        service.database_settings, "delete from imports"
    )  # the loop takes the oldest, whoever's it is
    async with service.client(add_key(service.database_settings, brand)) as client:
        yield client
    for table in ("imports", "import_chunks"):
        admin_execute(service.database_settings, f"delete from {table} where brand_id = %s", brand)


async def test_an_item_is_created_once(service: Service, client: httpx.AsyncClient, brand: BrandId) -> None:
    body = {"id": "mug", "title": "Mug", "price": "24.90 EUR"}
    first = await client.post("/v1/items", json=body, headers=KEY)
    again = await client.post("/v1/items", json=body, headers=KEY)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(published(service.database_settings, brand)) == 2
    without = await client.post("/v1/items", json=body)
    assert (without.status_code, without.json()["code"]) == (409, "item_exists")
    other = await client.post("/v1/items", json=body | {"id": "cup"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_batch_of_several_transactions_is_one_with_a_key(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    items: list[dict[str, Any]] = [
        {"id": f"i{number}", "title": "Item", "price": "1.00 EUR"} for number in range(1_500)
    ]
    first = await client.post("/v1/items:batch", json={"items": [*items, {"id": "bad"}]}, headers=KEY)
    again = await client.post("/v1/items:batch", json={"items": [*items, {"id": "bad"}]}, headers=KEY)
    outcomes = [one["outcome"] for one in first.json()["results"]]
    assert (outcomes.count("created"), outcomes.count("refused")) == (1_500, 1)
    assert again.content == first.content
    assert admin_rows(service.database_settings, "select count(*) from items where brand_id = %s", brand) == [
        (1_500,)
    ]
    assert len(published(service.database_settings, brand)) == 3_000


async def test_a_file_is_imported_once(service: Service, client: httpx.AsyncClient, brand: BrandId) -> None:
    async def upload(content: str, **query: str) -> httpx.Response:
        headers = {"content-type": "text/csv", **KEY}
        return await client.post("/v1/imports", content=content, params=query, headers=headers)

    first = await upload(FEED)
    again = await upload(FEED)
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    for content, query in ((FEED + "x,X,1.00 EUR,1\n", {}), (FEED, {"format": "common"})):
        other = await upload(content, **query)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    states = admin_rows(
        service.database_settings,
        "select state, problem ->> 'code' from imports where brand_id = %s order by import_id",
        brand,
    )
    assert states == [
        ("staged", None),
        ("aborted", "upload_repeated"),
        ("aborted", "idempotency_key_reused"),
        ("aborted", "idempotency_key_reused"),
    ]
    assert await service.loop().work_once(asyncio.Event())
    done = (await client.get(f"/v1/imports/{first.json()['id']}")).json()
    assert done["state"] == "done"
    assert (await upload(FEED)).content == first.content


async def test_of_two_uploads_at_once_one_is_staged(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    headers = {"content-type": "text/csv", **KEY}
    answers = await asyncio.gather(
        *(client.post("/v1/imports", content=FEED, headers=headers) for _ in range(3))
    )
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    staged = admin_rows(
        service.database_settings, "select state from imports where brand_id = %s and state = 'staged'", brand
    )
    assert len(staged) == 1


async def test_an_address_is_accepted_once(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    body = {"url": "https://feeds.example/catalog.csv"}
    first = await client.post("/v1/imports", json=body, headers=KEY)
    again = await client.post("/v1/imports", json=body, headers=KEY)
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    other = await client.post("/v1/imports", json=body | {"format": "shopify"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    refused = await client.post(
        "/v1/imports", json={"url": "http://10.0.0.1/"}, headers=KEY | {"Idempotency-Key": "b"}
    )
    assert refused.status_code >= 400
    rows = admin_rows(service.database_settings, "select state from imports where brand_id = %s", brand)
    assert rows == [("fetching",)]
