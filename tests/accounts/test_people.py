"""Organisations, members with their own keys, invitations and off-boarding."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from tests.accounts.conftest import MovingClock, Shop, open_shop
from tests.accounts.saved import audit_of, events_of, whole_text
from vitrin.accounts import models
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.protos.accounts.v1 import events_pb2

ADA = "ada@shop.example"


async def invite(shop: Shop, *, key: str | None = None, **fields: Any) -> Any:
    body = {"email": ADA, "role": "editor"} | fields
    return await shop.call("POST", "/v1/invitations", body, key=key)


async def accept(
    shop: Shop, token: str, *, name: str = "Ada", key: str | None = None, secret: str | None = None
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if secret is not None:
        headers["Idempotency-Key"] = secret
    body = {"token": token, "name": name}
    return await shop.http.post("/v1/invitations:accept", json=body, headers=headers)


async def join(shop: Shop, *, by: str | None = None, own: str | None = None, **fields: Any) -> Any:
    invitation = await invite(shop, key=by, **fields)
    assert invitation.status_code == 201, invitation.text
    answer = await accept(shop, invitation.json()["token"], key=own)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def code(shop: Shop, key: str, path: str = "/v1/members", method: str = "GET") -> str | None:
    found: str | None = (await shop.call(method, path, key=key)).json().get("code")
    return found


async def test_an_invitation_becomes_a_member_with_a_key_of_the_role(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    made = (await invite(shop)).json()
    assert made["token"].startswith("vi_")
    assert (made["email"], made["role"], made["outcome"]) == (ADA, "editor", "open")
    listed = await shop.call("GET", "/v1/invitations")
    assert "token" not in listed.text
    assert [one["id"] for one in listed.json()["data"]] == [made["id"]]
    welcome = (await accept(shop, made["token"])).json()
    member, key = welcome["member"], welcome["key"]
    assert (member["name"], member["email"], member["role"]) == ("Ada", ADA, "editor")
    assert (key["role"], key["mode"], key["member_id"]) == ("editor", "live", member["id"])
    assert key["created_by"] == f"member:{member['id']}"
    assert (await shop.call("GET", "/v1/members", key=key["key"])).json()["data"] == [member]
    assert await code(shop, key["key"], f"/v1/members/{member['id']}", "DELETE") == "scope_missing"
    assert (await shop.call("GET", "/v1/invitations")).json()["data"][0]["outcome"] == "accepted"
    [published] = [e for e in events_of(accounts_settings, shop.id) if getattr(e, "member_id", "")]
    assert isinstance(published, events_pb2.ApiKeyChanged)
    assert published.member_id == member["id"]
    text = whole_text(accounts_settings)
    assert made["token"].rsplit("_", 1)[1] not in text
    assert key["key"].rsplit("_", 1)[1] not in text
    audit = [(actor, action) for actor, action, *_ in audit_of(accounts_settings, shop.id)[3:]]
    me = f"member:{member['id']}"
    assert audit == [
        (f"key:{shop.live.split('_')[2]}", "invitation.create"),
        (me, "member.join"),
        (me, "key.create"),
    ]
    entries = json.dumps([entry[3:] for entry in audit_of(accounts_settings, shop.id)])
    assert "Ada" not in entries
    assert ADA not in entries


async def test_accepting_again_gets_the_same_answer_and_nobody_else_gets_in(
    shop: Shop, clock: MovingClock
) -> None:
    token = (await invite(shop)).json()["token"]
    secret = str(new_uuid())
    answers = await asyncio.gather(*(accept(shop, token, secret=secret) for _ in range(3)))
    done = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in done}) == 1
    assert (await accept(shop, token, secret=secret)).content == done[0].content
    for guess in (None, "x" * 16):
        spied = await accept(shop, token, secret=guess)
        assert (spied.status_code, spied.json()["code"]) == (409, "invitation_ended")
    assert (await accept(shop, token, secret="short")).status_code == 422
    assert len((await shop.call("GET", "/v1/members")).json()["data"]) == 1
    other = await accept(shop, token, name="Eve", secret=secret)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    clock.ahead = timedelta(hours=25)
    late = await accept(shop, token, secret=secret)
    assert (late.status_code, late.json()["code"]) == (409, "invitation_ended")


@pytest.mark.parametrize("change", ["", "vi_x", "{}x", "vi_" + "0" * 32 + "_" + "a" * 43])
async def test_a_token_that_is_none_opens_nothing(shop: Shop, change: str) -> None:
    token = (await invite(shop)).json()["token"]
    answer = await accept(shop, change.format(token[:-1]))
    assert (answer.status_code, answer.json()["code"]) == (401, "invitation_invalid")
    assert (await shop.call("GET", "/v1/members")).json()["data"] == []


async def test_invitations_end(shop: Shop, clock: MovingClock) -> None:
    made = (await invite(shop)).json()
    first = await shop.call("DELETE", f"/v1/invitations/{made['id']}")
    second = await shop.call("DELETE", f"/v1/invitations/{made['id']}")
    assert (first.json()["outcome"], first.json()["email"]) == ("revoked", "")
    assert first.json() == second.json()
    assert (await accept(shop, made["token"])).json()["code"] == "invitation_ended"
    made = (await invite(shop)).json()
    clock.ahead = timedelta(days=7, minutes=1)
    assert (await accept(shop, made["token"])).json()["code"] == "invitation_ended"
    clock.ahead = timedelta(days=38)
    await invite(shop)
    assert len((await shop.call("GET", "/v1/invitations")).json()["data"]) == 1
    clock.ahead = timedelta()
    accepted = (await invite(shop, email="b@shop.example")).json()
    await accept(shop, accepted["token"])
    taken = await shop.call("DELETE", f"/v1/invitations/{accepted['id']}")
    assert (taken.status_code, taken.json()["code"]) == (409, "invitation_ended")
    again = await invite(shop, email="B@shop.example")
    assert (again.status_code, again.json()["code"]) == (409, "member_exists")


async def test_nobody_invites_to_more_than_the_own_power(shop: Shop) -> None:
    refused = await invite(shop, key=shop.test)
    assert (refused.status_code, refused.json()["code"]) == (403, "live_key_needed")
    weak = (
        await shop.call(
            "POST",
            "/v1/api-keys",
            {
                "name": "w",
                "mode": "live",
                "role": "owner",
                "scopes": ["accounts:read", "accounts:write"],
            },
        )
    ).json()["key"]
    for role in ("owner", "editor"):
        assert (await invite(shop, key=weak, role=role)).json()["code"] == "key_too_powerful"
    assert (await invite(shop, key=weak, role="billing")).status_code == 201
    editor = (await join(shop))["key"]["key"]
    assert (await invite(shop, key=editor)).json()["code"] == "scope_missing"
    for body in ({"email": "nobody"}, {"role": "king"}, {"email": "a\x00@b.example"}):
        assert (await invite(shop, **body)).status_code == 422


async def test_whoever_leaves_has_no_key_any_more(shop: Shop, accounts_settings: AccountsSettings) -> None:
    address = f"ada-{shop.id}@shop.example"
    ada = await join(shop, role="owner", email=address)
    own = ada["key"]["key"]
    rotated = (
        await shop.call("POST", f"/v1/api-keys/{ada['key']['id']}:rotate", {"overlap_s": 60}, key=own)
    ).json()
    assert rotated["member_id"] == ada["member"]["id"]
    newest, import_key = rotated["key"], {"name": "Import", "mode": "live"}
    made = (await shop.call("POST", "/v1/api-keys", import_key, key=newest)).json()
    pending = (await invite(shop, key=newest, email="c@shop.example")).json()
    answer = await shop.call("DELETE", f"/v1/members/{ada['member']['id']}")
    assert answer.json() == {
        "data": [
            {
                "brand_id": shop.id,
                "keys_revoked": 2,
                "keys_made": [{"id": made["id"], "name": "Import", "role": "editor"}],
                "refused": None,
            }
        ]
    }
    for key in (own, rotated["key"]):
        assert await code(shop, key) == "key_revoked"
    assert (await shop.call("GET", "/v1/brands", key=made["key"])).status_code == 200
    assert (await accept(shop, pending["token"])).json()["code"] == "invitation_ended"
    shown = (await shop.call("GET", f"/v1/members/{ada['member']['id']}")).json()
    assert (shown["name"], shown["email"], shown["removed_at"] is None) == ("", "", False)
    assert address not in whole_text(accounts_settings)
    again = await shop.call("DELETE", f"/v1/members/{ada['member']['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "member_not_found")
    assert (await join(shop))["member"]["id"] != ada["member"]["id"]


async def test_a_role_changes_with_its_keys_and_the_last_owner_stays(shop: Shop) -> None:
    ada = await join(shop, role="owner")
    own, path = ada["key"]["key"], f"/v1/members/{ada['member']['id']}"
    machine = [one["id"] for one in (await shop.call("GET", "/v1/api-keys")).json()["data"]]
    machine = [one for one in machine if one == shop.live.split("_")[2]]
    assert (await shop.call("DELETE", f"/v1/api-keys/{machine[0]}", key=own)).status_code == 200
    for method, body in (("DELETE", None), ("PATCH", {"role": "viewer"})):
        last = await shop.call(method, path, body, key=own)
        assert (last.status_code, last.json()["code"]) == (409, "last_owner_key")
    bob = await join(shop, by=own, email="b@shop.example", role="owner")
    changed = await shop.call("PATCH", path, {"role": "viewer"}, key=bob["key"]["key"])
    assert (changed.status_code, changed.json()["role"]) == (200, "viewer")
    assert await code(shop, own, path, "DELETE") == "scope_missing"
    key = (await shop.call("GET", f"/v1/api-keys/{ada['key']['id']}", key=own)).json()
    scopes = [
        "accounts:read",
        "catalog:read",
        "events:read",
        "notifications:read",
        "sync:read",
        "webhooks:read",
    ]
    assert (key["role"], key["scopes"]) == ("viewer", scopes)
    mine = await shop.call("POST", f"/v1/api-keys/{ada['key']['id']}:rotate", {"overlap_s": 0}, key=own)
    assert (mine.status_code, mine.json()["role"]) == (201, "viewer")


async def test_nobody_rotates_the_own_key_of_somebody_else(shop: Shop) -> None:
    ada, bob = await join(shop, role="owner"), await join(shop, email="b@shop.example", role="owner")
    path = f"/v1/api-keys/{ada['key']['id']}"
    for key in (bob["key"]["key"], shop.live):
        refused = await shop.call("POST", f"{path}:rotate", {}, key=key)
        assert (refused.status_code, refused.json()["code"]) == (403, "key_of_another_person")
    assert (await shop.call("DELETE", path, key=bob["key"]["key"])).status_code == 200


async def test_an_invitation_does_not_outlive_the_power_of_who_made_it(shop: Shop) -> None:
    ada = await join(shop, role="owner")
    by_ada = await invite(shop, key=ada["key"]["key"], email="c@shop.example")
    await shop.call("PATCH", f"/v1/members/{ada['member']['id']}", {"role": "viewer"})
    assert (await accept(shop, by_ada.json()["token"])).json()["code"] == "invitation_ended"
    program = {"name": "p", "mode": "live", "role": "owner"}
    key = (await shop.call("POST", "/v1/api-keys", program)).json()
    by_key = await invite(shop, key=key["key"], email="d@shop.example")
    await shop.call("DELETE", f"/v1/api-keys/{key['id']}")
    assert (await accept(shop, by_key.json()["token"])).json()["code"] == "invitation_ended"
    ends = (system_clock() + timedelta(hours=1)).isoformat()
    brief = (await shop.call("POST", "/v1/api-keys", program | {"expires_at": ends})).json()
    assert (await invite(shop, key=brief["key"])).json()["code"] == "key_too_powerful"


async def test_a_test_key_withdraws_nothing(shop: Shop) -> None:
    made = (await invite(shop)).json()
    assert await code(shop, shop.test, f"/v1/invitations/{made['id']}", "DELETE") == "live_key_needed"
    for path in ("/v1/invitations", "/v1/members", f"/v1/members/{new_uuid()}"):
        assert await code(shop, shop.test, path) == "live_key_needed"
    ada = await join(shop, email="b@shop.example")
    seen = await shop.call("GET", "/v1/invitations", key=ada["key"]["key"])
    assert "@" not in seen.text
    audit = (await shop.call("GET", "/v1/audit", key=shop.test)).json()["data"]
    assert not [one for one in audit if one["object"].startswith(("member:", "invitation:"))]


async def test_leaving_everywhere_goes_on_behind_a_brand_that_refuses(shop: Shop) -> None:
    second, third = await second_brand(shop), await second_brand(shop)
    ada = await join(shop, role="owner")
    own = ada["key"]["key"]
    bob = await join(shop, email="b@shop.example")
    for brand in (second, third):
        await join(brand, own=own, role="owner")
        await join(brand, own=bob["key"]["key"], email="b@shop.example", role="owner")
    alone = sorted([second, third], key=lambda one: one.id)[0]
    first = (await alone.call("GET", "/v1/members")).json()["data"]
    keys = (await alone.call("GET", "/v1/api-keys")).json()["data"]
    theirs = [one["id"] for one in keys if one["member_id"] == ada["member"]["id"]]
    assert len(first) == 2
    await alone.call("DELETE", f"/v1/api-keys/{theirs[0]}")
    bobs = [one for one in keys if one["member_id"] == bob["member"]["id"]]
    assert len(bobs) == 1
    machine = alone.live.split("_")[2]
    ends = (system_clock() + timedelta(hours=2)).isoformat()
    rotated = await alone.call("POST", f"/v1/api-keys/{machine}:rotate", {"expires_at": ends})
    assert rotated.status_code == 201, rotated.text
    left = await shop.call("DELETE", f"/v1/members/{bob['member']['id']}?everywhere=true", key=own)
    told = {one["brand_id"]: one["refused"] for one in left.json()["data"]}
    assert told[alone.id]["code"] == "last_owner_key"
    assert [brand for brand, refused in told.items() if refused] == [alone.id]
    assert len(told) == 3


async def second_brand(shop: Shop) -> Shop:
    return await open_shop(shop.http, organisation_id=shop.brand["organisation_id"])


async def test_one_person_in_two_brands_of_an_organisation(shop: Shop, other: Shop) -> None:
    second = await second_brand(shop)
    assert second.brand["organisation_id"] == shop.brand["organisation_id"] == shop.id
    ada = await join(shop, role="owner")
    own = ada["key"]["key"]
    there = await join(second, own=own, role="owner")
    assert there["member"]["id"] == ada["member"]["id"]
    stranger = await join(other, own=own)
    assert stranger["member"]["id"] != ada["member"]["id"]
    seen = (await shop.call("GET", "/v1/organisation", key=own)).json()
    assert [one["id"] for one in seen["brands"]] == sorted([shop.id, second.id])
    for_machine = (await shop.call("GET", "/v1/organisation")).json()
    assert [one["id"] for one in for_machine["brands"]] == [shop.id]
    bob = await join(shop, email="b@shop.example")
    bob_there = await join(second, own=bob["key"]["key"], email="b@shop.example")
    path = f"/v1/members/{bob['member']['id']}?everywhere=true"
    answer = (await shop.call("DELETE", path, key=own)).json()
    assert [one["brand_id"] for one in answer["data"]] == [shop.id, second.id]
    for brand, key in ((shop, bob), (second, bob_there)):
        assert await code(brand, key["key"]["key"]) == "key_revoked"


async def test_a_program_removes_from_its_own_brand_only(shop: Shop) -> None:
    second = await second_brand(shop)
    ada = await join(shop)
    there = await join(second, own=ada["key"]["key"])
    answer = await shop.call("DELETE", f"/v1/members/{ada['member']['id']}?everywhere=true")
    assert [one["brand_id"] for one in answer.json()["data"]] == [shop.id]
    assert (await second.call("GET", "/v1/members", key=there["key"]["key"])).status_code == 200
    back = await join(shop, own=there["key"]["key"])
    assert back["member"]["id"] == ada["member"]["id"]


async def test_no_other_brand_sees_people(shop: Shop, other: Shop, database: AppDatabase) -> None:
    ada = await join(shop)
    pending = (await invite(shop, email="c@shop.example")).json()
    member = f"/v1/members/{ada['member']['id']}"
    for method, path, body in (
        ("GET", member, None),
        ("PATCH", member, {"role": "viewer"}),
        ("DELETE", member, None),
        ("DELETE", member + "?everywhere=true", None),
        ("DELETE", f"/v1/invitations/{pending['id']}", None),
    ):
        assert (await other.call(method, path, body)).status_code == 404, (method, path)
    for path in ("/v1/members", "/v1/invitations"):
        assert (await other.call("GET", path)).json()["data"] == []
    for brand in (BrandId(UUID(other.id)), BrandId(new_uuid())):
        async with database.read(brand) as session:
            for table in (models.members, models.invitations):
                assert await session.all(select(table)) == []
            found = await session.all(select(models.organisations))
            assert {row.organisation_id for row in found} <= {UUID(other.id)}


async def test_an_unknown_organisation_makes_no_brand(shop: Shop) -> None:
    with pytest.raises(AssertionError, match="organisation_not_found"):
        await open_shop(shop.http, organisation_id=str(new_uuid()))


async def test_the_brand_says_whether_an_approval_needs_another_person(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    assert shop.brand["approval_needs_other_person"] is False
    changed = await shop.call("PATCH", f"/v1/brands/{shop.id}", {"approval_needs_other_person": True})
    assert changed.json()["approval_needs_other_person"] is True
    said = [e for e in events_of(accounts_settings, shop.id) if isinstance(e, events_pb2.BrandChanged)]
    assert [event.approval_needs_other_person for event in said] == [False, True]
