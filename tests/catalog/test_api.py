"""`/v1/items` and `/v1/offers:batch` over sockets: versions, refusals, isolation, limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.catalog.support import Service, add_key, admin_rows, new_brand, published, serving
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId

MUG: dict[str, Any] = {
    "id": "mug/blue",
    "title": "Mug, blue",
    "price": "24.90 EUR",
    "sale_price": "19.90 EUR",
    "quantity": 12,
    "item_group_id": "mug",
    "sku": "MUG-1",
    "gtin": "4006381333931",
    "external": {"source": "shopify", "variant_id": "77", "options": [{"name": "Color", "value": "Blue"}]},
}


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres, batch_bytes_max=200_000) as running:
        yield running


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


@pytest.fixture
async def client(service: Service, brand: BrandId) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(add_key(service.database_settings, brand)) as client:
        yield client


def stored(service: Service, brand: BrandId) -> list[tuple[object, ...]]:
    return admin_rows(
        service.database_settings,
        "select item_id, content_version, offer_version from items where brand_id = %s order by item_id",
        brand,
    )


async def test_an_item_is_created_read_changed_and_deleted(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    created = await client.post("/v1/items", json=MUG)
    assert created.status_code == 201
    body = created.json()
    assert (body["outcome"], body["content_version"], body["offer_version"]) == ("created", 1, 1)
    read = (await client.get("/v1/items/mug/blue")).json()
    assert read["price"] == "24.90 EUR"
    assert read["effective_availability"] == "in_stock"
    assert read["market"] == "DE"
    assert read["external"]["options"] == [{"name": "Color", "value": "Blue"}]
    assert read["external"]["sku"] == "MUG-1"
    patched = await client.patch("/v1/items/mug/blue", json={"quantity": 0, "color": "blue"})
    assert patched.status_code == 200
    assert (patched.json()["content_version"], patched.json()["offer_version"]) == (2, 2)
    assert patched.json()["effective_availability"] == "out_of_stock"
    same = await client.patch("/v1/items/mug/blue", json={"quantity": 0})
    assert (same.json()["outcome"], same.json()["offer_version"]) == ("unchanged", 2)
    deleted = await client.delete("/v1/items/mug/blue")
    assert (deleted.status_code, deleted.json()["outcome"]) == (200, "deleted")
    for answer in (
        await client.get("/v1/items/mug/blue"),
        await client.delete("/v1/items/mug/blue"),
        await client.patch("/v1/items/mug/blue", json={"color": "red"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "item_unknown")
    assert stored(service, brand) == [("mug/blue", 3, 3)]
    again = await client.post("/v1/items", json=MUG)
    assert (again.json()["content_version"], again.json()["offer_version"]) == (4, 4)
    kinds = [event.type.removeprefix("catalog.") for event in published(service.database_settings, brand)]
    assert kinds == [
        *("item_changed", "offer_changed"),
        *("item_changed", "offer_changed"),
        "item_deleted",
        *("item_changed", "offer_changed"),
    ]


async def test_creating_twice_is_a_conflict_that_changes_nothing(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    await client.post("/v1/items", json=MUG)
    answer = await client.post("/v1/items", json={**MUG, "title": "Other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "item_exists")
    assert (await client.get("/v1/items/mug/blue")).json()["title"] == "Mug, blue"
    assert stored(service, brand) == [("mug/blue", 1, 1)]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"price": "24.90"}, "price", "price_without_currency"),
        ({"price": "24,90 EUR"}, "price", "price_comma"),
        ({"price": "24.90 USD"}, "price", "currency_mismatch"),
        ({"price": None}, "price", "price_missing"),
        ({"quantity": -1}, "quantity", "quantity_negative"),
        ({"gtin": "4006381333932"}, "gtin", "gtin_check_digit"),
        ({"title": "x" * 10_000}, "title", "title_too_long"),
        ({"id": "x" * 101}, "id", "id_too_long"),
        ({"id": " a"}, "id", "id_blank_at_end"),
        ({"id": 7}, "id", "not_text"),
        ({"colour": "blue"}, "colour", "unknown_field"),
        ({"title": "a\u0000b"}, "title", "control_character"),
        ({"attributes": {"a\u0000": "b"}}, "attributes name", "control_character"),
        ({"occurred_at": "yesterday"}, "occurred_at", "time_invalid"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "occurred_at", "occurred_in_future"),
        ({"external": {"handle": 1}}, "external.handle", "reference_invalid"),
        ({"external": []}, "external", "not_an_object"),
        ({"external": {"options": ["x"]}}, "external.options", "options_invalid"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_written(
    service: Service,
    client: httpx.AsyncClient,
    brand: BrandId,
    *,
    change: dict[str, Any],
    field: str,
    code: str,
) -> None:
    answer = await client.post("/v1/items", json={**MUG, **change})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "item_invalid"
    assert (field, code) in [(one["field"], one["code"]) for one in problem["errors"]]
    assert all(one["message"] for one in problem["errors"])
    assert stored(service, brand) == []
    assert published(service.database_settings, brand) == []


async def test_an_item_that_no_event_can_carry_is_refused_and_nothing_changes(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    long = {f"a{n}": "x" * 10_000 for n in range(99)}
    answer = await client.post("/v1/items", json={**MUG, "attributes": long, "description": "d" * 9_000})
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["errors"]
    assert (problem["field"], problem["code"]) == ("attributes", "item_too_large")
    assert (stored(service, brand), published(service.database_settings, brand)) == ([], [])
    assert (await client.post("/v1/items", json={**MUG, "attributes": long})).status_code == 201
    entries = [{"id": "mug/blue", "description": "d" * 9_000}, {"id": "b", "title": "B", "price": "1 EUR"}]
    answer = await client.post("/v1/items:batch", json={"items": entries})
    assert [one["outcome"] for one in answer.json()["results"]] == ["refused", "created"], answer.text
    assert answer.json()["results"][0]["errors"][0]["code"] == "item_too_large"
    assert stored(service, brand) == [("b", 1, 1), ("mug/blue", 1, 1)]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"x"', b'{"id": "\\ud800"}', b"\xff\xfe", b"[" * 5000, b""]
)
async def test_a_body_that_is_no_object_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    for method, path in (("POST", "/v1/items"), ("PATCH", "/v1/items/a"), ("POST", "/v1/items:batch")):
        answer = await client.request(method, path, content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


async def test_a_batch_has_a_result_per_entry_in_order(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    await client.post("/v1/items", json=MUG)
    entries = [
        {"id": "a", "title": "A", "price": "1 EUR"},
        {"id": "mug/blue", "color": "blue"},
        {"id": "b", "title": "B", "price": "1,5 EUR"},
        {"op": "delete", "id": "never"},
        {"id": "a", "title": "A again", "price": "2 EUR"},
        "not an object",
        {"op": "empty", "id": "c"},
        {"op": "delete", "id": "x", "title": "y"},
    ]
    answer = await client.post("/v1/items:batch", json={"items": entries})
    assert answer.status_code == 200
    found = [
        (one["index"], one["id"], one["outcome"], [error["code"] for error in one["errors"]])
        for one in answer.json()["results"]
    ]
    assert found == [
        (0, "a", "created", []),
        (1, "mug/blue", "updated", []),
        (2, "b", "refused", ["price_comma"]),
        (3, "never", "refused", ["item_unknown"]),
        (4, "a", "refused", ["duplicate_id"]),
        (5, None, "refused", ["not_an_object"]),
        (6, "c", "refused", ["op_unknown"]),
        (7, "x", "refused", ["unknown_field"]),
    ]
    assert answer.json()["counts"] == {
        "created": 1,
        "updated": 1,
        "unchanged": 0,
        "deleted": 0,
        "refused": 6,
    }
    assert stored(service, brand) == [("a", 1, 1), ("mug/blue", 2, 1)]
    again = await client.post("/v1/items:batch", json={"items": entries[:2]})
    assert [one["outcome"] for one in again.json()["results"]] == ["unchanged", "unchanged"]


async def test_offers_change_price_and_stock_only(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    await client.post("/v1/items", json=MUG)
    answer = await client.post(
        "/v1/offers:batch",
        json={
            "items": [
                {"id": "mug/blue", "price": "22.90 EUR", "occurred_at": "2026-11-22T10:00:00+01:00"},
                {"id": "unknown", "quantity": 1},
                {"id": "other", "title": "x"},
            ]
        },
    )
    results = answer.json()["results"]
    assert [one["outcome"] for one in results] == ["updated", "refused", "refused"]
    assert [one["errors"][0]["code"] for one in results[1:]] == ["item_unknown", "item_unknown"]
    assert stored(service, brand) == [("mug/blue", 1, 2)]
    [offer] = [
        event.message
        for event in published(service.database_settings, brand)
        if event.type == "catalog.offer_changed"
    ][1:]
    assert (offer.price.amount_minor, offer.offer_version, offer.quantity) == (2290, 2, 12)  # type: ignore[attr-defined]


async def test_limits_of_a_batch(service: Service, client: httpx.AsyncClient, brand: BrandId) -> None:
    wrong: list[dict[str, Any]] = [{}, {"items": []}, {"items": {}}, {"items": [{}], "extra": 1}]
    for body in wrong:
        answer = await client.post("/v1/items:batch", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    many = await client.post("/v1/offers:batch", json={"items": [0] * 10_001})
    assert (many.status_code, many.json()["code"]) == (400, "batch_too_large")
    large = await client.post("/v1/items:batch", content=b" " * 200_001)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    streamed = await client.post("/v1/items:batch", content=endless())
    assert (streamed.status_code, streamed.json()["code"]) == (413, "body_too_large")
    assert stored(service, brand) == []


async def test_lists_have_filters_and_cursors(client: httpx.AsyncClient) -> None:
    entries = [
        {
            "id": f"i{number}",
            "title": f"{'Straße' if number % 2 else 'Mug'} {number}",
            "price": "1 EUR",
            "quantity": number % 3,
            "item_group_id": f"g{number // 5}",
            "status": "draft" if number == 3 else "active",
            "sku": f"S{number}",
        }
        for number in range(10)
    ]
    await client.post("/v1/items:batch", json={"items": entries})

    async def ids(**query: str | int) -> list[str]:
        answer = await client.get("/v1/items", params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["data"]]

    everything = [f"i{number}" for number in range(10)]
    assert await ids() == everything
    assert await ids(status="draft") == ["i3"]
    assert await ids(item_group_id="g1") == everything[5:]
    assert await ids(sku="S4") == ["i4"]
    assert await ids(gtin="4006381333931") == []
    assert await ids(availability="out_of_stock") == ["i0", "i3", "i6", "i9"]
    assert await ids(q="STRASSE") == ["i1", "i3", "i5", "i7", "i9"]
    assert await ids(q="%") == []
    assert await ids(updated_since="2999-01-01T00:00:00Z") == []
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/items", params=query)).json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == everything


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"cursor": "x"}, 400, "cursor_invalid"),
        ({"cursor": "eyJpdGVtIjoxfQ"}, 400, "cursor_invalid"),
        ({"limit": "0"}, 422, "malformed"),
        ({"limit": "501"}, 400, "limit_too_large"),
        ({"status": "sold"}, 422, "malformed"),
        ({"updated_since": "2026-01-01"}, 422, "malformed"),
        ({"q": "\x00"}, 400, "filter_invalid"),
        ({"sku": "\x00"}, 400, "filter_invalid"),
    ],
)
async def test_a_list_query_that_cannot_be_used(
    client: httpx.AsyncClient, query: dict[str, str], status: int, code: str
) -> None:
    answer = await client.get("/v1/items", params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_another_brands_items_are_not_there(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    await client.post("/v1/items", json=MUG)
    other = new_brand()
    async with service.client(add_key(service.database_settings, other)) as stranger:
        for answer in (
            await stranger.get("/v1/items/mug/blue"),
            await stranger.patch("/v1/items/mug/blue", json={"color": "red"}),
            await stranger.delete("/v1/items/mug/blue"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "item_unknown")
        assert (await stranger.get("/v1/items")).json()["data"] == []
        batch = await stranger.post(
            "/v1/offers:batch", json={"items": [{"id": "mug/blue", "price": "1 EUR"}]}
        )
        assert batch.json()["results"][0]["errors"][0]["code"] == "item_unknown"
        assert (await stranger.post("/v1/items", json=MUG)).status_code == 201
    assert stored(service, brand) == [("mug/blue", 1, 1)]
    assert stored(service, other) == [("mug/blue", 1, 1)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/items/%00", "not_found"),
        ("/v1/items/", "item_unknown"),
        ("/v1/items/" + "x" * 101, "item_unknown"),
    ],
)
async def test_an_id_that_cannot_be_is_not_found(client: httpx.AsyncClient, path: str, code: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("0001-01-01T00:00:00+14:00", "time_invalid"),
        ("9999-12-31T23:59:59Z", "occurred_in_future"),
        ("2026-11-22T10:00:00", "time_invalid"),
    ],
)
async def test_a_time_of_deletion_that_cannot_be_is_refused(
    client: httpx.AsyncClient, moment: str, code: str
) -> None:
    await client.post("/v1/items", json=MUG)
    answer = await client.delete("/v1/items/mug/blue", params={"occurred_at": moment})
    assert answer.status_code == 422
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert (await client.get("/v1/items/mug/blue")).status_code == 200


async def test_scopes_and_modes(service: Service) -> None:
    brand = new_brand()
    settings = service.database_settings
    reader = add_key(settings, brand, scopes=["catalog:read"], has_live_connection=True)
    tester = add_key(settings, brand, mode="test")
    async with service.client(reader) as client:
        answer = await client.post("/v1/items", json=MUG)
        assert answer.status_code == 403
        assert (await client.get("/v1/items")).status_code == 200
    async with service.client(tester) as client:
        answer = await client.post("/v1/items", json=MUG)
        assert (answer.status_code, answer.json()["code"]) == (403, "test_key_on_live_brand")
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as nobody:
        assert (await nobody.get("/v1/items")).status_code == 401
    assert stored(service, brand) == []


async def test_openapi_names_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert sorted(document["paths"]) == [
        "/v1/export",
        "/v1/imports",
        "/v1/imports/{import_id}",
        "/v1/imports/{import_id}/rows",
        "/v1/items",
        "/v1/items/{item_id}",
        "/v1/items:batch",
        "/v1/offers:batch",
        "/v1/ops/dead-letters",
        "/v1/ops/dead-letters/{letter_id}",
        "/v1/ops/dead-letters/{letter_id}/drop",
        "/v1/ops/dead-letters/{letter_id}/replay",
        "/v1/ops/parked",
        "/v1/ops/parked/{message_id}",
        "/v1/orders",
        "/v1/orders/{order}",
        "/v1/privacy_requests",
        "/v1/privacy_requests/{privacy_request_id}",
        "/v1/privacy_requests/{privacy_request_id}:answered",
        "/v1/shops",
        "/v1/shops/{connection_id}",
        "/v1/shops/{connection_id}/deliveries",
        "/v1/shops/{connection_id}/deliveries/{delivery_id}:replay",
        "/v1/shops/{connection_id}/locations",
        "/v1/shops/{connection_id}/warnings",
        "/v1/shops/{connection_id}:load",
        "/v1/webhooks/{platform}",
        "/v1/webhooks/{platform}/{connection_id}/{mark}",
    ]
    body = document["paths"]["/v1/items"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["id", "title", "price"]
    assert body["example"]["id"] == "mug/blue"


async def test_crossing_batches_of_creates_and_deletes_are_all_answered(client: httpx.AsyncClient) -> None:
    """Whoever PostgreSQL picks as the victim of a deadlock does it again; nobody is told to come back."""
    ids = [f"x{number:02}" for number in range(30)]

    async def sender(number: int) -> set[int]:
        statuses = set()
        for turn in range(8):
            half = (number + turn) % 2
            entries = [
                {"op": "delete", "id": one}
                if position % 2 == half
                else {"op": "upsert", "id": one, "title": f"{number}", "price": "1.00 EUR"}
                for position, one in enumerate(ids if number % 2 else reversed(ids))
            ]
            statuses.add((await client.post("/v1/items:batch", json={"items": entries})).status_code)
        return statuses

    assert await asyncio.gather(*(sender(number) for number in range(6))) == [{200}] * 6
