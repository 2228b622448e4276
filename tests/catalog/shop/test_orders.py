"""Orders, refunds and privacy requests of shops: from the webhook to the event, the row and the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.shop.house import until
from tests.catalog.shop.till import (
    Till,
    at,
    shopify_order,
    shopify_product,
    shopify_refund,
    till_of,
)
from tests.catalog.support import add_key, admin_execute, new_brand, serving
from tests.platforms.shop_payloads import WOO_ORDER, changed
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.tables import TABLES
from vitrin.kit.access.tokens import KeyMode
from vitrin.kit.brand_data import BrandExport
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import ConnectionId, new_uuid
from vitrin.kit.seal import Fields
from vitrin.kit.settings import DatabaseSettings
from vitrin.platforms.registry import SHOPS

ORDER = "820982911946154508"
SHARED = Path(__file__).resolve().parents[4] / "shared/data/catalogs/shopify/orders_create_webhook.json"
ASKED = {
    "shop_domain": "acme.myshopify.com",
    "customer": {"id": 115310627314723954, "email": "jon@doe.example", "phone": None},
}


@pytest.fixture
async def till(shop_database: DatabaseSettings, tmp_path: Path) -> AsyncIterator[Till]:
    async with till_of(shop_database, tmp_path, "shopify") as made, made.keys_up():
        yield made


@pytest.fixture
async def woo(shop_database: DatabaseSettings, tmp_path: Path) -> AsyncIterator[Till]:
    async with till_of(shop_database, tmp_path, "woocommerce") as made, made.keys_up():
        yield made


class Desk:
    """The API of the brand."""

    def __init__(self, service: Any, till: Till) -> None:
        self._service, self._till = service, till

    async def get(
        self, path: str, *, owner: bool = False, brand: Any = None, mode: KeyMode = "live", **params: Any
    ) -> Any:
        return await self._asked("GET", path, owner=owner, brand=brand, mode=mode, params=params)

    async def post(self, path: str) -> Any:
        return await self._asked("POST", path, owner=True)

    async def _asked(
        self,
        method: str,
        path: str,
        *,
        owner: bool,
        brand: Any = None,
        mode: KeyMode = "live",
        params: Any = None,
    ) -> Any:
        scopes = ("catalog:read", "accounts:write") if owner else ("catalog:read",)
        brand = brand or self._till.house.brand
        key = add_key(self._service.database_settings, brand, scopes=scopes, mode=mode)
        async with self._service.client(key) as client:
            answer = await client.request(method, path, params=params)
        return answer.json() if answer.is_success else (answer.status_code, answer.json()["code"])


async def test_the_life_of_a_shopify_order(till: Till, embedded_postgres: EmbeddedPostgres) -> None:
    house = till.house
    async with house.running(), house.client() as client:
        await till.open_shop()
        assert await till.told(client, "products/create", shopify_product()) == "applied"
        early = shopify_refund(30)
        assert await till.told(client, "refunds/create", early) == "applied"
        assert till.news() == [], "its order is not known"
        created = shopify_order()
        first = await till.told(client, "orders/create", created, delivery_id="one")
        assert first == "applied"
        await till.send(client, "orders/create", created, delivery_id="one")
        assert await till.told(client, "orders/create", created) == "applied"
        assert till.news() == [("created", "refunded")], "neither twice nor under another id"
        assert await till.told(client, "orders/paid", shopify_order(5, "paid")) == "applied"
        assert await till.told(client, "orders/updated", shopify_order(3)) == "stale"
        assert await till.told(client, "orders/create", shopify_order(5)) == "stale", "of one second"
        cancelled = shopify_order(60, "paid", cancelled_at=at(60), cancel_reason="customer")
        assert await till.told(client, "orders/cancelled", cancelled) == "applied"
        assert await till.told(client, "refunds/create", early) == "stale"

    await as_events(till)
    await by_the_api(till, embedded_postgres)
    await in_the_export(till)


async def as_events(till: Till) -> None:
    house = till.house
    assert till.news() == [("created", "refunded"), ("paid",), ("cancelled",)]
    events = till.order_events()
    assert [one.version for one in events] == [1, 2, 3]
    assert [one.state for one in events] == ["open", "partially_refunded", "cancelled"]
    last = events[-1]
    assert (last.total.amount_minor, last.total.currency, last.refunded.amount_minor) == (40300, "EUR", 10000)
    assert [bool(line.item_id) for line in last.lines] == [True, False]
    opened = await till.sealer.open(house.brand, last.person, context="catalog.order.v1")
    assert isinstance(opened, Fields)
    assert (opened["email"], opened["city"], opened["landing_site"]) == (
        "jon@doe.example",
        "Linz",
        "/?fbclid=x",
    )
    plain = house.rows("select document::text from orders where brand_id = %s", house.brand)
    outbox = house.rows("select payload from outbox where brand_id = %s", house.brand)
    assert not any(b"jon@doe" in bytes(row[0]) for row in outbox)
    assert "jon@doe" not in plain[0][0]


async def by_the_api(till: Till, embedded_postgres: EmbeddedPostgres) -> None:
    async with serving(embedded_postgres, sealer=till.sealer) as service:
        desk = Desk(service, till)
        listed = await desk.get("/v1/orders", state="cancelled")
        assert [one["id"] for one in listed["data"]] == [till.order_id(ORDER)]
        assert await desk.get("/v1/orders", state="paid") == {"data": [], "next_cursor": None}
        path = f"/v1/orders/{till.order_id(ORDER)}"
        shown = await desk.get(path)
        assert (shown["state"], shown["total"], shown["refunded"]) == (
            "cancelled",
            "403.00 EUR",
            "100.00 EUR",
        )
        assert (shown["unknown_lines"], shown["cancel_reason"]) == (1, "customer")
        assert [one["news"] for one in shown["timeline"]] == [
            ["created", "refunded"],
            ["paid"],
            ["cancelled"],
        ]
        assert "person" not in shown
        assert await desk.get(path, person=True) == (403, "person_not_shown")
        assert (await desk.get(path, owner=True, person=True))["person"]["first_name"] == "Jon"
        assert len((await desk.get(path))["person_seen"]) == 1, "noted, and the refusal is not"
        assert await desk.get(path, brand=new_brand()) == (404, "order_not_found")
        assert (await desk.get(path, mode="test"))["name"] == "#9999"
        live = "update shops set mode = 'live' where brand_id = %s"
        admin_execute(service.database_settings, live, till.house.brand)
        assert await desk.get(path, mode="test") == (404, "order_not_found"), "a test key sees the sandbox"
        assert (await desk.get("/v1/orders", mode="test"))["data"] == []
        assert await desk.get("/v1/orders/nothing") == (404, "order_not_found")
        assert await desk.get("/v1/orders", cursor="x") == (400, "cursor_invalid")


async def in_the_export(till: Till) -> None:
    house = till.house
    database = AppDatabase(settings=house.database, service="catalog", clock=system_clock)
    export = BrandExport("catalog", database, TABLES, sealer=till.sealer)
    lines = [json.loads(line) async for part in export.lines(house.brand) for line in part.splitlines()]
    await database.close()
    (row,) = [one["row"] for one in lines if one.get("table") == "orders" and "row" in one]
    assert (row["person"]["email"], row["document"]["name"]) == ("jon@doe.example", "#9999")


async def test_an_order_of_woocommerce(woo: Till, embedded_postgres: EmbeddedPostgres) -> None:
    house = woo.house
    moment = {name: at(0).removesuffix("Z") for name in ("date_created_gmt", "date_modified_gmt")}
    base = changed(WOO_ORDER, currency="EUR", refunds=[], date_paid_gmt=None, status="pending", **moment)
    paid_at = at(4).removesuffix("Z")
    paid = {**base, "status": "processing", "date_modified_gmt": paid_at, "date_paid_gmt": paid_at}
    refund = {"id": 726, "total": "-10.00"}
    refunded = {**paid, "date_modified_gmt": at(9).removesuffix("Z"), "refunds": [refund]}
    later = {**refunded, "date_modified_gmt": at(20).removesuffix("Z"), "status": "cancelled"}
    async with house.running(), house.client() as client:
        await woo.open_shop()
        assert await woo.told(client, "order.updated", paid) == "applied"
        assert await woo.told(client, "order.created", base) == "stale"
        assert await woo.told(client, "order.updated", refunded) == "applied"
        assert await woo.told(client, "order.updated", later) == "applied"
        assert await woo.told(client, "order.updated", {**base, "total": "dear"}) == "dead"
        house.shop.orders = [read(later), read({**base, "id": 728})]
        house.shop.unreadable = {"729": "$.total: no amount"}
        await woo.tended()
        states = await until(house.states, lambda seen: "reconcile:order:729" in seen)
        assert states["reconcile:order:729"] == "dead"
        await until(lambda: asyncio.to_thread(woo.news), lambda seen: len(seen) == 4)
    assert woo.news() == [("created", "paid"), ("refunded",), ("cancelled",), ("created",)]
    events = woo.order_events()
    assert events[2].refunds[0].created_at_us == events[1].refunds[0].created_at_us, (
        "the first that was heard"
    )
    (said,) = house.rows(
        "select problem ->> 'message' from shop_deliveries where brand_id = %s and topic = 'reconcile'",
        house.brand,
    )
    assert said == ("The order could not be taken: $.total: no amount",)
    async with serving(embedded_postgres, sealer=woo.sealer) as service:
        desk = Desk(service, woo)
        page = await desk.get("/v1/orders", limit=1)
        rest = await desk.get("/v1/orders", limit=1, cursor=page["next_cursor"])
        assert {one["order_id"] for one in page["data"] + rest["data"]} == {"727", "728"}
        assert rest["next_cursor"] is None


def read(body: dict[str, Any]) -> Any:
    head = SHOPS["woocommerce"].read_head(
        {
            "x-wc-webhook-topic": "order.updated",
            "x-wc-webhook-signature": "x",
            "x-wc-webhook-delivery-id": "x",
        },
        b"{}",
    )
    raw = json.dumps(body).encode()
    found = SHOPS["woocommerce"].read_news(head, raw, currency="EUR", received_at=system_clock()).order
    assert found is not None
    return found


async def test_without_keys_orders_wait_and_products_go_on(
    shop_database: DatabaseSettings, tmp_path: Path
) -> None:
    async with till_of(shop_database, tmp_path, "shopify") as till:
        house = till.house
        async with house.running(), house.client() as client:
            await till.open_shop()
            name = await till.send(client, "orders/create", shopify_order())
            problem = "select problem ->> 'code', tries from shop_deliveries where brand_id = %s and delivery_id = %s"
            waiting = await until(
                lambda: asyncio.to_thread(house.rows, problem, house.brand, name),
                lambda seen: seen[:1] and seen[0][0] == "keys_away",
            )
            assert waiting == [("keys_away", 0)], "no try is counted"
            assert await till.told(client, "products/create", shopify_product()) == "applied"
            assert house.rows("select count(*) from orders where brand_id = %s", house.brand) == [(0,)]
            async with till.keys_up():
                till.clock.ahead = timedelta(seconds=10)
                due = "update shop_deliveries set due_at = now() where brand_id = %s and due_at is not null"

                async def states() -> dict[str, str]:
                    await asyncio.to_thread(admin_execute, house.database, due, house.brand)
                    await till.woken("deliveries")
                    assert house.parts is not None
                    house.parts.appliers.wake()
                    till.clock.ahead += timedelta(seconds=10)
                    return await house.states()

                await until(states, lambda seen: set(seen.values()) == {"applied"})
        assert till.news() == [("created",)]


async def test_what_waited_for_this_release_is_taken_up(till: Till) -> None:
    house = till.house
    whole, house.effects_of = house.effects_of, lambda worker, channel: products_of(till, worker, channel)
    async with house.running(), house.client() as client:
        await till.open_shop()
        body = json.loads(SHARED.read_bytes()) if SHARED.is_file() else shopify_order()
        assert await till.told(client, "orders/create", body) == "waiting"
    house.effects_of = whole
    async with house.running():
        await till.tended()
        await until(house.states, lambda seen: set(seen.values()) == {"applied"})
    assert len(till.news()) == 1
    assert till.order_events()[0].total.amount_minor == 40300


def products_of(till: Till, worker: Any, channel: Any) -> Effects:
    """Of the release before."""
    assert till.house.spec is not None
    from vitrin.catalog.shop.effects import effects_of  # noqa: PLC0415

    return Effects(effects_of(sealer=till.sealer, database=worker, clock=till.clock).products)


async def test_a_customer_asks_and_is_forgotten(till: Till, embedded_postgres: EmbeddedPostgres) -> None:
    house = till.house
    asking = {**ASKED, "orders_requested": [int(ORDER)], "data_request": {"id": 9999}}
    forgetting = {**ASKED, "orders_to_redact": [int(ORDER), 5]}
    async with (
        serving(embedded_postgres, sealer=till.sealer) as service,
        house.running(),
        house.client() as client,
    ):
        desk = Desk(service, till)
        await till.open_shop()
        assert await till.told(client, "orders/create", shopify_order(1, "paid")) == "applied"
        assert await till.told(client, "customers/data_request", asking) == "applied"
        assert await till.told(client, "customers/data_request", asking) == "applied"
        (asked,) = (await desk.get("/v1/privacy_requests", kind="export"))["data"]
        assert asked["state"] == "open"
        (notice,) = till.notices()
        assert (notice.kind, notice.cause) == ("privacy.asked", asked["id"])
        path = f"/v1/privacy_requests/{asked['id']}"
        assert await desk.get(path) == (403, "scope_missing")
        assert await desk.get(path, owner=True, brand=new_brand()) == (404, "privacy_request_not_found")
        whole = await desk.get(path, owner=True)
        assert whole["person"]["email"] == "jon@doe.example"
        assert [one["person"]["city"] for one in whole["orders"]] == ["Linz"]
        assert len((await desk.get(f"/v1/orders/{till.order_id(ORDER)}"))["person_seen"]) == 1
        assert (await desk.post(f"{path}:answered"))["state"] == "done"
        assert await desk.post(f"{path}:answered") == (409, "privacy_request_answered")
        assert len(till.notices()) == 2, "it is over"

        assert await till.told(client, "customers/redact", forgetting) == "applied"
        (erased,) = (await desk.get("/v1/privacy_requests", kind="erase"))["data"]
        assert (erased["state"], erased["receipt"]["orders"], erased["receipt"]["keys"]) == ("done", 1, 1)
        assert erased["receipt"]["last_at"] > erased["due_at"][:10]
        assert till.news()[-1] == ("erased",)
        assert not till.order_events()[-1].HasField("person")
        first = till.order_events()[0].person
        opened = await till.sealer.open(house.brand, first, context="catalog.order.v1")
        assert not isinstance(opened, Fields), "nor in what was published before"
        late = shopify_order(9, "paid", note="late")
        late["name"] = "#10000"
        assert await till.told(client, "orders/updated", late) == "applied"
        assert not till.order_events()[-1].HasField("person"), "a late webhook brings nobody back"
        shown = await desk.get(f"/v1/orders/{till.order_id(ORDER)}", owner=True, person=True)
        assert (shown["person"], shown["name"]) == (None, "#10000")
        assert (await desk.get(path, owner=True))["person"] is None


async def test_a_shop_is_forgotten_when_its_app_is_gone(
    till: Till, embedded_postgres: EmbeddedPostgres
) -> None:
    house, stop = till.house, asyncio.Event()
    redact = {"shop_id": 1, "shop_domain": "acme.myshopify.com"}
    async with house.running(), house.client() as client:
        await till.open_shop()
        assert await till.told(client, "orders/create", shopify_order(1, "paid")) == "applied"
        assert (
            await till.told(client, "orders/create", shopify_order(1, "paid", id=5, customer=None))
            == "applied"
        )
        await till.told(client, "refunds/create", {**shopify_refund(3), "id": 4, "order_id": 6})
        assert await till.told(client, "shop/redact", redact) == "stale", "the app is there: an old one"
        await till.keeping().sweep(stop)
        assert house.rows("select count(*) from orders where brand_id = %s", house.brand) == [(2,)]
        first, house.connection = house.connection, ConnectionId(new_uuid())
        await house.connect()
        await until(house.shop_state, lambda seen: seen[0] == "ready")
        house.connection, house.shop.installed = first, False
        assert await till.told(client, "shop/redact", redact) == "applied"
        before = till.order_events()
        await till.keeping().sweep(stop)
        for table in ("orders", "order_refunds_parked"):
            assert house.rows(f"select count(*) from {table} where brand_id = %s", house.brand) == [(0,)]
        opened = [
            await till.sealer.open(house.brand, one.person, context="catalog.order.v1") for one in before
        ]
        assert not any(isinstance(one, Fields) for one in opened)
        async with serving(embedded_postgres, sealer=till.sealer) as service:
            (request,) = (await Desk(service, till).get("/v1/privacy_requests"))["data"]
        assert (request["kind"], request["state"]) == ("shop_erase", "done")
        assert (request["receipt"]["orders"], request["receipt"]["keys"]) == (2, 2)


async def test_orders_are_kept_their_time_and_what_is_due_is_said_again(till: Till) -> None:
    house, stop = till.house, asyncio.Event()
    asking = {**ASKED, "orders_requested": [], "data_request": {"id": 1}}
    async with house.running(), house.client() as client:
        await till.open_shop()
        assert await till.told(client, "orders/create", shopify_order()) == "applied"
        await till.told(client, "refunds/create", {**shopify_refund(3), "order_id": 6})
        await till.told(client, "customers/data_request", asking)
        soon = system_clock() + timedelta(days=25)
        count = "select (select count(*) from orders where brand_id = %s),"
        count += " (select count(*) from order_refunds_parked where brand_id = %s)"
        await till.keeping(lambda: soon).sweep(stop)
        assert house.rows(count, house.brand, house.brand) == [(1, 1)]
        assert [one.severity for one in till.notices()][-1] > till.notices()[0].severity
        late = system_clock() + timedelta(days=401)
        await till.keeping(lambda: late).sweep(stop)
        assert house.rows(count, house.brand, house.brand) == [(0, 0)]
