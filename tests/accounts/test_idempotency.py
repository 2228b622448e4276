"""Idempotency keys on the creating calls of accounts: once in the database, one answer, sealed."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.responses import Response

from tests.accounts.conftest import MovingClock, Shop
from tests.accounts.saved import audit_of, events_of
from tests.architecture.test_doors import ASKS_A_PLATFORM
from vitrin.accounts.service_keys import Keys
from vitrin.accounts.service_leases import OwnDirectory
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.urls import libpq_url, role_url
from vitrin.kit.idempotency import Call, Once
from vitrin.kit.idempotency.sealing import Sealer
from vitrin.kit.ids import BrandId, new_uuid

KEY = {"name": "Import", "mode": "live", "role": "viewer"}


async def post(shop: Shop, path: str, body: object, name: str, *, key: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or shop.live}", "Idempotency-Key": name}
    return await shop.http.post(path, json=body, headers=headers)


async def keys_of(shop: Shop) -> int:
    return len((await shop.call("GET", "/v1/api-keys")).json()["data"])


async def test_the_same_call_again_gets_the_first_answer(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    first = await post(shop, "/v1/api-keys", KEY, "a")
    again = await post(shop, "/v1/api-keys", KEY, "a")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["key"].startswith("vk_live_")
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await keys_of(shop) == 3
    actions = [action for _, action, *_ in audit_of(accounts_settings, shop.id)]
    assert actions.count("key.create") == 3
    assert len(events_of(accounts_settings, shop.id)) == 4
    assert (await post(shop, "/v1/api-keys", KEY, "b")).json()["id"] != first.json()["id"]


async def test_another_request_under_the_key_is_refused(shop: Shop) -> None:
    await post(shop, "/v1/api-keys", KEY, "a")
    for path, body in (
        ("/v1/api-keys", KEY | {"name": "Other"}),
        ("/v1/api-keys?x=1", KEY),
        ("/v1/outgoing:stop", KEY),
    ):
        answer = await post(shop, path, body, "a")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), path
        assert answer.json()["field"] == "Idempotency-Key"
    assert await keys_of(shop) == 3


async def test_of_many_at_once_one_is_carried_out(shop: Shop) -> None:
    answers = await asyncio.gather(*(post(shop, "/v1/api-keys", KEY, "a") for _ in range(8)))
    done = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.json()["id"] for answer in done}) == 1
    for answer in busy:
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
        assert answer.headers["retry-after"] == "1"
    assert await keys_of(shop) == 3


async def test_a_refusal_is_not_kept(shop: Shop) -> None:
    body = {
        "platform": "meta",
        "mode": "sandbox",
        "external_ids": {"catalog_id": "idem-1"},
        "access_token": "plat-token",
    }
    wrong = await post(shop, "/v1/connections", body | {"id_template": "{nothing}"}, "a")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "connection_invalid")
    made = await post(shop, "/v1/connections", body, "a")
    assert (made.status_code, made.headers.get("idempotent-replayed")) == (201, None)
    taken = await post(shop, "/v1/connections", body, "b")
    assert (taken.status_code, taken.json()["code"]) == (409, "already_connected")
    gone = await shop.call("DELETE", f"/v1/connections/{made.json()['id']}")
    assert gone.status_code == 204
    assert (await post(shop, "/v1/connections", body, "b")).status_code == 201
    assert (await post(shop, "/v1/connections", body, "a")).json() == made.json()


async def test_a_key_belongs_to_the_api_key_that_sent_it(shop: Shop, other: Shop) -> None:
    first = (await post(shop, "/v1/api-keys", KEY, "a")).json()
    heir = (await shop.call("POST", "/v1/api-keys", KEY | {"role": "owner"})).json()["key"]
    ids = {first["id"]}
    for asker, key in ((shop, heir), (other, other.live)):
        answer = await post(asker, "/v1/api-keys", KEY, "a", key=key)
        assert (answer.status_code, answer.headers.get("idempotent-replayed")) == (201, None)
        ids.add(answer.json()["id"])
    assert len(ids) == 3
    viewer = first["key"]
    refused = await post(shop, "/v1/api-keys", KEY, "v", key=viewer)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    await shop.call("DELETE", f"/v1/api-keys/{heir.split('_')[2]}")
    revoked = await post(shop, "/v1/api-keys", KEY, "a", key=heir)
    assert (revoked.status_code, revoked.json()["code"]) == (401, "key_revoked")


async def test_after_a_day_a_key_is_new(shop: Shop, clock: MovingClock) -> None:
    clock.ahead = timedelta(hours=-24)
    first = (await post(shop, "/v1/api-keys", KEY, "a")).json()["id"]
    clock.ahead = timedelta(minutes=-1)
    assert (await post(shop, "/v1/api-keys", KEY, "a")).json()["id"] == first
    clock.ahead = timedelta(minutes=1)
    assert (await post(shop, "/v1/api-keys", KEY, "a")).json()["id"] != first


@pytest.mark.parametrize("name", ["", "x" * 256, "two words", "ümlaut"])
async def test_a_key_that_is_none_is_refused(shop: Shop, name: str) -> None:
    headers = {"Authorization": f"Bearer {shop.live}", "Idempotency-Key": name.encode()}
    answer = await shop.http.post("/v1/api-keys", json=KEY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")
    assert await keys_of(shop) == 2


async def test_nobody_else_is_told_anything(shop: Shop) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {shop.live}x"}):
        answer = await shop.http.post("/v1/api-keys", json=KEY, headers={**headers, "Idempotency-Key": "a"})
        assert answer.status_code == 401


async def test_the_stored_answer_cannot_be_read_from_the_database(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    made = (await post(shop, "/v1/api-keys", KEY, "a")).json()
    url = accounts_settings.database.url.get_secret_value().replace("/postgres?", "/vitrin_accounts?")
    with psycopg.connect(url) as connection:
        [row] = connection.execute(
            "select i::text from idempotency_keys i where brand_id = %s", (shop.id,)
        ).fetchall()
        days = connection.execute(
            "select count(*) from pg_inherits where inhparent = 'idempotency_keys'::regclass"
        ).fetchone()
    assert made["key"] not in row[0]
    assert made["key"].rsplit("_", 1)[1].encode().hex() not in row[0]
    assert days is not None
    assert days[0] >= 8


async def test_no_other_brand_sees_or_writes_the_rows(
    shop: Shop, other: Shop, database: AppDatabase, accounts_settings: AccountsSettings
) -> None:
    await post(shop, "/v1/api-keys", KEY, "a")
    count = text("select count(*) from idempotency_keys")
    async with database.read(BrandId(new_uuid())) as session:
        assert await session.scalar(count) == 0
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.write(BrandId(new_uuid())) as tx:
            await tx.execute(text("delete from idempotency_keys"))
    url = libpq_url(role_url(accounts_settings.database, "accounts", "worker"))
    with psycopg.connect(url) as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("select 1 from idempotency_keys")


async def test_what_breaks_after_the_work_leaves_no_work_behind(shop: Shop, database: AppDatabase) -> None:
    """The process may die anywhere before the commit: neither key nor answer is there, and the next try does it."""
    keys = Keys(database, system_clock)
    caller = await OwnDirectory(database, system_clock).authenticate(shop.live)
    once = Once(database, system_clock)
    call = Call(brand=caller.brand_id, key_id=caller.key_id, name="a", sealer=Sealer(shop.live))

    async def made_and_broken() -> Response:
        await keys.create(caller, KEY | {"kind": "secret"})
        assert len(await keys.page(caller, after="", limit=10)) == 3
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await once.run(call, b"f" * 32, made_and_broken)
    assert await keys_of(shop) == 2
    assert not await once.known(call)

    async def made() -> Response:
        await keys.create(caller, KEY | {"kind": "secret"})
        return Response(b"done", status_code=201)

    for _ in range(2):
        assert bytes((await once.run(call, b"f" * 32, made)).body) == b"done"
    assert await keys_of(shop) == 3


async def test_every_post_of_a_key_names_the_header_and_no_other_call_does(http: httpx.AsyncClient) -> None:
    paths: dict[str, Any] = (await http.get("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            named = [one["name"] for one in operation.get("parameters", [])].count("Idempotency-Key")
            by_key = {"ApiKey": []} in operation.get("security", []) or path == "/v1/brands"
            by_key = by_key or path == "/v1/invitations:accept"
            by_key = by_key and path not in ASKS_A_PLATFORM
            assert named == (1 if method == "post" and by_key else 0), (method, path)
