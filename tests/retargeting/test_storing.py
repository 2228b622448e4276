"""Rows at the consumer: each event once, with what the catalog knows; counts; sealing; origins of a brand that left."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import psycopg

from tests.retargeting.house import House, event, send, until
from vitrin.events import topics
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.db.urls import database_name, libpq_url, server_url
from vitrin.kit.grpc.client import channel
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.seal import AccountsKeys, Erased, Sealer, unpack
from vitrin.protos.catalog.v1.events_pb2 import (
    ItemChanged,
    ItemContent,
    ItemDeleted,
    Money,
    OfferChanged,
)
from vitrin.protos.retargeting.v1.events_pb2 import EventItem, StorefrontEvent, StorefrontEvents
from vitrin.retargeting.consumers import items_handler, storing_handler
from vitrin.retargeting.service.keeping import Keeping
from vitrin.retargeting.service.storing import Storing
from vitrin.retargeting.settings import SERVICE


def made(number: int, **fields: Any) -> StorefrontEvent:
    now_ms = int(system_clock().timestamp() * 1000)
    values = {"name": "view_item", "visitor_id": "v-1", "source": "server", **fields}
    return StorefrontEvent(
        event_id=values.pop("event_id", f"e-{number}"), occurred_at_ms=now_ms, received_at_ms=now_ms, **values
    )


async def hear(house: House, *events: StorefrontEvent) -> None:
    message = house.message(topics.STOREFRONT_EVENT, f"{house.brand}/0", StorefrontEvents(events=events))
    await house.hear(storing_handler(Storing(clock=house.clock)), message)


async def test_orders_refunds_and_leads_count_once_by_their_own_ids(house: House) -> None:
    await hear(house, made(1, name="purchase", order_id="o-1"), made(2, name="purchase", order_id="o-1"))
    await hear(
        house,
        made(3, name="purchase", order_id="o-1"),
        made(4, name="refund", refund_id="o-1"),
        made(5, name="lead", lead_id="o-1"),
        made(1, name="purchase", order_id="o-2"),  # another order counts, whatever id its event bears
    )
    await hear(house, made(6, name="refund", refund_id="o-1"), made(7), made(7))
    await hear(house, made(7), made(8))
    assert await house.stored() == ["e-1", "e-4", "e-5", "e-1", "e-7", "e-8"]
    keys = await house.rows(
        "select name, business_key, event_id from event_business_keys where brand_id = :brand"
    )
    assert sorted(tuple(row) for row in keys) == [
        ("lead", "o-1", "e-5"),
        ("purchase", "o-1", "e-1"),
        ("purchase", "o-2", "e-1"),
        ("refund", "o-1", "e-4"),
    ]


async def test_another_brand_has_ids_of_its_own(house: House) -> None:
    await hear(house, made(1))
    other = neighbour(house)
    await hear(other, made(1))
    assert await other.stored() == await house.stored() == ["e-1"]


def neighbour(house: House) -> House:
    return replace(house, brand=BrandId(new_uuid()), versions={})


def content(version: int, **fields: str) -> ItemChanged:
    return ItemChanged(content_version=version, content=ItemContent(item_id="mug", **fields))


def offer(version: int, price: int, market: str = "DE", currency: str = "EUR", **fields: Any) -> OfferChanged:
    price_ = Money(amount_minor=price, currency=currency)
    return OfferChanged(item_id="mug", market=market, offer_version=version, price=price_, **fields)


async def catalog(house: House, *parts: Any) -> None:
    named = [(topics.OFFER if isinstance(p, OfferChanged) else topics.ITEM, p) for p in parts]
    await house.hear(items_handler, *(house.message(topic, "k", part) for topic, part in named))


async def items_of(house: House, number: int, **fields: Any) -> Any:
    await hear(house, made(number, items=[EventItem(item_id="mug", quantity=2)], **fields))
    rows = await house.rows(
        "select items from events where brand_id = :brand and event_id = :id", id=f"e-{number}"
    )
    return rows[0][0][0]


async def test_an_event_has_what_the_catalog_said_of_its_items(house: House) -> None:
    await house.new_key()
    assert await items_of(house, 1) == {"item_id": "mug", "quantity": 2, "unknown": True}
    changed = content(2, item_group_id="mugs", brand="Holm", product_type="Cups")
    await catalog(house, offer(3, 1299, availability="in_stock"), changed, content(1, brand="old"))
    whole = {
        "item_id": "mug",
        "quantity": 2,
        "group_id": "mugs",
        "brand": "Holm",
        "product_type": "Cups",
        "catalog_price_minor": 1299,
        "catalog_currency": "EUR",
        "availability": "in_stock",
    }
    assert await items_of(house, 2) == whole
    await catalog(house, offer(2, 1), offer(1, 1499, market="US", currency="USD", availability="in_stock"))
    assert await items_of(house, 3) == whole
    in_dollars = await items_of(house, 4, currency="USD")
    assert (in_dollars["catalog_price_minor"], in_dollars["catalog_currency"]) == (1499, "USD")
    now = system_clock()
    sale = offer(
        4,
        1299,
        sale_price=Money(amount_minor=999, currency="EUR"),
        sale_start_us=to_us(now - timedelta(hours=1)),
        sale_end_us=to_us(now + timedelta(hours=1)),
    )
    await catalog(house, sale)
    assert (await items_of(house, 5))["catalog_price_minor"] == 999
    await catalog(
        house, ItemDeleted(item_id="mug", content_version=3, offer_version=4), offer(4, 5), content(2)
    )
    assert (await items_of(house, 6))["unknown"] is True
    await catalog(house, content(4, brand="Holm"))
    assert await items_of(house, 7) == {"item_id": "mug", "quantity": 2, "brand": "Holm"}


async def test_items_that_a_page_names_by_the_shops_variant(house: House) -> None:
    """Mapped as the event is stored; two shops of the brand that may mean it leave it unknown."""
    await house.new_key()
    named = EventItem(item_id="variant:77", quantity=1)

    async def stored_as(number: int) -> Any:
        await hear(house, made(number, items=[named]))
        rows = await house.rows(
            "select items from events where brand_id = :brand and event_id = :id", id=f"e-{number}"
        )
        return rows[0][0][0]

    assert await stored_as(1) == {"item_id": "variant:77", "quantity": 1, "unknown": True}
    await catalog(house, content(1, brand="Holm", shop_variant_id="77"))
    assert await stored_as(2) == {"item_id": "mug", "quantity": 1, "brand": "Holm"}
    twin = ItemChanged(content_version=1, content=ItemContent(item_id="cup", shop_variant_id="77"))
    await catalog(house, twin)
    assert (await stored_as(3))["unknown"] is True
    await catalog(house, content(2, brand="Holm", shop_variant_id="78"))
    assert (await stored_as(4))["item_id"] == "cup"


async def test_health_and_listing(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    headers = {"Authorization": f"Bearer {key}"}
    await send(door, key, *(event(number, items=[{"item_id": f"mug-{number % 3}"}]) for number in range(5)))
    await send(
        door, key, event(1), event(9, name="nope"), event(10, currency="XXX"), event(11, name="search")
    )
    async with house.consumer():
        await until(house.stored, lambda seen: len(seen) == 6)
        await house.hear(
            storing_handler(Storing(clock=house.clock)),
            house.message(topics.STOREFRONT_EVENT, "k", StorefrontEvents(events=[made(1, event_id="e-1")])),
        )

        async def health() -> Any:
            return (await door.get("/v1/event_health", headers=headers)).json()

        def complete(seen: Any) -> bool:
            return sum(one["accepted"] for one in seen["data"]) == 6 and len(seen["data"]) == 3

        seen = await until(health, complete)
    by_name = {one["name"]: one for one in seen["data"]}
    views = by_name["view_item"]
    assert (views["accepted"], views["stored"], views["duplicate"], views["repeated"]) == (5, 5, 1, 1)
    assert views["refused_by_code"] == {"currency_unknown": 1}
    assert by_name[""]["refused_by_code"] == {"name_unknown": 1}
    assert by_name["search"]["newest_at"] is not None
    unknown = {one["item_id"]: one["events"] for one in seen["unknown_items"]}
    assert unknown == {"mug-0": 2, "mug-1": 3, "mug-2": 1}
    page = (await door.get("/v1/events", params={"limit": 4, "order": "oldest"}, headers=headers)).json()
    rest = {"limit": 4, "order": "oldest", "cursor": page["next_cursor"]}
    more = (await door.get("/v1/events", params=rest, headers=headers)).json()
    arrivals = [one["arrival"] for one in page["data"] + more["data"]]
    assert len(arrivals) == 6
    assert arrivals == sorted(arrivals)
    later = {"order": "oldest", "cursor": more["next_cursor"]}
    assert (await door.get("/v1/events", params=later, headers=headers)).json() == {
        "data": [],
        "next_cursor": None,
    }
    found = (await door.get("/v1/events", params={"name": "search"}, headers=headers)).json()["data"]
    assert [one["event_id"] for one in found] == ["e-11"]
    other = {"Authorization": f"Bearer {await neighbour(house).new_key()}"}
    assert (await door.get("/v1/events", headers=other)).json()["data"] == []
    wrong = {"cursor": "x"}, {"name": "nope"}, {"event_id": "a\0"}
    refused = [(await door.get("/v1/events", params=params, headers=headers)).status_code for params in wrong]
    assert refused == [400, 422, 422]


async def test_personal_fields_are_sealed_for_whom_they_belong_to(
    house: House, door: httpx.AsyncClient
) -> None:
    key = await house.new_key()
    user = {"email": "ada@canary.example", "ip": "192.0.2.1"}
    house.accounts.erased.add(f"{house.brand} storefront:customer:gone")
    await send(
        door,
        key,
        event(1, user=user, customer_id="c-1"),
        event(2, user=user),
        event(3, user={"ip": "192.0.2.1"}),
        event(4, user=user, customer_id="gone"),
        event(5),
    )
    async with house.consumer():
        await until(house.stored, lambda seen: len(seen) == 5)
    rows = await house.rows("select event_id, whose, personal from events where brand_id = :brand")
    found = {row.event_id: row for row in rows}
    assert {name: row.whose for name, row in found.items()} == {
        "e-1": "storefront:customer:c-1",
        "e-2": "storefront:visitor:v-2",
        "e-3": "",
        "e-4": "",
        "e-5": "",
    }
    assert {name for name, row in found.items() if row.personal is None} == {"e-4", "e-5"}
    accounts = channel(f"127.0.0.1:{house.accounts_port}", "a-service-token-of-the-tests")
    sealer = Sealer(AccountsKeys(accounts))
    for name, expected in (("e-1", user), ("e-2", user), ("e-3", {"ip": "192.0.2.1"})):
        opened = await sealer.open(
            house.brand, unpack(bytes(found[name].personal)), context=topics.STOREFRONT_EVENT
        )
        assert not isinstance(opened, Erased)
        assert dict(opened) == expected
    await accounts.close()


async def test_a_brand_that_left_gets_no_rows(house: House) -> None:
    await hear(house, made(1))
    await house.new_key(deleted=True)
    await hear(house, made(2))
    assert await house.stored() == ["e-1"]


async def test_ids_go_by_their_age(house: House) -> None:
    await hear(house, made(1))
    address = server_url(house.database).set(database=database_name(SERVICE))
    with psycopg.connect(libpq_url(address), autocommit=True) as admin:
        admin.execute(
            "insert into event_ids select %s, 'old-' || n, now() - interval '92 days' from generate_series(1, 6000) n",
            (house.brand,),
        )
    runtime = house.runtime("worker")
    assert await Keeping(database=runtime.worker, clock=house.clock).sweep() >= 6_000
    await runtime.close()
    assert [
        row.event_id for row in await house.rows("select event_id from event_ids where brand_id = :brand")
    ] == ["e-1"]
