"""A brand leaves: asked for, taken back, agreed to by another person, carried out; what is left of it afterwards."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from tests.accounts.conftest import OPERATOR, SERVICE_TOKEN, MovingClock, Shop, brand_body
from tests.accounts.saved import events_of
from vitrin.accounts.main import LONG_GONE
from vitrin.accounts.sealing import offboarding
from vitrin.accounts.service_offboarding import OffboardingLoop
from vitrin.accounts.settings import AccountsSettings
from vitrin.accounts.tables import TABLES
from vitrin.kit.brand_data import Purger
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.kit.ids import BrandId
from vitrin.kit.seal import AccountsKeys, Person, Sealer, SealRefused
from vitrin.protos.accounts.v1.events_pb2 import ApiKeyChanged, BrandChanged, ConnectionChanged
from vitrin.protos.kit.v1.seal_pb2 import Sealed

GRACE = timedelta(days=7)


@dataclass
class House:
    loop: OffboardingLoop
    purger: Purger
    settings: AccountsSettings
    database: AppDatabase
    clock: MovingClock

    async def rows(self, shop: Shop) -> dict[str, int]:
        found = {}
        async with self.database.read(BrandId(UUID(shop.id))) as session:
            for table in TABLES:
                if table.brand and not table.left_out:
                    count = await session.scalar(
                        text(f"select count(*) from {table.name} where brand_id = :b"), {"b": shop.id}
                    )
                    if count:
                        found[table.name] = count
        return found


@pytest.fixture
async def house(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[House]:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    loop = OffboardingLoop(worker, offboarding(accounts_settings, database, clock), clock)
    yield House(loop, Purger(worker, TABLES, clock, due=LONG_GONE), accounts_settings, database, clock)
    await worker.close()


async def leave(shop: Shop, *, key: str | None = None, confirm: str | None = None) -> Any:
    body = {"confirm": confirm or shop.brand["slug"]}
    return await shop.call("POST", f"/v1/brands/{shop.id}:offboard", body, key=key)


async def person(shop: Shop, name: str) -> str:
    invitation = await shop.call("POST", "/v1/invitations", {"email": f"{name}@a.example", "role": "owner"})
    body = {"token": invitation.json()["token"], "name": name}
    answer = await shop.http.post("/v1/invitations:accept", json=body)
    return str(answer.json()["key"]["key"])


async def stopped(shop: Shop) -> list[bool]:
    return [one["stopped"] for one in (await shop.call("GET", "/v1/outgoing")).json()["switches"]]


async def test_it_is_confirmed_stops_what_goes_out_and_can_be_taken_back(shop: Shop, house: House) -> None:
    path = f"/v1/brands/{shop.id}/offboarding"
    assert (await leave(shop, confirm="another")).json()["code"] == "offboarding_unconfirmed"
    assert (await leave(shop, key=shop.test)).json()["code"] == "live_key_needed"
    assert (await shop.call("GET", path)).json()["state"] == "stays"
    assert await stopped(shop) == []
    first, again = await leave(shop), await leave(shop)
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    assert again.json() == first.json() == (await shop.call("GET", path)).json()
    assert await stopped(shop) == [True]
    house.clock.ahead = GRACE - timedelta(minutes=1)
    await house.loop.round()
    kept = await shop.call("POST", f"/v1/brands/{shop.id}:keep")
    assert kept.status_code == 204
    assert await stopped(shop) == [False]
    assert (await shop.call("POST", f"/v1/brands/{shop.id}:keep")).json()["code"] == "offboarding_not_found"
    house.clock.ahead = 2 * GRACE
    await house.loop.round()
    assert (await shop.call("GET", f"/v1/brands/{shop.id}")).status_code == 200


async def test_a_stop_that_was_there_before_stays(shop: Shop) -> None:
    await shop.call("POST", "/v1/outgoing:stop", {"reason": "stock-taking"})
    await leave(shop)
    assert (await shop.call("POST", f"/v1/brands/{shop.id}:keep")).status_code == 204
    assert await stopped(shop) == [True]


async def test_another_person_has_to_agree_where_the_brand_says_so(shop: Shop) -> None:
    ada, bob = await person(shop, "ada"), await person(shop, "bob")
    await shop.call("PATCH", f"/v1/brands/{shop.id}", {"approval_needs_other_person": True})
    asked = (await leave(shop, key=ada)).json()
    assert (asked["state"], asked["due_at"]) == ("asked", None)
    assert await stopped(shop) == []
    body = {"name": "Second", "kind": "secret", "mode": "live", "role": "owner"}
    second = (await shop.call("POST", "/v1/api-keys", body, key=ada)).json()["key"]
    for same in (ada, second):
        assert (await leave(shop, key=same)).json()["code"] == "offboarding_needs_other_person"
    agreed = (await leave(shop, key=bob)).json()
    assert (agreed["state"], agreed["asked_by"]) == ("waiting", asked["asked_by"])
    assert agreed["approved_by"] not in (None, asked["asked_by"])
    assert await stopped(shop) == [True]


async def test_another_brand_cannot_be_ended(shop: Shop, other: Shop) -> None:
    for path in (f"/v1/brands/{other.id}:offboard", f"/v1/brands/{other.id}:keep"):
        answer = await shop.call("POST", path, {"confirm": other.brand["slug"]})
        assert (answer.status_code, answer.json()["code"]) == (404, "brand_not_found")


async def test_at_its_time_keys_tokens_and_personal_data_end(
    shop: Shop, other: Shop, house: House, rpc: GrpcServer, http: httpx.AsyncClient
) -> None:
    await person(shop, "ada")
    await shop.call("POST", "/v1/invitations", {"email": "open@a.example", "role": "viewer"})
    connection = (await shop.connect()).json()["id"]
    brand, theirs = BrandId(UUID(shop.id)), await house.rows(other)
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        sealed = await Sealer(AccountsKeys(opened)).seal(brand, Person("p"), {"a": "b"}, context="t")
        assert isinstance(sealed, Sealed)
        await leave(shop)
        house.clock.ahead = GRACE
        await house.loop.round()
        with pytest.raises(SealRefused, match="no such brand"):
            await Sealer(AccountsKeys(opened)).open(brand, sealed, context="t")
    assert (await shop.call("GET", "/v1/brands")).status_code == 401
    receipt = await _ops(http, f"/v1/ops/offboardings/{shop.id}")
    assert (receipt["state"], receipt["keys_revoked"], receipt["connections_ended"]) == ("ended", 3, 1)
    assert receipt["seal_keys_destroyed"] == 2  # the person's, and the brand's own
    assert receipt["last_at"] > receipt["ended_at"] >= receipt["closed_at"] >= receipt["due_at"]
    told = events_of(house.settings, shop.id)
    assert [one.name for one in told if isinstance(one, BrandChanged) and one.deleted] == [""]
    assert [one.connection_id for one in told if isinstance(one, ConnectionChanged) and one.deleted] == [
        connection
    ]
    revoked = {one.key_id for one in told if isinstance(one, ApiKeyChanged) and one.revoked_at_us}
    assert len(revoked) == 3
    async with house.database.read(brand) as session:
        people = await session.all(text("select name, email from members"))
        tokens = await session.all(text("select token_ciphertext from connections"))
    assert [tuple(row) for row in (*people, *tokens)] == [("", ""), (None,)]
    assert await house.rows(other) == theirs
    again = await http.post("/v1/brands", json=brand_body(slug=shop.brand["slug"]), headers=_operator())
    assert again.status_code == 201


async def test_the_rows_go_when_no_event_can_come_late(shop: Shop, other: Shop, house: House) -> None:
    await shop.connect()
    await leave(shop)
    theirs = await house.rows(other)
    house.clock.ahead = GRACE
    await house.loop.round()
    await house.purger.round(asyncio.Event())
    assert (await house.rows(shop))["api_keys"] == 2
    house.clock.ahead += timedelta(days=9)
    await house.purger.round(asyncio.Event())
    assert await house.rows(shop) == {"brands": 1, "offboardings": 1}
    receipt = await house.purger.receipt(BrandId(UUID(shop.id)))
    assert receipt is not None
    assert (receipt.counts["api_keys"], receipt.counts["connections"]) == (2, 1)
    assert receipt.counts["audit_entries"] > 3
    assert await house.rows(other) == theirs


async def _ops(http: httpx.AsyncClient, path: str) -> Any:
    assert (await http.get(path)).status_code == 401
    answer = await http.get(path, headers=_operator())
    assert answer.status_code == 200, answer.text
    return answer.json()


def _operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR}"}
