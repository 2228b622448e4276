"""`CatalogService.StreamItems` over a real gRPC connection."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.catalog.support import ACTOR, NOW, Service, add_key, emptied, new_brand, serving
from vitrin.catalog.changes import Change, Verb
from vitrin.catalog.rpc import CatalogServicer
from vitrin.catalog.service_write import write_changes
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc import GrpcServer, channel, error_code
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import GrpcSettings
from vitrin.protos.catalog.v1 import catalog_pb2 as pb
from vitrin.protos.catalog.v1.catalog_pb2_grpc import CatalogServiceStub

TOKEN = "a" * 16


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres) as running:
        emptied(running.database_settings)
        yield running


@pytest.fixture(scope="module")
async def stub(service: Service) -> AsyncIterator[Any]:
    settings = GrpcSettings(service="catalog", port=0, VITRIN_SERVICE_TOKEN=TOKEN)
    server = GrpcServer(settings, [CatalogServicer(service.worker_database).add_to], TOKEN)
    await server.start()
    async with channel(f"127.0.0.1:{server.port}", TOKEN) as connection:
        yield CatalogServiceStub(connection)
    await server.stop()


async def fill(service: Service, count: int) -> BrandId:
    """`count` items, the last of them deleted."""
    brand = new_brand()
    add_key(service.database_settings, brand)
    ids = [f"i{number:03}" for number in range(count)]
    creates = [
        Change(Verb.CREATE, one, {"id": one, "title": one, "price": "1 EUR", "quantity": 2}, NOW)
        for one in ids
    ]
    for changes in (creates, [Change(Verb.DELETE, ids[-1], {}, NOW)]):
        async with service.app_database.write(brand) as tx:
            place = await service.places.of(tx, brand)
            await write_changes(tx, changes, place=place, actor=ACTOR, received_at=NOW)
    return brand


async def pages(stub: Any, **request: Any) -> list[pb.StreamItemsResponse]:
    return [page async for page in stub.StreamItems(pb.StreamItemsRequest(**request))]


async def test_a_brand_in_pages_with_its_tombstone(service: Service, stub: Any) -> None:
    brand = await fill(service, 25)
    found = await pages(stub, brand_id=str(brand), page_items=10)
    assert [len(page.items) for page in found] == [10, 10, 5]
    items = [item for page in found for item in page.items]
    assert [item.item_id for item in items] == [f"i{number:03}" for number in range(25)]
    first, last = items[0], items[-1]
    assert (first.content.title, first.content_version, first.offer_version) == ("i000", 1, 1)
    [offer] = first.offers
    assert (offer.market, offer.price.amount_minor, offer.quantity, offer.availability) == (
        "DE",
        100,
        2,
        "in_stock",
    )
    assert (last.deleted, last.content_version, last.offer_version, len(last.offers)) == (True, 2, 2, 0)
    assert not last.HasField("content")


async def test_a_cursor_goes_on_behind_its_page(service: Service, stub: Any) -> None:
    brand = await fill(service, 25)
    [first, *_] = await pages(stub, brand_id=str(brand), page_items=10)
    rest = await pages(stub, brand_id=str(brand), page_items=10, cursor=first.cursor)
    assert [item.item_id for page in rest for item in page.items] == [
        f"i{number:03}" for number in range(10, 25)
    ]


async def test_all_brands_each_once_and_resumable(service: Service, stub: Any) -> None:
    brands = [str(await fill(service, 3)) for _ in range(3)]
    found = [page for page in await pages(stub) if page.items[0].brand_id in brands]
    assert [(page.items[0].brand_id, len(page.items)) for page in found] == [
        (brand, 3) for brand in sorted(brands)
    ]
    rest = await pages(stub, cursor=found[0].cursor)
    assert [page.items[0].brand_id for page in rest if page.items[0].brand_id in brands] == sorted(brands)[1:]


@pytest.mark.parametrize(
    ("request_fields", "code"),
    [
        ({"brand_id": "x"}, "brand_invalid"),
        ({"cursor": "x"}, "cursor_invalid"),
        ({"cursor": "eyJicmFuZCI6IngiLCJpdGVtIjoiYSJ9"}, "cursor_invalid"),
    ],
)
async def test_what_cannot_be_asked(stub: Any, request_fields: dict[str, str], code: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pages(stub, **request_fields)
    assert error_code(refused.value) == code


async def test_a_brand_without_items_is_an_empty_stream(stub: Any) -> None:
    assert await pages(stub, brand_id=str(new_brand())) == []


async def test_items_by_id_as_they_are_now(service: Service, stub: Any) -> None:
    brand, other = await fill(service, 4), await fill(service, 1)
    names = ["i003", "i001", "i001", "nobody", "", "i000"]
    found = await stub.BatchGetItems(pb.BatchGetItemsRequest(brand_id=str(brand), item_ids=names))
    assert [(item.item_id, item.deleted) for item in found.items] == [
        ("i003", True),
        ("i001", False),
        ("i000", False),
    ]
    assert list(found.missing) == ["nobody", ""]
    assert found.items[1].offers[0].quantity == 2
    foreign = await stub.BatchGetItems(pb.BatchGetItemsRequest(brand_id=str(other), item_ids=["i001"]))
    assert list(foreign.missing) == ["i001"], "another brand's items are nobody's"
    assert not (await stub.BatchGetItems(pb.BatchGetItemsRequest(brand_id=str(brand)))).items


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"brand_id": "x"}, "brand_invalid"),
        ({"brand_id": str(new_brand()), "item_ids": [str(n) for n in range(501)]}, "too_many_ids"),
    ],
)
async def test_a_request_for_items_that_is_none(stub: Any, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.BatchGetItems(pb.BatchGetItemsRequest(**request_))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_code(refused.value) == code
