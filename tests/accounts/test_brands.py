import dataclasses
from typing import Any

import httpx
import pytest

from tests.accounts.conftest import OPERATOR, Shop, brand_body
from tests.accounts.saved import audit_of, events_of, whole_text
from tests.kit.serving import serving
from vitrin.accounts.main import build_app
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.db.database import AppDatabase

AS_OPERATOR = {"Authorization": f"Bearer {OPERATOR}"}


async def test_a_brand_comes_with_its_first_keys_shown_once(
    http: httpx.AsyncClient, shop: Shop, accounts_settings: AccountsSettings
) -> None:
    assert shop.live.startswith("vk_live_")
    assert shop.test.startswith("vk_test_")
    read = (await shop.call("GET", f"/v1/brands/{shop.id}")).json()
    assert read == shop.brand
    assert (read["version"], read["has_live_connection"], read["language"]) == (1, False, "de")
    listed = (await shop.call("GET", "/v1/brands", key=shop.test)).json()
    assert listed == {"data": [read], "next_cursor": None}
    assert [(actor, action) for actor, action, *_ in audit_of(accounts_settings, shop.id)] == [
        ("operator", "brand.create"),
        ("operator", "key.create"),
        ("operator", "key.create"),
    ]
    brand, *keys = events_of(accounts_settings, shop.id)
    assert (brand.brand_id, brand.version, brand.slug) == (shop.id, 1, shop.brand["slug"])
    assert len(keys) == 2
    saved = whole_text(accounts_settings)
    for key in (shop.live, shop.test):
        assert key.rsplit("_", 1)[1] not in saved


async def test_the_same_slug_again_is_a_conflict_and_changes_nothing(
    http: httpx.AsyncClient, shop: Shop
) -> None:
    body = brand_body(slug=shop.brand["slug"], name="Another")
    answer = await http.post("/v1/brands", json=body, headers=AS_OPERATOR)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "slug_taken", "slug")
    assert (await shop.call("GET", f"/v1/brands/{shop.id}")).json()["name"] == "North & Pine"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "operator_token_wrong"),
        ({"Authorization": "Bearer wrong"}, "operator_token_wrong"),
        ({"Authorization": "Bearer ö".encode()}, "operator_token_wrong"),
    ],
)
async def test_only_the_operator_creates_brands(http: httpx.AsyncClient, headers: Any, code: str) -> None:
    answer = await http.post("/v1/brands", json=brand_body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_not_even_an_owner_key_creates_brands(shop: Shop) -> None:
    answer = await shop.call("POST", "/v1/brands", brand_body())
    assert (answer.status_code, answer.json()["code"]) == (401, "operator_token_wrong")


async def test_without_a_configured_token_nobody_does(
    accounts_settings: AccountsSettings, database: AppDatabase
) -> None:
    process = accounts_settings.process.model_copy(update={"operator_token": None})
    settings = dataclasses.replace(accounts_settings, process=process)
    async with serving(build_app(settings, database), settings.http) as client:
        for headers in ({}, {"Authorization": "Bearer None"}, AS_OPERATOR):
            answer = await client.post("/v1/brands", json=brand_body(), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "operator_token_not_configured")
            assert "VITRIN_OPERATOR_TOKEN" in answer.json()["fix"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("slug", "North", "slug_invalid"),
        ("slug", "a--b", "slug_invalid"),
        ("slug", "-a", "slug_invalid"),
        ("storefront_url", "shop.example.com", "url_invalid"),
        ("storefront_url", "javascript:alert(1)", "url_invalid"),
        ("storefront_url", "https://u:p@shop.example.com", "url_has_credentials"),
        ("storefront_url", "https://[::1", "url_invalid"),
        ("storefront_url", "https://shop.example.com:99999", "url_invalid"),
        ("default_currency", "EURO", "currency_unknown"),
        ("default_currency", "ZZZ", "currency_unknown"),
        ("default_market", "de", "market_unknown"),
        ("default_market", "ZZ", "market_unknown"),
        ("default_market", "SU", "market_unknown"),
        ("default_market", "EU", "market_unknown"),
        ("language", "xx", "language_unknown"),
        ("language", "en_US", "language_unknown"),
        ("time_zone", "Europe/Nowhere", "time_zone_unknown"),
        ("time_zone", "../../etc/passwd", "time_zone_unknown"),
    ],
)
async def test_what_the_standards_do_not_know_is_refused(
    http: httpx.AsyncClient, field: str, value: str, code: str
) -> None:
    answer = await http.post("/v1/brands", json=brand_body(**{field: value}), headers=AS_OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (400, "brand_invalid")
    errors = answer.json()["errors"]
    assert [(error["field"], error["code"]) for error in errors] == [(field, code)]
    assert errors[0]["fix"]


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "x" * 201), ("name", "a\x00b"), ("nme", "x")]
)
async def test_what_cannot_be_read_is_malformed(http: httpx.AsyncClient, field: str, value: str) -> None:
    answer = await http.post("/v1/brands", json=brand_body(**{field: value}), headers=AS_OPERATOR)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "malformed", field)


async def test_a_change_is_saved_audited_and_published_once(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    path = f"/v1/brands/{shop.id}"
    answer = await shop.call("PATCH", path, {"default_currency": "USD", "language": "de"})
    assert answer.status_code == 200
    assert (answer.json()["default_currency"], answer.json()["version"]) == ("USD", 2)
    again = await shop.call("PATCH", path, {"default_currency": "USD"})
    assert again.json() == answer.json()
    versions = [event.version for event in events_of(accounts_settings, shop.id) if hasattr(event, "slug")]
    assert versions == [1, 2]
    actor, action, subject, before, after = audit_of(accounts_settings, shop.id)[-1]
    key_id = shop.live.split("_")[2]
    assert (actor, action, subject) == (f"key:{key_id}", "brand.change", f"brand:{shop.id}")
    assert (before["default_currency"], after["default_currency"]) == ("EUR", "USD")


async def test_a_refused_change_changes_nothing(shop: Shop, accounts_settings: AccountsSettings) -> None:
    path = f"/v1/brands/{shop.id}"
    for body, status in (
        ({"name": "New", "default_currency": "nope"}, 400),
        ({"name": None}, 422),
        ({"slug": "new"}, 422),
    ):
        assert (await shop.call("PATCH", path, body)).status_code == status
    assert (await shop.call("GET", path)).json() == shop.brand
    assert len(audit_of(accounts_settings, shop.id)) == 3


async def test_another_brand_is_not_there(shop: Shop, other: Shop) -> None:
    for method, body in (("GET", None), ("PATCH", {"name": "Taken over"})):
        answer = await shop.call(method, f"/v1/brands/{other.id}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "brand_not_found")
    assert (await other.call("GET", f"/v1/brands/{other.id}")).json() == other.brand
