"""Calls in Segment's shape become our events; a shop's own calls go on working."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.retargeting.house import House, until
from vitrin.kit.clock import system_clock
from vitrin.retargeting.collector import segment, wire


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


ORDER = {
    "type": "track",
    "messageId": "m-1",
    "event": "Order Completed",
    "anonymousId": "a-1",
    "userId": 42,
    "properties": {
        "order_id": "o-1",
        "total": "35.97",
        "currency": "EUR",
        "products": [
            {"product_id": "mug-1", "quantity": 2, "price": 12.99},
            {"sku": "cup-1", "price": "9.99"},
            {"name": "no id"},
        ],
    },
    "context": {
        "ip": "192.0.2.7",
        "page": {"url": "https://shop.example/thanks?x=1"},
        "campaign": {"name": "autumn", "source": "mail"},
        "traits": {"email": "ada@canary.example", "address": {"postalCode": "1010"}},
    },
}


async def test_a_batch_is_stored_as_our_events(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    now = system_clock()
    wrong_by = timedelta(hours=7)  # the sender's clock; what it showed when it sent puts it right
    calls = [
        {**ORDER, "timestamp": iso(now - wrong_by - timedelta(minutes=3))},
        {
            "type": "page",
            "messageId": "m-2",
            "anonymousId": "a-1",
            "properties": {"title": "Mugs", "n": {"x": 1}},
        },
        {"type": "identify", "messageId": "m-3", "userId": "42", "traits": {"email": "ada@canary.example"}},
        {
            "type": "track",
            "messageId": "m-4",
            "userId": "42",
            "event": "Played Song",
            "properties": {"song": "x"},
        },
        {"type": "screen", "messageId": "m-5", "userId": "42"},
        {"type": "track", "messageId": "m-6", "anonymousId": "a-1", "event": "Order Completed"},
        "nonsense",
    ]
    body = {"batch": calls, "sentAt": iso(now - wrong_by)}
    answer = await door.post("/v1/batch", json=body, auth=(key, ""))
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["success"], said["accepted"]) == (True, 4)
    codes = {one["index"]: one["code"] for one in said["problems"]}
    assert codes == {4: "name_unknown", 5: "order_id_missing", 6: "name_unknown"}
    async with house.consumer():
        await until(house.stored, lambda seen: len(seen) == 4)
    rows = {row.event_id: row for row in await house.rows("select * from events where brand_id = :brand")}
    order = rows["m-1"]
    assert (order.name, order.order_id, order.value_minor, order.currency) == ("purchase", "o-1", 3597, "EUR")
    assert [(i["item_id"], i["quantity"], i["price_minor"]) for i in order.items] == [
        ("mug-1", 2, 1299),
        ("cup-1", 1, 999),
    ]
    assert (order.customer_id, order.source, order.whose) == ("42", "segment", "storefront:customer:42")
    assert order.utm == {"campaign": "autumn", "source": "mail"}
    assert order.url == "https://shop.example/thanks"
    late = abs((order.received_at - order.occurred_at) - timedelta(minutes=3))
    assert late < timedelta(seconds=60)
    assert (rows["m-2"].name, rows["m-2"].properties) == ("page_view", {"title": "Mugs"})
    assert (rows["m-3"].name, rows["m-3"].custom_name) == ("custom", "identify")
    assert rows["m-3"].personal is not None
    assert (rows["m-4"].custom_name, rows["m-4"].properties) == ("Played Song", {"song": "x"})


async def test_single_calls_and_bodies_that_are_none(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    view = {"messageId": "m-1", "anonymousId": "a", "event": "product viewed", "properties": {"sku": "mug"}}
    answer = await door.post("/v1/track", json=view, auth=(key, ""))
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert (await door.post("/v1/track", json=view, auth=(key, ""))).json()["duplicate"] == 1
    page = {"messageId": "m-2", "anonymousId": "a"}
    assert (await door.post("/v1/page", json=page, auth=(key, ""))).status_code == 200
    assert (
        await door.post("/v1/identify", json={**page, "messageId": "m-3"}, auth=(key, ""))
    ).status_code == 200
    assert (await door.post("/v1/track", json=page, auth=("", ""))).status_code == 401
    for path, body in (("track", b"{"), ("track", b"[]"), ("batch", b"{}"), ("batch", b'{"batch": []}')):
        answer = await door.post(f"/v1/{path}", content=body, auth=(key, ""))
        assert (answer.status_code, answer.json()["code"]) == (422, "events_unreadable"), body


def test_every_name_is_one_of_ours_and_what_is_no_time_is_refused() -> None:
    for said, ours in segment.NAMES.items():
        call: dict[str, Any] = {
            "messageId": "m",
            "anonymousId": "a",
            "event": said.title(),
            "timestamp": "soon",
            "properties": {"order_id": "o", "lead_id": "l"},
        }
        (event,) = segment.events_of("track", json.dumps(call).encode(), received_ms=1_000)
        assert event["name"] == ours
        decoded = wire.decode(wire.encode({"events": [event]}))
        assert decoded.refused[0].code == "time_invalid"
        del event["occurred_at"]
        assert wire.decode(wire.encode({"events": [event]})).refused == {}
