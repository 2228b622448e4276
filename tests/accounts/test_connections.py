import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.accounts.conftest import MovingClock, Shop
from tests.accounts.saved import audit_of, events_of, whole_text
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.protos.accounts.v1 import events_pb2

SECRET = "EAAB-very-secret-platform-token"


def connection_events(settings: AccountsSettings, shop: Shop) -> list[Any]:
    found = events_of(settings, shop.id)
    return [event for event in found if isinstance(event, events_pb2.ConnectionChanged)]


async def test_a_sandbox_connection_takes_the_brands_defaults(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    answer = await shop.connect(access_token=SECRET, external_ids={"catalog_id": "77"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["base_url"] == "http://127.0.0.1:8090/graph.facebook.com/v26.0"
    assert (made["market"], made["language"], made["currency"]) == ("DE", "de", "EUR")
    assert (made["state"], made["id_template"], made["version"]) == ("active", "{id}", 1)
    assert made["scopes"] == ["catalog_management"]
    assert (await shop.call("GET", f"/v1/connections/{made['id']}")).json() == made
    (event,) = connection_events(accounts_settings, shop)
    assert (event.connection_id, event.platform, dict(event.external_ids)) == (
        made["id"],
        "meta",
        {"catalog_id": "77"},
    )
    assert event.mode == events_pb2.CONNECTION_MODE_SANDBOX
    assert SECRET not in answer.text + whole_text(accounts_settings)


async def test_an_unknown_platform_names_the_known_ones(shop: Shop) -> None:
    answer = await shop.connect(platform="myspace")
    assert (answer.status_code, answer.json()["code"]) == (400, "platform_unknown")
    assert answer.json()["known_platforms"] == ["meta", "pinterest", "shopify", "woocommerce"]


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"platform": "pinterest"}, "external_ids.ad_account_id", "external_id_missing"),
        ({"external_ids": {"catalog_id": "1", "shop": "2"}}, "external_ids.shop", "external_id_unknown"),
        ({"external_ids": {"catalog_id": "1 2"}}, "external_ids.catalog_id", "external_id_invalid"),
        ({"base_url": "https://example.com"}, "base_url", "base_url_not_allowed"),
        ({"base_url": "http://127.0.0.1@example.com/"}, "base_url", "url_has_credentials"),
        ({"base_url": "http://localhost.example.com"}, "base_url", "base_url_not_allowed"),
        ({"base_url": "http://10.0.0.1"}, "base_url", "base_url_not_allowed"),
        ({"mode": "live", "base_url": "https://graph.facebook.com"}, "base_url", "base_url_on_live"),
        ({"id_template": "{title}"}, "id_template", "id_template_unknown"),
        ({"market": "XX"}, "market", "market_unknown"),
        ({"currency": "XXY"}, "currency", "currency_unknown"),
        ({"language": "qq"}, "language", "language_unknown"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "token_expired"),
    ],
)
async def test_what_cannot_work_is_refused(
    shop: Shop, accounts_settings: AccountsSettings, fields: dict[str, Any], field: str, code: str
) -> None:
    answer = await shop.connect(**fields)
    assert (answer.status_code, answer.json()["code"]) == (400, "connection_invalid")
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]
    assert connection_events(accounts_settings, shop) == []


@pytest.mark.parametrize(
    "base_url", ["http://localhost:9/x", "http://[::1]:9/x", "http://127.3.2.1/x", "http://sandbox.test/x"]
)
async def test_loopback_and_allowed_hosts_may_be_sandboxes(shop: Shop, base_url: str) -> None:
    assert (await shop.connect(base_url=base_url)).json()["base_url"] == base_url


async def test_one_catalog_is_connected_once(shop: Shop, other: Shop) -> None:
    ids = {"catalog_id": "same"}
    first = (await shop.connect(external_ids=ids)).json()
    again = await shop.connect(external_ids=ids)
    assert (again.status_code, again.json()["code"]) == (409, "already_connected")
    elsewhere = await other.connect(external_ids=ids)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "catalog_in_use")
    assert "--new-account" in elsewhere.json()["fix"]
    assert (await shop.call("DELETE", f"/v1/connections/{first['id']}")).status_code == 204
    assert (await other.connect(external_ids=ids)).status_code == 201


async def test_two_at_once_make_one(shop: Shop) -> None:
    ids = {"catalog_id": "raced"}
    answers = await asyncio.gather(*(shop.connect(external_ids=ids) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_test_key_never_reaches_a_live_connection(shop: Shop) -> None:
    refused = await shop.connect(key=shop.test, mode="live")
    assert (refused.status_code, refused.json()["code"]) == (403, "live_needs_live_key")
    live = (await shop.connect(mode="live", external_ids={"catalog_id": "L"})).json()
    assert live["base_url"] == "https://graph.facebook.com/v26.0"
    path = f"/v1/connections/{live['id']}"
    for method, body in (("GET", None), ("PATCH", {"access_token": "mine"}), ("DELETE", None)):
        answer = await shop.call(method, path, body, key=shop.test)
        assert (answer.status_code, answer.json()["code"]) == (404, "connection_not_found")
    sandbox = await shop.connect(key=shop.test, external_ids={"catalog_id": "L"})
    assert sandbox.status_code == 201
    listed = (await shop.call("GET", "/v1/connections", key=shop.test)).json()["data"]
    assert [one["mode"] for one in listed] == ["sandbox"]
    assert (await shop.call("GET", path)).json() == live
    brand = await shop.call("PATCH", f"/v1/brands/{shop.id}", {"name": "x"}, key=shop.test)
    assert (brand.status_code, brand.json()["code"]) == (403, "test_key_on_live_brand")


async def test_the_brand_knows_whether_it_has_a_live_connection(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    async def brand_has_live() -> bool:
        found = (await shop.call("GET", f"/v1/brands/{shop.id}")).json()["has_live_connection"]
        assert isinstance(found, bool)
        return found

    await shop.connect()
    assert await brand_has_live() is False
    first = (await shop.connect(mode="live")).json()["id"]
    second = (await shop.connect(mode="live")).json()["id"]
    assert await brand_has_live() is True
    await shop.call("DELETE", f"/v1/connections/{first}")
    assert await brand_has_live() is True
    await shop.call("DELETE", f"/v1/connections/{second}")
    assert await brand_has_live() is False
    published = [
        (event.version, event.has_live_connection)
        for event in events_of(accounts_settings, shop.id)
        if isinstance(event, events_pb2.BrandChanged)
    ]
    assert published == [(1, False), (2, True), (3, False)]


async def test_a_new_token_makes_it_active_again(
    shop: Shop, clock: MovingClock, accounts_settings: AccountsSettings
) -> None:
    soon = (system_clock() + timedelta(hours=1)).isoformat()
    made = (await shop.connect(expires_at=soon)).json()
    path = f"/v1/connections/{made['id']}"
    clock.ahead = timedelta(hours=2)
    assert (await shop.call("GET", path)).json()["state"] == "token_expired"
    past = await shop.call("PATCH", path, {"access_token": SECRET, "expires_at": soon})
    assert (past.status_code, past.json()["errors"][0]["code"]) == (400, "token_expired")
    fresh = await shop.call("PATCH", path, {"access_token": SECRET})
    assert (fresh.json()["state"], fresh.json()["expires_at"], fresh.json()["version"]) == ("active", None, 2)
    assert [event.version for event in connection_events(accounts_settings, shop)] == [1, 2]
    action, subject = audit_of(accounts_settings, shop.id)[-1][1:3]
    assert (action, subject) == ("connection.change", f"connection:{made['id']}")
    assert SECRET not in whole_text(accounts_settings)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"access_token": None}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"platform": "meta"}, "platform"),
        ({"access_token": "x" * 9000}, "access_token"),
    ],
)
async def test_a_malformed_change_is_refused_without_repeating_a_token(
    shop: Shop, body: dict[str, Any], field: str
) -> None:
    made = (await shop.connect()).json()
    answer = await shop.call("PATCH", f"/v1/connections/{made['id']}", body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "xxxx" not in answer.text


async def test_a_deleted_connection_is_gone_and_its_token_destroyed(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    made = (await shop.connect()).json()
    path = f"/v1/connections/{made['id']}"
    assert (await shop.call("DELETE", path)).status_code == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"access_token": "x"})):
        assert (await shop.call(method, path, body)).status_code == 404
    assert (await shop.call("GET", "/v1/connections")).json()["data"] == []
    event = connection_events(accounts_settings, shop)[-1]
    assert (event.version, event.state, event.deleted) == (2, "deleted", True)
    row = next(
        line for line in whole_text(accounts_settings).splitlines() if line.startswith(f"({made['id']}")
    )
    assert "\\x" not in row


async def test_connections_of_another_brand_are_not_there(shop: Shop, other: Shop) -> None:
    theirs = (await other.connect()).json()
    path = f"/v1/connections/{theirs['id']}"
    for method, body in (("GET", None), ("PATCH", {"access_token": "x"}), ("DELETE", None)):
        assert (await shop.call(method, path, body)).status_code == 404
    assert (await shop.call("GET", "/v1/connections")).json()["data"] == []
    assert (await other.call("GET", path)).json() == theirs


@pytest.mark.parametrize("token", ["töken", "two words", "line\nbreak", "nul\x00"])
async def test_a_token_that_fits_no_header_is_refused(shop: Shop, token: str) -> None:
    answer = await shop.connect(access_token=token)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "access_token")
    assert token not in answer.text
