"""Shops are connected like platforms: what is refused, what signs their webhooks, and who may hear of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.accounts.conftest import SERVICE_TOKEN, MovingClock, Shop
from tests.accounts.consenting import House, Person, a_house
from tests.support.sandbox import running_sandbox
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.protos.accounts.v1 import connection_pb2, connection_pb2_grpc

NAMES = itertools.count(1)
TOKEN = "shpat_0123456789abcdef"
SECRET = "shpss_of_the_custom_app"


def shop_name() -> str:
    return f"holm-{next(NAMES)}.myshopify.com"


def shopify(name: str, **more: object) -> dict[str, object]:
    return {
        "platform": "shopify",
        "external_ids": {"shop": name},
        "access_token": TOKEN,
        "webhook_secret": SECRET,
        **more,
    }


@pytest.fixture(scope="module")
async def house(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[House]:
    with running_sandbox(quota=False) as url:
        async with a_house(accounts_settings, database, clock, url) as house:
            yield house


@pytest.fixture
async def door(rpc: GrpcServer) -> AsyncIterator[connection_pb2_grpc.ConnectionServiceAsyncStub]:
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        yield connection_pb2_grpc.ConnectionServiceStub(opened)


async def secrets(
    door: connection_pb2_grpc.ConnectionServiceAsyncStub, *ids: str
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    async for page in door.LeaseShopSecrets(connection_pb2.LeaseShopSecretsRequest(connection_ids=ids)):
        assert page.good_for_s > 0
        found |= {one.connection_id: tuple(one.secrets) for one in page.shops}
    return found


async def test_a_shopify_shop_with_a_pasted_token(
    shop: Shop, door: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    name = shop_name()
    answer = await shop.connect(**shopify(name))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["base_url"]) == ("active", f"http://127.0.0.1:8090/shopify/{name}")
    assert SECRET not in answer.text
    assert (await secrets(door, made["id"]))[made["id"]] == (SECRET,)
    assert (await secrets(door))[made["id"]] == (SECRET,), "of all shops too"
    changed = await shop.call("PATCH", f"/v1/connections/{made['id']}", {"webhook_secret": "another-one"})
    assert changed.status_code == 200
    assert (await secrets(door, made["id"]))[made["id"]] == ("another-one", SECRET)
    assert (await shop.call("DELETE", f"/v1/connections/{made['id']}")).status_code == 204
    assert await secrets(door, made["id"]) == {}


async def test_a_replaced_secret_holds_for_a_day(
    shop: Shop, door: connection_pb2_grpc.ConnectionServiceAsyncStub, clock: MovingClock
) -> None:
    made = (await shop.connect(**shopify(shop_name()))).json()
    await shop.call("PATCH", f"/v1/connections/{made['id']}", {"webhook_secret": "another-one"})
    clock.ahead = timedelta(hours=25)
    assert (await secrets(door, made["id"]))[made["id"]] == ("another-one",)


async def test_vitrin_makes_the_secret_of_woocommerce(
    shop: Shop, other: Shop, door: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    wanted = {"platform": "woocommerce", "access_token": "ck_1:cs_2"}
    store = f"https://store-{next(NAMES)}.example"
    made = (await shop.connect(**wanted, external_ids={"store": store})).json()
    assert made["base_url"] == f"http://127.0.0.1:8090/woocommerce/{urlsplit(store).netloc}"
    (secret,) = (await secrets(door, made["id"]))[made["id"]]
    assert len(secret) >= 32
    again = await other.connect(**wanted, external_ids={"store": store})
    assert (again.status_code, again.json()["code"]) == (409, "catalog_in_use")
    given = await other.connect(
        **wanted, external_ids={"store": "https://else.example"}, webhook_secret="mine-mine-mine"
    )
    assert given.json()["errors"][0]["code"] == "webhook_secret_unknown"


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"external_ids": {}}, "external_ids.shop", "external_id_missing"),
        ({"external_ids": {"shop": "acme.example"}}, "external_ids.shop", "external_id_invalid"),
        ({"id_template": "{sku}"}, "id_template", "id_template_of_shop"),
        (
            {
                "platform": "woocommerce",
                "external_ids": {"store": "https://a.example"},
                "webhook_secret": None,
            },
            "access_token",
            "token_form",
        ),
        ({"mode": "live", "webhook_secret": None}, "webhook_secret", "webhook_secret_missing"),
    ],
)
async def test_what_is_refused_connects_nothing(
    shop: Shop, fields: dict[str, Any], field: str, code: str
) -> None:
    answer = await shop.connect(**{**shopify(shop_name()), **fields})
    assert answer.status_code == 400, answer.text
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(field, code)]
    assert (await shop.call("GET", "/v1/connections")).json()["data"] == []


async def test_an_app_that_was_taken_out_stays_out_until_somebody_connects_again(
    shop: Shop, door: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    made = (await shop.connect(**shopify(shop_name()))).json()
    report = connection_pb2.ReportStateRequest(
        brand_id=shop.id, connection_id=made["id"], state="uninstalled", code="uninstalled"
    )
    await door.ReportState(report)
    assert (await shop.call("GET", f"/v1/connections/{made['id']}")).json()["state"] == "uninstalled"
    again = await shop.call("PATCH", f"/v1/connections/{made['id']}", {"access_token": "shpat_new"})
    assert (again.json()["id"], again.json()["state"]) == (made["id"], "active")


async def consenting(house: House) -> Person:
    name = shop_name()
    await house.command("POST", "/_sandbox/shops", {"kind": "shopify", "host": name})
    person = await house.shop("meta")
    person.platform = "shopify"
    person.account = {"external_ids": {"shop": name}}
    return person


async def consent(person: Person, decision: str = "approve") -> tuple[dict[str, Any], str]:
    started = await person.start(external_ids=person.account["external_ids"])
    answer = await person.house.sandbox.post(started["authorize_url"], data={"decision": decision})
    assert answer.status_code == 302, answer.text
    return started, answer.headers["location"]


async def test_shopifys_consent_connects_the_shop_at_once(house: House) -> None:
    person = await consenting(house)
    started, location = await consent(person)
    assert (await person.back(location)).status_code == 200
    attempt = await person.attempt(started)
    made = await person.read(attempt["connection_id"])
    assert (made["state"], made["external_ids"]) == ("active", person.account["external_ids"])
    assert (await person.leased(made["id"])).startswith("shp")
    found = [one async for page in house.parts.shops.lease([]) for one in page]
    (mine,) = [one for one in found if str(one.connection_id) == made["id"]]
    assert mine.secrets, "the app's secret signs"
    started, location = await consent(person)
    assert (await person.back(location)).status_code == 200
    assert (await person.attempt(started))["connection_id"] == made["id"], (
        "the same shop, the same connection"
    )


@pytest.mark.parametrize("change", ["shop", "hmac", "code"])
async def test_a_callback_that_shopify_did_not_send_connects_nothing(house: House, change: str) -> None:
    person = await consenting(house)
    started, location = await consent(person)
    parts = urlsplit(location)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    query[change] = {"shop": "other.myshopify.com", "hmac": "0" * 64, "code": "stolen"}[change]
    answer = await person.house.http.get(
        f"{parts.path}", params=query, headers={"accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "code_refused")
    assert (await person.attempt(started))["state"] == "refused"
    assert (await person.shop.call("GET", "/v1/connections")).json()["data"] == []


async def test_a_denied_consent_connects_nothing(house: House) -> None:
    person = await consenting(house)
    started, location = await consent(person, "deny")
    assert (await person.back(location)).status_code in (400, 403, 409)
    assert (await person.attempt(started))["state"] == "refused"


async def test_a_consent_needs_the_shop(house: House) -> None:
    person = await consenting(house)
    answer = await person.shop.call(
        "POST", "/v1/connections:authorize", {"platform": "shopify", "mode": "sandbox"}
    )
    assert answer.json()["errors"][0]["field"] == "external_ids.shop"
    woo = await person.shop.call(
        "POST", "/v1/connections:authorize", {"platform": "woocommerce", "mode": "sandbox"}
    )
    assert woo.json()["code"] == "not_by_consent"
