"""Rotation of keys with overlap, and when keys were used last."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from tests.accounts.conftest import SERVICE_TOKEN, MovingClock, Shop
from tests.accounts.saved import audit_of, events_of
from tests.kit.serving import serving
from vitrin.accounts import models
from vitrin.accounts.main import build_app
from vitrin.accounts.service_leases import OwnDirectory
from vitrin.accounts.service_uses import UseBook
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.access.uses import KeyUse, KeyUses, told_to_accounts
from vitrin.kit.clock import from_us, system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.protos.accounts.v1 import access_pb2_grpc, events_pb2


async def rotate(shop: Shop, key_id: str, *, key: str | None = None, **body: Any) -> Any:
    return await shop.call("POST", f"/v1/api-keys/{key_id}:rotate", body, key=key)


async def new_key(shop: Shop, **fields: Any) -> dict[str, Any]:
    body = {"name": "k", "mode": "live", "role": "editor"} | fields
    made: dict[str, Any] = (await shop.call("POST", "/v1/api-keys", body)).json()
    return made


async def works(shop: Shop, key: str) -> tuple[int, str | None]:
    answer = await shop.call("GET", "/v1/brands", key=key)
    return answer.status_code, answer.json().get("code")


async def test_both_keys_work_until_the_overlap_is_over(
    shop: Shop, clock: MovingClock, accounts_settings: AccountsSettings
) -> None:
    old = await new_key(shop, name="Import", scopes=["accounts:read", "catalog:write"])
    before = system_clock()
    answer = await rotate(shop, old["id"], overlap_s=3600)
    assert answer.status_code == 201
    new = answer.json()
    assert (new["name"], new["role"], new["scopes"]) == (old["name"], old["role"], old["scopes"])
    assert (new["rotated_from"], new["rotated_to"], new["expires_at"]) == (old["id"], None, None)
    assert await works(shop, old["key"]) == (200, None)
    assert await works(shop, new["key"]) == (200, None)
    shown = (await shop.call("GET", f"/v1/api-keys/{old['id']}")).json()
    assert (shown["rotated_to"], shown["revoked_at"]) == (new["id"], None)
    end = datetime.fromisoformat(shown["expires_at"])
    assert timedelta(minutes=59) < end - before < timedelta(minutes=61)
    clock.ahead = timedelta(minutes=61)
    assert await works(shop, old["key"]) == (401, "key_expired")
    assert await works(shop, new["key"]) == (200, None)
    published = {
        event.key_id: event
        for event in events_of(accounts_settings, shop.id)
        if isinstance(event, events_pb2.ApiKeyChanged)
    }
    assert (published[old["id"]].version, from_us(published[old["id"]].expires_at_us)) == (2, end)
    actions = [(action, subject) for _, action, subject, *_ in audit_of(accounts_settings, shop.id)[-2:]]
    assert actions == [("key.create", f"key:{new['id']}"), ("key.rotate", f"key:{old['id']}")]


async def test_without_overlap_the_old_key_dies_at_once(shop: Shop) -> None:
    old = await new_key(shop)
    new = (await rotate(shop, old["id"], overlap_s=0)).json()
    assert await works(shop, old["key"]) == (401, "key_revoked")
    assert await works(shop, new["key"]) == (200, None)


async def test_a_key_is_rotated_once_and_only_while_it_lives(shop: Shop, clock: MovingClock) -> None:
    old = await new_key(shop)
    new = (await rotate(shop, old["id"])).json()
    again = await rotate(shop, old["id"])
    assert (again.status_code, again.json()["code"]) == (409, "key_rotated")
    assert again.json()["rotated_to"] == new["id"]
    await shop.call("DELETE", f"/v1/api-keys/{new['id']}")
    dead = await rotate(shop, new["id"])
    assert (dead.status_code, dead.json()["code"]) == (409, "key_not_active")
    soon = await new_key(shop, expires_at=(clock() + timedelta(minutes=5)).isoformat())
    clock.ahead = timedelta(minutes=6)
    assert (await rotate(shop, soon["id"])).json()["code"] == "key_not_active"
    for body in ({"overlap_s": -1}, {"overlap_s": 604_801}, {"overlap": 5}):
        assert (await rotate(shop, new["id"], **body)).status_code == 422


async def test_the_last_owner_key_can_be_rotated_by_itself(shop: Shop, clock: MovingClock) -> None:
    mine = shop.live.split("_")[2]
    soon = (clock() + timedelta(hours=1)).isoformat()
    lockout = await rotate(shop, mine, expires_at=soon)
    assert (lockout.status_code, lockout.json()["code"]) == (409, "last_owner_key")
    answer = await rotate(shop, mine, overlap_s=0)
    assert answer.status_code == 201
    assert await works(shop, shop.live) == (200, None)  # the answer may be lost
    last = await shop.call("DELETE", f"/v1/api-keys/{answer.json()['id']}", key=answer.json()["key"])
    assert (last.status_code, last.json()["code"]) == (409, "last_owner_key")
    clock.ahead = timedelta(minutes=6)
    assert await works(shop, shop.live) == (401, "key_expired")


async def test_a_key_that_ends_hands_its_life_on_but_no_more(shop: Shop, clock: MovingClock) -> None:
    month = timedelta(days=30)
    old = await new_key(shop, expires_at=(clock() + month).isoformat())
    clock.ahead = timedelta(days=29)
    new = (await rotate(shop, old["id"], overlap_s=604_800)).json()
    lives = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert month - timedelta(minutes=1) < lives <= month
    shown = (await shop.call("GET", f"/v1/api-keys/{old['id']}")).json()
    assert shown["expires_at"] == old["expires_at"]


async def test_rotation_gives_nobody_more_power(shop: Shop, other: Shop) -> None:
    live_id = shop.live.split("_")[2]
    assert (await rotate(shop, live_id, key=shop.test)).json()["code"] == "key_not_found"
    assert (await rotate(shop, other.live.split("_")[2])).json()["code"] == "key_not_found"
    weak = await new_key(shop, role="owner", scopes=["accounts:read", "accounts:write"])
    refused = await rotate(shop, live_id, key=weak["key"])
    assert (refused.status_code, refused.json()["code"]) == (403, "key_too_powerful")
    editor = await new_key(shop)
    assert (await rotate(shop, editor["id"], key=editor["key"])).json()["code"] == "scope_missing"
    assert (await shop.call("GET", f"/v1/api-keys/{live_id}")).json()["rotated_to"] is None


async def test_two_rotations_at_once_make_one_key(shop: Shop) -> None:
    old = await new_key(shop)
    answers = await asyncio.gather(*(rotate(shop, old["id"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.fixture
async def book(accounts_settings: AccountsSettings) -> Any:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    yield UseBook(worker)
    await worker.close()


async def used_at(shop: Shop, key: str) -> str | None:
    shown = (await shop.call("GET", f"/v1/api-keys/{key.split('_')[2]}")).json()
    value: str | None = shown["last_used_at"]
    return value


async def test_the_last_use_is_told_in_batches_over_grpc(
    shop: Shop, other: Shop, rpc: GrpcServer, database: AppDatabase, accounts_settings: AccountsSettings
) -> None:
    noon = system_clock().replace(hour=12, minute=34, second=56)
    told: list[int] = []
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        report = told_to_accounts(access_pb2_grpc.AccessServiceStub(opened))

        async def counted(uses: Any) -> None:
            told.append(len(uses))
            await report(uses)

        uses = KeyUses(counted, lambda: noon)
        directory = OwnDirectory(database, system_clock)
        for _ in range(3):
            for key in (shop.live, other.live):
                uses.note(await directory.authenticate(key))
        await uses.tell()
        uses.note(await directory.authenticate(shop.live))
        await uses.tell()
    assert told == [2]
    minute = noon.replace(second=0, microsecond=0)
    for one in (shop, other):
        assert datetime.fromisoformat(await used_at(one, one.live) or "") == minute
        assert await used_at(one, one.test) is None
    listed = (await shop.call("GET", "/v1/api-keys")).json()["data"]
    assert sorted(key["last_used_at"] is not None for key in listed) == [False, True]
    versions = [e.version for e in events_of(accounts_settings, shop.id) if hasattr(e, "secret_hash")]
    assert versions == [1, 1]


async def test_an_older_report_and_a_foreign_brand_change_nothing(
    shop: Shop, other: Shop, book: UseBook, database: AppDatabase
) -> None:
    caller = await OwnDirectory(database, system_clock).authenticate(shop.live)
    stranger = await OwnDirectory(database, system_clock).authenticate(other.live)
    now = system_clock().replace(second=0, microsecond=0)
    await book.save([KeyUse(caller.key_id, caller.brand_id, now)])
    await book.save([KeyUse(caller.key_id, caller.brand_id, now - timedelta(hours=1))])
    await book.save([KeyUse(caller.key_id, stranger.brand_id, now + timedelta(hours=1))])
    assert datetime.fromisoformat(await used_at(shop, shop.live) or "") == now
    async with database.read(stranger.brand_id) as session:
        assert await session.all(select(models.api_key_uses)) == []


async def test_what_could_not_be_told_is_told_later(shop: Shop, database: AppDatabase) -> None:
    caller = await OwnDirectory(database, system_clock).authenticate(shop.live)
    told: list[KeyUse] = []
    down = True

    async def report(uses: Any) -> None:
        if down:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        told.extend(uses)

    uses = KeyUses(report, system_clock)
    uses.note(caller)
    await uses.tell()
    assert told == []
    down = False
    await uses.tell()
    assert [use.key_id for use in told] == [caller.key_id]


async def test_every_request_with_a_key_is_noted_at_the_door(
    shop: Shop, accounts_settings: AccountsSettings, database: AppDatabase, book: UseBook
) -> None:
    app = build_app(accounts_settings, database)
    app.state.key_uses = uses = KeyUses(book.save, system_clock)
    async with serving(app, accounts_settings.http) as client:
        for key in (shop.test, "nonsense"):
            await client.get("/v1/brands", headers={"Authorization": f"Bearer {key}"})
    await uses.tell()
    assert await used_at(shop, shop.test) is not None
    assert await used_at(shop, shop.live) is None
