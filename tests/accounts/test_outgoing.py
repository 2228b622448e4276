"""The switches that stop everything outgoing: who may turn them, what is published and audited, what others see."""

from typing import Any

import httpx
import pytest

from tests.accounts.conftest import OPERATOR, SERVICE_TOKEN, Shop
from tests.accounts.saved import audit_of, events_of
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc, events_pb2

BODY = {"reason": "wrong prices"}


async def key_of(shop: Shop, role: str) -> str:
    made = await shop.call(
        "POST", "/v1/api-keys", {"name": role, "kind": "secret", "mode": "live", "role": role}
    )
    return str(made.json()["key"])


def switches(settings: AccountsSettings, brand_id: str) -> list[Any]:
    found = events_of(settings, brand_id)
    return [message for message in found if isinstance(message, events_pb2.OutgoingChanged)]


async def house(http: httpx.AsyncClient, verb: str, *, token: str = OPERATOR) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await http.post(f"/v1/ops/outgoing:{verb}", json=BODY, headers=headers)


async def test_a_brand_stops_and_starts_again(shop: Shop, accounts_settings: AccountsSettings) -> None:
    before = (await shop.call("GET", "/v1/outgoing")).json()
    assert (before["stopped"], before["switches"]) == (False, [])
    stopped = await shop.call("POST", "/v1/outgoing:stop", BODY)
    assert stopped.status_code == 200
    assert {name: stopped.json()[name] for name in ("scope", "platform", "stopped", "reason")} == {
        "scope": "brand",
        "platform": "",
        "stopped": True,
        "reason": "wrong prices",
    }
    again = await shop.call("POST", "/v1/outgoing:stop", {"reason": "another"})
    assert again.json() == stopped.json(), "stopping what is stopped changes nothing"
    assert (await shop.call("GET", "/v1/outgoing")).json()["stopped"] is True
    assert (await shop.call("POST", "/v1/outgoing:resume", {})).json()["stopped"] is False
    told = [
        (one.brand_id, one.platform, one.version, one.stopped) for one in switches(accounts_settings, shop.id)
    ]
    assert told == [(shop.id, "", 1, True), (shop.id, "", 2, False)]
    audited = [row[:3] for row in audit_of(accounts_settings, shop.id) if row[1].startswith("outgoing.")]
    actor = f"key:{shop.live.split('_')[2]}"
    assert audited == [
        (actor, "outgoing.stop", f"outgoing:{shop.id}"),
        (actor, "outgoing.resume", f"outgoing:{shop.id}"),
    ]


async def test_one_platform_of_a_brand(shop: Shop, other: Shop, accounts_settings: AccountsSettings) -> None:
    answer = await shop.call("POST", "/v1/outgoing:stop", {"platform": "meta"})
    assert (answer.json()["scope"], answer.json()["platform"]) == ("platform", "meta")
    seen = (await shop.call("GET", "/v1/outgoing")).json()
    assert (seen["stopped"], [one["scope"] for one in seen["switches"]]) == (False, ["platform"])
    assert (await other.call("GET", "/v1/outgoing")).json()["switches"] == []
    unknown = await shop.call("POST", "/v1/outgoing:stop", {"platform": "myspace"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "outgoing_invalid")
    assert len(switches(accounts_settings, shop.id)) == 1


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 200), ("editor", 200), ("approver", 200), ("billing", 403), ("viewer", 403)],
)
async def test_who_may_turn_it(
    shop: Shop, role: str, status: int, accounts_settings: AccountsSettings
) -> None:
    key = await key_of(shop, role)
    assert (await shop.call("POST", "/v1/outgoing:stop", BODY, key=key)).status_code == status
    assert len(switches(accounts_settings, shop.id)) == (1 if status == 200 else 0)


async def test_the_house_needs_the_operator(
    http: httpx.AsyncClient, shop: Shop, rpc: GrpcServer, accounts_settings: AccountsSettings
) -> None:
    assert (await house(http, "stop", token=shop.live)).status_code == 401
    assert switches(accounts_settings, str(HOUSE)) == []
    assert (await house(http, "stop")).json()["scope"] == "house"
    try:
        seen = (await shop.call("GET", "/v1/outgoing")).json()
        assert (seen["stopped"], [one["scope"] for one in seen["switches"]]) == (True, ["house"])
        async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
            stub = access_pb2_grpc.AccessServiceStub(opened)
            asked = await stub.CheckOutgoing(access_pb2.CheckOutgoingRequest(brand_id=shop.id))
            assert [(one.brand_id, one.stopped) for one in asked.switches] == [("", True)]
    finally:
        assert (await house(http, "resume")).json()["stopped"] is False
    told = [(one.brand_id, one.version, one.stopped) for one in switches(accounts_settings, str(HOUSE))]
    assert told == [("", 1, True), ("", 2, False)]
    assert [row[:3] for row in audit_of(accounts_settings, str(HOUSE))] == [
        ("operator", "outgoing.stop", "outgoing:house"),
        ("operator", "outgoing.resume", "outgoing:house"),
    ]
    mine = await http.get("/v1/ops/outgoing", headers={"Authorization": f"Bearer {OPERATOR}"})
    assert mine.json()["stopped"] is False
