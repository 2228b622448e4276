"""The I/O halves of the shops against small servers over a real socket: what paging, ranges and refusals do."""

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.kit.serving import serving
from tests.platforms import shop_payloads as data
from tests.platforms.test_shop_rules import bulk_lines
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.settings import HttpSettings
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import ShopProduct, ShopSource

SINCE = datetime(2024, 5, 1, 12, tzinfo=UTC)
SHOP_ANSWER = {"shop": {"id": "gid://shopify/Shop/9", "name": "Acme", "currencyCode": "EUR"}}


class Shopify:
    """Answers by the first field of the query; stores one bulk result."""

    def __init__(self) -> None:
        self.file = b""
        self.ranges = True
        self.file_status = 200
        self.asked: list[dict[str, Any]] = []
        self.stored: list[dict[str, str]] = []
        self.answers: dict[str, list[Any]] = {}
        self.base = ""

    async def graphql(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        self.asked.append(asked)
        assert request.headers["x-shopify-access-token"] == "shpat_1"
        field = asked["query"].split("{", 1)[1].split("(")[0].split("{")[0].strip()
        waiting = self.answers.get(field, [])
        answer = waiting.pop(0) if waiting else {}
        if isinstance(answer, Response):
            return answer
        answer = SHOP_ANSWER if field == "shop" else answer
        return JSONResponse(answer if "errors" in answer else {"data": answer})

    async def storage(self, request: Request) -> Response:
        self.stored.append(dict(request.headers))
        if self.file_status != 200:
            return Response(status_code=self.file_status)
        if not self.ranges:
            return Response(self.file)
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        part = self.file[first : last + 1]
        said = {"content-range": f"bytes {first}-{first + len(part) - 1}/{len(self.file)}"}
        return Response(part, 206, headers=said)


@pytest.fixture
def shopify() -> Shopify:
    return Shopify()


@pytest.fixture
async def source(shopify: Shopify) -> AsyncIterator[ShopSource]:
    app = Starlette(
        routes=[
            Route("/admin/api/2026-07/graphql.json", shopify.graphql, methods=["POST"]),
            Route("/result", shopify.storage),
        ]
    )
    async with (
        serving(app, HttpSettings(service="test")) as client,
        PlatformHttp(rate_factor=1_000.0) as http,
    ):
        shopify.base = str(client.base_url).rstrip("/")
        yield SHOPS["shopify"].open_shop(
            http=http,
            access_token="shpat_1",
            external_ids={"shop": "acme.myshopify.com"},
            base_url=shopify.base,
        )


def operation(shopify: Shopify, **fields: Any) -> dict[str, Any]:
    node = {
        "id": "gid://shopify/BulkOperation/5",
        "status": "COMPLETED",
        "objectCount": "12",
        "url": f"{shopify.base}/result",
        "createdAt": "2026-01-02T03:04:05Z",
    }
    return {"node": {**node, **fields}}


async def loaded(source: ShopSource, handle: str) -> list[ShopProduct]:
    found: list[ShopProduct] = []
    cursor: str | None = None
    while True:
        page = await source.load_page(handle, cursor)
        found += page.products
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_bulk_result_is_read_in_windows(shopify: Shopify, source: ShopSource, ranges: bool) -> None:
    shopify.file, shopify.ranges = bulk_lines(3_000), ranges
    shopify.answers["node"] = [operation(shopify) for _ in range(10)]
    found = await loaded(source, "5")
    assert [product.product_id for product in found] == [str(number) for number in range(1, 3_001)]
    assert len(shopify.stored) == 2
    assert all("x-shopify-access-token" not in headers for headers in shopify.stored)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_result_that_is_gone_is_said_so(shopify: Shopify, source: ShopSource, status: int) -> None:
    shopify.file_status = status
    shopify.answers["node"] = [operation(shopify), operation(shopify, status="EXPIRED"), {"node": None}]
    for _ in range(3):
        with pytest.raises(PlatformFailure) as gone:
            await source.load_page("5", None)
        assert gone.value.code == "load_gone"


async def test_an_empty_shop_has_no_result_to_read(shopify: Shopify, source: ShopSource) -> None:
    shopify.answers["node"] = [operation(shopify, url=None, objectCount="0")]
    page = await source.load_page("5", None)
    assert (page.products, page.levels, page.cursor) == ((), (), None)
    assert shopify.stored == []


async def test_a_load_that_runs_already_is_joined(shopify: Shopify, source: ShopSource) -> None:
    started = {
        "bulkOperation": {"id": "gid://shopify/BulkOperation/5", "status": "CREATED"},
        "userErrors": [],
    }
    shopify.answers["currentBulkOperation"] = [{"currentBulkOperation": None}]
    shopify.answers["bulkOperationRunQuery"] = [{"bulkOperationRunQuery": started}]
    state = await source.start_load()
    assert (state.handle, state.state) == ("5", "running")
    ours = {
        "id": "gid://shopify/BulkOperation/5",
        "status": "RUNNING",
        "objectCount": "7",
        "query": shopify.asked[-1]["variables"]["query"],
    }
    shopify.answers["currentBulkOperation"] = [{"currentBulkOperation": ours}]
    state = await source.start_load()
    assert (state.handle, state.objects) == ("5", 7)
    foreign = {**ours, "query": "{ orders }"}
    refused = {"userErrors": [{"message": "A bulk query operation is already in progress", "code": "X"}]}
    shopify.answers["currentBulkOperation"] = [{"currentBulkOperation": foreign}] * 2
    shopify.answers["bulkOperationRunQuery"] = [{"bulkOperationRunQuery": refused}]
    with pytest.raises(PlatformFailure) as busy:
        await source.start_load()
    assert (busy.value.kind, busy.value.code) == (FailureKind.THROTTLED, "load_busy")


async def test_a_failed_load_says_why(shopify: Shopify, source: ShopSource) -> None:
    shopify.answers["node"] = [operation(shopify, status="FAILED", errorCode="ACCESS_DENIED")]
    state = await source.load_state("5")
    assert (state.state, state.failure) == ("failed", "ACCESS_DENIED")


def graph_product(*, more: bool, variant: int, levels_more: bool = False) -> dict[str, Any]:
    rows = [json.loads(line) for line in bulk_lines(1).splitlines()]
    body = deepcopy(rows[0])
    one = next(row for row in rows if row.get("price"))
    level = next(row for row in rows if row.get("quantities"))
    one["id"] = f"gid://shopify/ProductVariant/{variant}"
    pages = {"hasNextPage": levels_more, "endCursor": "L"}
    one["inventoryItem"]["inventoryLevels"] = {"nodes": [level], "pageInfo": pages}
    body["variants"] = {"nodes": [one], "pageInfo": {"hasNextPage": more, "endCursor": "V"}}
    return {"product": body}


async def test_a_product_is_read_over_all_its_pages(shopify: Shopify, source: ShopSource) -> None:
    shopify.answers["product"] = [
        graph_product(more=True, variant=21, levels_more=True),
        graph_product(more=False, variant=22),
        {"product": None},
    ]
    rest = graph_product(more=False, variant=1)["product"]["variants"]["nodes"][0]["inventoryItem"]
    shopify.answers["inventoryItem"] = [{"inventoryItem": rest}]
    found = await source.product("1")
    assert found is not None
    product, levels = found
    assert [variant.variant_id for variant in product.variants] == ["21", "22"]
    assert len(levels) == 3
    assert await source.product("1") is None


async def test_changes_are_listed_and_then_read(shopify: Shopify, source: ShopSource) -> None:
    listed = {"nodes": [{"id": "gid://shopify/Product/1", "updatedAt": "2024-05-01T12:30:00Z"}]}
    listed["pageInfo"] = {"hasNextPage": True, "endCursor": "C"}  # type: ignore[assignment]
    shopify.answers["products"] = [{"products": listed}]
    shopify.answers["product"] = [graph_product(more=False, variant=21)]
    page = await source.products_since(SINCE, None)
    assert ([one.product_id for one in page.products], page.cursor) == (["1"], "C")
    assert page.at == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    assert shopify.asked[1]["variables"]["query"] == "updated_at:>='2024-05-01T12:00:00Z'"


async def test_a_taken_address_is_the_subscription_that_is_there(
    shopify: Shopify, source: ShopSource
) -> None:
    there = {
        "id": "gid://shopify/WebhookSubscription/3",
        "topic": "INVENTORY_LEVELS_UPDATE",
        "uri": "https://a",
    }
    taken = {"userErrors": [{"field": None, "message": "Address for this topic has already been taken"}]}
    shopify.answers["webhookSubscriptionCreate"] = [{"webhookSubscriptionCreate": taken}]
    shopify.answers["webhookSubscriptions"] = [{"webhookSubscriptions": {"nodes": [there]}}]
    made = await source.subscribe("inventory_levels/update", "https://a", "")
    assert (made.subscription_id, made.topic) == ("3", "inventory_levels/update")
    gone = {"userErrors": [{"message": "Webhook subscription does not exist"}]}
    shopify.answers["webhookSubscriptionDelete"] = [{"webhookSubscriptionDelete": gone}]
    await source.unsubscribe("3")


async def test_errors_in_a_200_are_failures(shopify: Shopify, source: ShopSource) -> None:
    denied = {"errors": [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}]}
    shopify.answers["locations"] = [denied, {"locations": {"nodes": [{"id": "x"}]}}]
    with pytest.raises(PlatformFailure) as refused:
        await source.locations()
    assert refused.value.kind is FailureKind.PERMISSION
    with pytest.raises(PlatformFailure) as unreadable:
        await source.locations()
    assert unreadable.value.code == "unreadable_answer"


class Woo:
    """Products by id, cut by `offset`; deletes what it is told to before it answers the next page."""

    def __init__(self) -> None:
        self.products = {number: data.changed(data.WOO_PRODUCT, id=number) for number in range(1, 201)}
        self.deletes: list[list[int]] = []
        self.orders: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []

    async def serve(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/wp-json/wc/v3/")
        query = request.query_params
        self.asked.append((path, request.url.query))
        assert request.headers["authorization"].startswith("Basic ")
        if path == "settings/general":
            return JSONResponse([{"id": "woocommerce_currency", "value": "EUR"}])
        if path == "orders":
            return JSONResponse(self._changed(query))
        if path.endswith("/variations"):
            start = int(query["offset"])
            return JSONResponse([data.WOO_VARIATION][start:])
        if path.startswith("products/"):
            return JSONResponse({"code": "woocommerce_rest_product_invalid_id", "message": "No."}, 404)
        if self.deletes and "offset" in query:
            for number in self.deletes.pop(0):
                del self.products[number]
        rows = [self.products[number] for number in sorted(self.products)]
        start = int(query.get("offset", "0"))
        headers = {"x-wp-total": str(len(rows))}
        return JSONResponse(rows[start : start + int(query["per_page"])], headers=headers)

    def _changed(self, query: Any) -> list[dict[str, Any]]:
        rows = [one for one in self.orders if one["date_modified_gmt"] > query["modified_after"]]
        rows.sort(key=lambda one: (one["date_modified_gmt"], one["id"]))
        size, page = int(query["per_page"]), int(query["page"])
        return rows[(page - 1) * size : page * size]


@pytest.fixture
def woo() -> Woo:
    return Woo()


@pytest.fixture
async def store(woo: Woo) -> AsyncIterator[ShopSource]:
    app = Starlette(
        routes=[Route("/wp-json/wc/v3/{path:path}", woo.serve, methods=["GET", "POST", "DELETE"])]
    )
    async with (
        serving(app, HttpSettings(service="test")) as client,
        PlatformHttp(rate_factor=1_000.0) as http,
    ):
        yield SHOPS["woocommerce"].open_shop(
            http=http,
            access_token="ck_1:cs_secret",
            external_ids={"store": "https://shop.example"},
            base_url=str(client.base_url).rstrip("/"),
        )


@pytest.mark.parametrize(
    "deletes",
    [
        [],
        [[], [1, 2, 3]],
        [[], [50], [99, 100]],
        [[], list(range(1, 51)), [], []],
        [[], list(range(10, 120)), []],
        [[], [], [], list(range(1, 201))],
    ],
)
async def test_deletions_while_paging_hide_no_product(
    woo: Woo, store: ShopSource, deletes: list[list[int]]
) -> None:
    woo.deletes = deletes
    state = await store.start_load()
    assert (state.state, state.objects) == ("ready", 200)
    assert await store.load_state(state.handle) == state
    seen = [int(product.product_id) for product in await loaded(store, state.handle)]
    assert len(seen) == len(set(seen))
    assert set(seen) >= set(woo.products)
    assert all("cs_secret" not in query for _, query in woo.asked)


async def test_a_variable_product_comes_with_its_variations(woo: Woo, store: ShopSource) -> None:
    woo.products = {5: data.changed(data.WOO_PRODUCT, id=5, type="variable", variations=[795])}
    (product,) = await loaded(store, (await store.start_load()).handle)
    (variant,) = product.variants
    assert (variant.variant_id, variant.options, variant.quantity) == ("795", (("Color", "Black"),), 3)
    assert product.updated_at == datetime(2017, 3, 24, 9, tzinfo=UTC)
    assert await store.product("9") is None


async def test_changed_orders_of_one_second_are_all_read(woo: Woo, store: ShopSource) -> None:
    stamps = ["2024-05-01T11:59:59", *["2024-05-01T12:00:00"] * 250, "2024-05-01T12:00:07"]
    woo.orders = [
        data.changed(data.WOO_ORDER, id=number, date_modified_gmt=stamp)
        for number, stamp in enumerate(stamps, start=1)
    ]
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = await store.orders_since(SINCE, cursor)
        seen |= {order.order_id for order in page.orders}
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == {str(number) for number in range(2, 253)}


async def test_an_order_that_is_not_as_documented_stops_no_other(woo: Woo, store: ShopSource) -> None:
    stamp = "2024-05-01T12:00:00"
    rows = [data.changed(data.WOO_ORDER, id=number, date_modified_gmt=stamp) for number in range(1, 101)]
    woo.orders = [*rows[:98], {**rows[98], "total": 1.5}, {**rows[99], "date_created_gmt": "yesterday"}]
    page = await store.orders_since(SINCE, None)
    assert len(page.orders) == 98
    assert list(page.unreadable) == ["99", "100"]
    assert page.cursor is not None, "a page that is full leads on"


async def test_a_product_that_is_not_as_documented_stops_no_load(
    shopify: Shopify, source: ShopSource, woo: Woo, store: ShopSource
) -> None:
    woo.products = {5: data.changed(data.WOO_PRODUCT, id=5, regular_price=1.5), 6: woo.products[6]}
    page = await store.load_page((await store.start_load()).handle, None)
    assert [product.product_id for product in page.products] == ["6"]
    assert list(page.unreadable) == ["5"]
    shopify.file = bulk_lines(2).replace(b'"19.99"', b'"dear"', 1)
    shopify.answers["node"] = [operation(shopify)]
    page = await source.load_page("5", None)
    assert [product.product_id for product in page.products] == ["2"]
    assert list(page.unreadable) == ["1"]
    assert {level.inventory_item_id for level in page.levels} == {"5"}
