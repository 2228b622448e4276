"""The first brand of a server: by its bootstrap token, once; and brands under an idempotency key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from tests.accounts.conftest import OPERATOR, MovingClock, brand_body
from tests.kit.serving import serving
from vitrin.accounts.main import build_app
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.db.database import AppDatabase

BOOTSTRAP = "bootstrap-token-of-the-tests"


@pytest.fixture
async def door(
    accounts_settings: AccountsSettings, database: AppDatabase
) -> AsyncIterator[httpx.AsyncClient]:
    secrets = accounts_settings.secrets.model_copy(update={"bootstrap_token": SecretStr(BOOTSTRAP)})
    settings = replace(accounts_settings, secrets=secrets)
    async with serving(build_app(settings, database), settings.http) as client:
        yield client


def as_if_no_brand_had_been_made(settings: AccountsSettings) -> None:
    url = settings.database.url.get_secret_value().replace("/postgres?", "/vitrin_accounts?")
    with psycopg.connect(url) as connection:
        connection.execute("delete from first_brand")


async def make(
    http: httpx.AsyncClient, body: dict[str, object], *, token: str = BOOTSTRAP, name: str | None = None
) -> Any:
    headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": name} if name else {})
    return await http.post("/v1/brands", json=body, headers=headers)


async def test_the_token_makes_the_first_brand_and_no_other(
    door: httpx.AsyncClient, accounts_settings: AccountsSettings
) -> None:
    as_if_no_brand_had_been_made(accounts_settings)
    refused = await make(door, brand_body(default_currency="XXX"))
    assert (refused.status_code, refused.json()["code"]) == (400, "brand_invalid")
    answers = await asyncio.gather(*(make(door, brand_body()) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403]
    [made] = [answer.json() for answer in answers if answer.status_code == 201]
    key = made["keys"][0]["key"]
    entries = await door.get("/v1/audit", headers={"Authorization": f"Bearer {key}"})
    assert {one["actor"] for one in entries.json()["data"]} == {"bootstrap"}
    late = await make(door, brand_body())
    assert (late.status_code, late.json()["code"]) == (403, "bootstrap_done")
    assert (await make(door, brand_body(), token=OPERATOR)).status_code == 201


async def test_a_brand_of_the_operator_ends_the_token_too(
    door: httpx.AsyncClient, accounts_settings: AccountsSettings
) -> None:
    as_if_no_brand_had_been_made(accounts_settings)
    assert (await make(door, brand_body(), token=OPERATOR)).status_code == 201
    assert (await make(door, brand_body())).json()["code"] == "bootstrap_done"


async def test_without_the_setting_or_with_another_token_nothing_opens(
    http: httpx.AsyncClient, door: httpx.AsyncClient, accounts_settings: AccountsSettings
) -> None:
    as_if_no_brand_had_been_made(accounts_settings)
    for client, token in ((http, BOOTSTRAP), (door, BOOTSTRAP + "x")):
        answer = await make(client, brand_body(), token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "operator_token_wrong")
    opened = await door.get("/v1/ops/outgoing", headers={"Authorization": f"Bearer {BOOTSTRAP}"})
    assert opened.status_code == 401


async def test_a_lost_answer_can_be_had_again(
    http: httpx.AsyncClient, door: httpx.AsyncClient, accounts_settings: AccountsSettings, clock: MovingClock
) -> None:
    as_if_no_brand_had_been_made(accounts_settings)
    body = brand_body()
    first = await make(door, body, name="b-1")
    again = await make(door, body, name="b-1")
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    key = again.json()["keys"][0]["key"]
    assert (await door.get("/v1/brands", headers={"Authorization": f"Bearer {key}"})).status_code == 200
    other = await make(door, brand_body(), name="b-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    body = brand_body()
    of_operator = await make(http, body, token=OPERATOR, name="b-1")
    assert of_operator.status_code == 201
    assert of_operator.json()["brand"]["id"] != first.json()["brand"]["id"]
    clock.ahead = timedelta(hours=25)
    late = await make(http, body, token=OPERATOR, name="b-1")
    assert (late.status_code, late.json()["code"]) == (422, "idempotency_key_reused")
