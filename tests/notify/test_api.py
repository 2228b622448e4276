"""The HTTP door: endpoints, events, tests, refusals, tenancy."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.notify.conftest import Shop, until
from tests.notify.receiver import receiving
from vitrin.notify.domain.kinds import KINDS
from vitrin.notify.schemas_payloads import payload_model
from vitrin.notify.service.endpoints import ENDPOINTS_MAX

URL = "https://shop.example/hooks"


async def test_an_endpoint_from_its_birth_to_its_end(shop: Shop) -> None:
    made = await shop.endpoint(URL, description="ours", event_types=["item.rejected", "item.live"])
    assert made["secret"].startswith("whsec_")
    path = f"/v1/webhook_endpoints/{made['id']}"
    shown = await shop.ok("GET", path)
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert shown["event_types"] == ["item.live", "item.rejected"]
    assert (shown["enabled"], shown["disabled"], shown["ordered"], shown["failures"]) == (
        True,
        None,
        False,
        0,
    )
    assert [(one["hint"], one["expires_at"]) for one in shown["secrets"]] == [(made["secret"][-4:], None)]
    changed = await shop.ok("PATCH", path, {"enabled": False, "event_types": [], "url": f"{URL}/2"})
    assert (changed["url"], changed["event_types"], changed["enabled"]) == (f"{URL}/2", [], False)
    assert changed["disabled"]["code"] == "by_hand"
    assert changed["description"] == "ours"
    await shop.hear(shop.status("mug-1"))
    assert await shop.deliveries() == []
    await shop.ok("PATCH", path, {"enabled": True})
    await shop.hear(shop.status("mug-2"), shop.held())
    assert await shop.deliveries() == [("pending", 0)] * 2
    await shop.ok("PATCH", path, {"event_types": ["removal.held"]})
    await shop.hear(shop.status("mug-3"), shop.held("r-2"))
    assert await shop.deliveries() == [("pending", 0)] * 3
    assert (await shop.call("DELETE", path)).status_code == 204
    assert await shop.deliveries() == [("dropped", 0)] * 3
    assert await shop.rows("select 1 from webhook_secrets where brand_id = :brand") == []
    for method in ("GET", "PATCH", "DELETE"):
        answer = await shop.call(method, path, {} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_endpoint_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"url": "http://shop.example/hooks"}, 400, "url_refused", "url"),
        ({"url": "https://10.1.2.3/hooks"}, 400, "url_address_not_public", "url"),
        ({"url": "https://user:pass@shop.example/"}, 400, "url_refused", "url"),
        ({"url": "ftp://shop.example/"}, 400, "url_refused", "url"),
        ({"url": "https://[::1]:8443/x"}, 400, "url_address_not_public", "url"),
        ({"url": URL, "event_types": ["item.flown"]}, 400, "webhook_type_unknown", "event_types"),
        ({"url": URL, "color": "red"}, 422, "field_unknown", "color"),
        ({"url": URL, "ordered": None}, 422, "invalid", "ordered"),
        ({"url": URL, "description": "a\x00b"}, 422, "invalid", "description"),
        ({}, 422, "missing", "url"),
    ],
)
async def test_what_is_refused_says_why_and_leaves_nothing(
    shop: Shop, body: dict[str, Any], status: int, code: str, field: str
) -> None:
    answer = await shop.call("POST", "/v1/webhook_endpoints", body)
    problem = answer.json()
    assert (answer.status_code, problem["errors"][0]["code"]) == (status, code), problem
    assert problem["field"].endswith(field)
    assert problem["fix"]
    assert (await shop.ok("GET", "/v1/webhook_endpoints"))["data"] == []


async def test_a_change_is_checked_like_a_creation(shop: Shop) -> None:
    made = await shop.endpoint(URL)
    path = f"/v1/webhook_endpoints/{made['id']}"
    for body, status in (
        ({"url": "http://127.0.0.2/"}, 400),
        ({"url": None}, 422),
        ({"enabled": "maybe"}, 422),
    ):
        assert (await shop.call("PATCH", path, body)).status_code == status, body
    assert (await shop.ok("GET", path))["url"] == URL
    assert (await shop.call("POST", f"{path}:rotate_secret", {"overlap_h": 169})).status_code == 422


async def test_pages_and_the_limit_of_a_brand(shop: Shop) -> None:
    made = [(await shop.endpoint(f"{URL}/{number}"))["id"] for number in range(ENDPOINTS_MAX)]
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_endpoints_too_many")
    first = await shop.ok("GET", "/v1/webhook_endpoints", params={"limit": 30})
    rest = await shop.ok("GET", "/v1/webhook_endpoints", params={"limit": 30, "cursor": first["next_cursor"]})
    assert [one["id"] for page in (first, rest) for one in page["data"]] == made
    assert rest["next_cursor"] is None
    bad = await shop.call("GET", "/v1/webhook_endpoints", params={"cursor": "bm9uZQ"})
    assert (bad.status_code, bad.json()["code"]) == (400, "cursor_invalid")


async def test_events_are_listed_filtered_and_paged_without_any_endpoint(shop: Shop) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    await shop.hear(*[shop.status(f"mug-{number}") for number in range(5)])
    await shop.hear(shop.connection("active", version=1), shop.connection("refused", version=2))
    await shop.hear(shop.connection("refused", version=3), shop.connection("", version=4, deleted=True))
    found = await shop.events()
    assert [one["type"] for one in found][5:] == [
        *("connection.active", "connection.failed", "connection.removed")
    ]
    for one in found:
        payload_model(one["type"]).model_validate_json(one["body"])
    assert {one["object"]["id"] for one in await shop.events(type="connection.failed")} == {"co-1"}
    assert [one["type"] for one in await shop.events(object_id="mug-3")] == ["item.live"]
    assert len(await shop.events(since=before.isoformat())) == 8
    assert await shop.events(since=(before + timedelta(hours=1)).isoformat()) == []
    for order in ("oldest", "newest"):
        ids, cursor = [], None
        while True:
            params = {"limit": 3, "order": order} | ({"cursor": cursor} if cursor else {})
            page = await shop.ok("GET", "/v1/webhook_events", params=params)
            ids += [one["id"] for one in page["data"]]
            if not (cursor := page["next_cursor"]):
                break
        assert sorted(ids) == sorted(one["id"] for one in found)
    assert (await shop.call("GET", "/v1/webhook_events?since=2026-01-01T00:00:00")).status_code == 422
    assert (await shop.call("GET", "/v1/webhook_events?order=sideways")).status_code == 422
    assert await shop.ok("GET", f"/v1/webhook_events/{found[0]['id']}") == found[0]
    nobody = await shop.call("POST", f"/v1/webhook_events/{found[0]['id']}:replay", {})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "webhook_nobody_to_tell")


async def test_an_example_goes_the_whole_way(shop: Shop) -> None:
    stored = await shop.ok("POST", "/v1/webhook_events:test", {"type": "item.rejected"})
    assert (stored["test"], stored["deliveries"]) == (True, [])
    async with receiving() as receiver, shop.delivering():
        made = await shop.endpoint(receiver.url, event_types=["removal.held"])
        for type_ in KINDS:
            sent = await shop.ok(
                "POST", "/v1/webhook_events:test", {"type": type_, "endpoint_id": made["id"]}
            )
            assert len(sent["deliveries"]) == 1
        await receiver.until(len(KINDS))
        await until(shop.deliveries, [("delivered", 1)] * len(KINDS))
        filtered = await shop.ok("POST", "/v1/webhook_events:test", {"type": "item.live"})
        assert filtered["deliveries"] == []
    for got in receiver.got:
        payload = got.verified_by(made["secret"])
        assert (payload["test"], payload["data"]) == (True, KINDS[payload["type"]].example)
    unknown = await shop.call("POST", "/v1/webhook_events:test", {"type": "item.flown"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "webhook_type_unknown")


async def test_another_brand_sees_and_touches_nothing(shop: Shop, other: Shop) -> None:
    made = await shop.endpoint(URL)
    await shop.hear(shop.status("mug-1"))
    (event,) = await shop.events()
    endpoint, told = f"/v1/webhook_endpoints/{made['id']}", f"/v1/webhook_events/{event['id']}"
    for method, path, body in (
        ("GET", endpoint, None),
        ("PATCH", endpoint, {"enabled": False}),
        ("DELETE", endpoint, None),
        ("POST", f"{endpoint}:rotate_secret", {}),
        ("GET", f"{endpoint}/attempts", None),
        ("GET", told, None),
        ("POST", f"{told}:replay", {}),
        ("POST", f"{told}:replay", {"endpoint_id": made["id"]}),
        ("POST", "/v1/webhook_events:test", {"type": "item.live", "endpoint_id": made["id"]}),
        ("GET", f"/v1/webhook_endpoints/{uuid4()}", None),
    ):
        assert (await other.call(method, path, body)).status_code == 404, (method, path)
    assert (await other.ok("GET", "/v1/webhook_endpoints"))["data"] == []
    assert await other.events() == []
    await other.hear(other.status("mug-1"))
    assert await other.deliveries() == []
    assert await shop.deliveries() == [("pending", 0)]
    assert (await shop.ok("GET", endpoint))["enabled"]


async def test_who_may_do_what(shop: Shop) -> None:
    viewer = await shop.new_key(scopes=["webhooks:read"])
    assert (await shop.call("GET", "/v1/webhook_endpoints", key=viewer)).status_code == 200
    assert (await shop.call("GET", "/v1/webhook_types", key=viewer)).json()["data"][0]["example"]
    refused = await shop.call("POST", "/v1/webhook_endpoints", {"url": URL}, key=viewer)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert (await shop.http.get("/v1/webhook_events")).status_code == 401
    test = await shop.new_key(mode="test")
    assert (await shop.call("POST", "/v1/webhook_endpoints", {"url": URL}, key=test)).status_code == 201
    live_brand = await shop.new_key(mode="test", live=True)
    for method, path in (("GET", "/v1/webhook_events"), ("POST", "/v1/webhook_endpoints")):
        answer = await shop.call(method, path, {"url": URL} if method == "POST" else None, key=live_brand)
        assert (answer.status_code, answer.json()["code"]) == (403, "test_key_on_live_brand")


async def test_the_document_describes_every_webhook(shop: Shop) -> None:
    document = (await shop.http.get("/openapi.json")).json()
    assert set(document["webhooks"]) == set(KINDS)
    schemas = document["components"]["schemas"]
    body = document["webhooks"]["item.live"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "ItemData" in str(schemas[body["$ref"].rsplit("/", 1)[1]])


async def test_a_creation_that_is_repeated_with_its_key_is_one(shop: Shop) -> None:
    """Also its secret is shown again: whoever lost the answer has it."""
    body, headers = {"url": URL}, {"Idempotency-Key": "first-endpoint"}
    first = await shop.ok("POST", "/v1/webhook_endpoints", body, headers=headers)
    assert await shop.ok("POST", "/v1/webhook_endpoints", body, headers=headers) == first
    assert len((await shop.ok("GET", "/v1/webhook_endpoints"))["data"]) == 1
    other = await shop.call("POST", "/v1/webhook_endpoints", {"url": f"{URL}/2"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
