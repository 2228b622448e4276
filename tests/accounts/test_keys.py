import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.accounts.conftest import MovingClock, Shop
from tests.accounts.saved import audit_of, events_of
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.http import encode_cursor
from vitrin.protos.accounts.v1 import events_pb2


async def create(shop: Shop, *, key: str | None = None, **fields: Any) -> Any:
    return await shop.call("POST", "/v1/api-keys", {"name": "k", **fields}, key=key)


async def test_a_key_works_with_its_scopes_and_shows_its_secret_once(shop: Shop) -> None:
    answer = await create(shop, mode="live", role="viewer", scopes=["accounts:read"])
    assert answer.status_code == 201
    made = answer.json()
    assert made["scopes"] == ["accounts:read"]
    assert made["hint"] == f"vk_live_{made['id']}_…{made['key'][-4:]}"
    assert (await shop.call("GET", "/v1/brands", key=made["key"])).status_code == 200
    refused = await shop.call("PATCH", f"/v1/brands/{shop.id}", {"name": "x"}, key=made["key"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    listed = await shop.call("GET", "/v1/api-keys")
    assert made["key"].rsplit("_", 1)[1] not in listed.text
    assert len(listed.json()["data"]) == 3
    read = (await shop.call("GET", f"/v1/api-keys/{made['id']}")).json()
    assert read == {name: value for name, value in made.items() if name != "key"}


async def test_publishable_keys_only_send_events(shop: Shop) -> None:
    made = (await create(shop, kind="publishable", mode="live", role="owner")).json()
    assert made["key"].startswith("pk_live_")
    assert made["scopes"] == ["events:write"]
    refused = await shop.call("GET", "/v1/brands", key=made["key"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    wrong = await create(shop, kind="publishable", scopes=["catalog:write"])
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "scope_not_allowed")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"role": "viewer", "scopes": ["catalog:write"]}, "scope_not_allowed"),
        ({"scopes": ["catalog:fly"]}, "scope_unknown"),
        ({"scopes": []}, "scopes_empty"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "in_the_past"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(shop: Shop, fields: dict[str, Any], code: str) -> None:
    answer = await create(shop, **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, "key_invalid")
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert len((await shop.call("GET", "/v1/api-keys")).json()["data"]) == 2


@pytest.mark.parametrize(
    "fields", [{"role": "admin"}, {"mode": "prod"}, {"expires_at": "2030-01-01T00:00:00"}]
)
async def test_unknown_words_are_malformed(shop: Shop, fields: dict[str, Any]) -> None:
    assert (await create(shop, **fields)).status_code == 422


async def test_no_key_creates_more_power_than_its_own(shop: Shop) -> None:
    test_to_live = await create(shop, key=shop.test, mode="live")
    soon = (system_clock() + timedelta(hours=1)).isoformat()
    weak = (
        await create(
            shop, mode="live", role="owner", scopes=["accounts:write", "accounts:read"], expires_at=soon
        )
    ).json()["key"]
    more_scopes = await create(shop, key=weak, mode="live", role="viewer", expires_at=soon)
    lives_longer = await create(shop, key=weak, mode="live", role="owner", scopes=["accounts:read"])
    for answer in (test_to_live, more_scopes, lives_longer):
        assert (answer.status_code, answer.json()["code"]) == (403, "key_too_powerful")
    equal = await create(shop, key=weak, mode="live", role="owner", scopes=["accounts:read"], expires_at=soon)
    assert equal.status_code == 201
    editor = (await create(shop, mode="live", role="editor")).json()["key"]
    assert (await create(shop, key=editor, mode="test")).json()["code"] == "scope_missing"


async def test_a_revoked_key_stops_at_once_and_revoking_repeats(
    shop: Shop, accounts_settings: AccountsSettings
) -> None:
    made = (await create(shop, mode="live")).json()
    assert (await shop.call("GET", "/v1/brands", key=made["key"])).status_code == 200
    first = await shop.call("DELETE", f"/v1/api-keys/{made['id']}")
    second = await shop.call("DELETE", f"/v1/api-keys/{made['id']}")
    assert first.json()["revoked_at"] is not None
    assert first.json() == second.json()
    refused = await shop.call("GET", "/v1/brands", key=made["key"])
    assert (refused.status_code, refused.json()["code"]) == (401, "key_revoked")
    published = [
        (event.version, event.revoked_at_us > 0)
        for event in events_of(accounts_settings, shop.id)
        if isinstance(event, events_pb2.ApiKeyChanged) and event.key_id == made["id"]
    ]
    assert published == [(1, False), (2, True)]
    actions = [action for _, action, *_ in audit_of(accounts_settings, shop.id)]
    assert actions.count("key.revoke") == 1


async def test_an_expired_key_is_refused(shop: Shop, clock: MovingClock) -> None:
    end = system_clock() + timedelta(hours=1)
    made = (await create(shop, mode="live", expires_at=end.isoformat())).json()
    assert (await shop.call("GET", "/v1/brands", key=made["key"])).status_code == 200
    clock.ahead = timedelta(hours=2)
    refused = await shop.call("GET", "/v1/brands", key=made["key"])
    assert (refused.status_code, refused.json()["code"]) == (401, "key_expired")
    assert to_us(end) > 0


async def test_a_test_key_sees_no_live_keys(shop: Shop) -> None:
    live_id, test_id = shop.live.split("_")[2], shop.test.split("_")[2]
    listed = (await shop.call("GET", "/v1/api-keys", key=shop.test)).json()["data"]
    assert [key["id"] for key in listed] == [test_id]
    for method in ("GET", "DELETE"):
        answer = await shop.call(method, f"/v1/api-keys/{live_id}", key=shop.test)
        assert (answer.status_code, answer.json()["code"]) == (404, "key_not_found")
    assert (await shop.call("GET", "/v1/brands")).status_code == 200


async def test_keys_of_another_brand_are_not_there(shop: Shop, other: Shop) -> None:
    theirs = other.live.split("_")[2]
    for method in ("GET", "DELETE"):
        assert (await shop.call(method, f"/v1/api-keys/{theirs}")).status_code == 404
    assert (await other.call("GET", "/v1/brands")).status_code == 200


async def test_pages_follow_each_other(shop: Shop) -> None:
    for _ in range(3):
        await create(shop)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        query = "limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = (await shop.call("GET", f"/v1/api-keys?{query}")).json()
        seen += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert (len(seen), seen) == (5, sorted(set(seen)))
    for query, status in (("cursor=nonsense", 400), ("limit=0", 422), ("limit=501", 422)):
        assert (await shop.call("GET", f"/v1/api-keys?{query}")).status_code == status


def forged(shop: Shop) -> str:
    return shop.live[:-1] + ("A" if shop.live[-1] != "A" else "B")


async def test_keys_that_are_none_are_refused(shop: Shop) -> None:
    answer = await shop.http.get("/v1/brands")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")
    for key, code in (
        ("hello", "key_malformed"),
        (shop.live + "!", "key_malformed"),
        (forged(shop), "key_unknown"),
        (shop.live.replace("vk_live_", "vk_test_"), "key_unknown"),
        (shop.live.replace("vk_live_", "pk_live_"), "key_unknown"),
        ("vk_live_" + "a" * 16 + "_" + "b" * 43, "key_unknown"),
    ):
        answer = await shop.call("GET", "/v1/brands", key=key)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_last_owner_key_stays(shop: Shop, clock: MovingClock) -> None:
    keys = {key["mode"]: key["id"] for key in (await shop.call("GET", "/v1/api-keys")).json()["data"]}
    soon = (clock() + timedelta(minutes=5)).isoformat()
    for fields in (
        {"role": "editor"},
        {"role": "owner", "scopes": ["accounts:read"]},
        {"role": "owner", "expires_at": soon},
        {"kind": "publishable", "role": "owner"},
    ):
        assert (await create(shop, mode="live", **fields)).status_code == 201
    clock.ahead += timedelta(minutes=6)
    refused = await shop.call("DELETE", f"/v1/api-keys/{keys['live']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner_key")
    assert "role 'owner'" in refused.json()["fix"]
    assert (await shop.call("GET", "/v1/brands")).status_code == 200
    assert (await shop.call("DELETE", f"/v1/api-keys/{keys['test']}")).status_code == 200
    heir = (await create(shop, mode="live", role="owner")).json()
    assert (await shop.call("DELETE", f"/v1/api-keys/{keys['live']}")).status_code == 200
    again = await shop.call("DELETE", f"/v1/api-keys/{heir['id']}", key=heir["key"])
    assert (again.status_code, again.json()["code"]) == (409, "last_owner_key")


async def test_two_owner_keys_cannot_revoke_each_other_at_once(shop: Shop) -> None:
    heir = (await create(shop, mode="live", role="owner")).json()
    [first] = [
        key["id"]
        for key in (await shop.call("GET", "/v1/api-keys")).json()["data"]
        if key["mode"] == "live" and key["id"] != heir["id"]
    ]
    answers = await asyncio.gather(
        shop.call("DELETE", f"/v1/api-keys/{heir['id']}"),
        shop.call("DELETE", f"/v1/api-keys/{first}", key=heir["key"]),
    )
    assert [answer.status_code for answer in answers].count(200) == 1


async def test_impossible_ids_cursors_and_times_are_no_accidents(shop: Shop) -> None:
    for method in ("GET", "DELETE"):
        answer = await shop.call(method, "/v1/api-keys/a%00b")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    cursor = encode_cursor({"k": "a\x00b"})
    answer = await shop.call("GET", f"/v1/api-keys?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")
    answer = await create(shop, expires_at="0001-01-01T00:00:00+14:00")
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
