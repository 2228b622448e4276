"""GET /v1/audit: every change with its actor, newest first, filtered, without secrets, of the own brand only."""

import json
from typing import Any

import pytest

from tests.accounts.conftest import Shop


async def audit(shop: Shop, *, key: str | None = None, **query: str) -> list[dict[str, Any]]:
    answer = await shop.http.get(
        "/v1/audit", params=query, headers={"Authorization": f"Bearer {key or shop.live}"}
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_every_change_of_accounts_is_there_with_its_actor(shop: Shop) -> None:
    made = (await shop.call("POST", "/v1/api-keys", {"name": "k", "mode": "live"})).json()
    connection = (await shop.connect()).json()
    await shop.call("PATCH", f"/v1/connections/{connection['id']}", {"access_token": "plat-token-2"})
    await shop.call("PATCH", f"/v1/brands/{shop.id}", {"name": "South"})
    await shop.call("POST", "/v1/outgoing:stop", {"reason": "test"})
    await shop.call("POST", "/v1/outgoing:resume", {})
    await shop.call("DELETE", f"/v1/connections/{connection['id']}")
    await shop.call("DELETE", f"/v1/api-keys/{made['id']}")
    entries = await audit(shop)
    assert [(one["action"], one["object"].split(":")[0]) for one in entries] == [
        ("key.revoke", "key"),
        ("connection.delete", "connection"),
        ("outgoing.resume", "outgoing"),
        ("outgoing.stop", "outgoing"),
        ("brand.change", "brand"),
        ("connection.change", "connection"),
        ("connection.create", "connection"),
        ("key.create", "key"),
        ("key.create", "key"),
        ("key.create", "key"),
        ("brand.create", "brand"),
    ]
    me = f"key:{shop.live.split('_')[2]}"
    assert [one["actor"] for one in entries] == [me] * 8 + ["operator"] * 3
    assert (entries[0]["changed"], entries[0]["before"]["revoked_at"]) == (["revoked_at"], None)
    assert (entries[4]["changed"], entries[4]["after"]["name"]) == (["name"], "South")
    text = json.dumps(entries)
    for secret in ("plat-token", made["key"].rsplit("_", 1)[1], "secret_hash", "ciphertext"):
        assert secret not in text


async def test_filters_and_pages(shop: Shop) -> None:
    for number in range(3):
        await shop.call("PATCH", f"/v1/brands/{shop.id}", {"name": f"Name {number}"})
    me, brand = f"key:{shop.live.split('_')[2]}", f"brand:{shop.id}"
    assert [one["after"]["name"] for one in await audit(shop, actor=me)] == ["Name 2", "Name 1", "Name 0"]
    assert len(await audit(shop, action="key")) == 2
    assert len(await audit(shop, action="key.create", actor="operator")) == 2
    assert await audit(shop, action="ke") == []
    assert len(await audit(shop, object=brand)) == 4
    changes = await audit(shop, object=brand)
    since = changes[1]["at"]
    assert await audit(shop, object=brand, since=since) == changes[:2]
    assert await audit(shop, object=brand, until=since) == changes[2:]
    seen, cursor = [], ""
    for _ in range(3):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await shop.call("GET", "/v1/audit?" + "&".join(f"{a}={b}" for a, b in query.items()))).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    assert (len(seen), cursor, seen) == (6, None, await audit(shop))


async def test_no_other_brand_sees_it(shop: Shop, other: Shop) -> None:
    assert await audit(other, object=f"brand:{shop.id}") == []
    assert {one["object"].split(":")[0] for one in await audit(other)} == {"brand", "key"}
    assert f"brand:{shop.id}" not in json.dumps(await audit(other))


async def test_a_test_key_sees_nothing_of_live_things(shop: Shop) -> None:
    await shop.connect(mode="live", external_ids={"catalog_id": f"live-{shop.id}"})
    await shop.connect()
    seen = await audit(shop, key=shop.test)
    assert sorted((one["action"], one["after"].get("mode")) for one in seen) == [
        ("brand.change", None),
        ("brand.create", None),
        ("connection.create", "sandbox"),
        ("key.create", "test"),
    ]
    assert len(await audit(shop)) == 6


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cursor=nonsense", 400),
        ("cursor=eyJhdCI6ICJ4IiwgImlkIjogIngifQ", 400),
        ("since=2026-01-01T00:00:00", 422),
        ("actor=a%00b", 422),
        ("limit=501", 422),
    ],
)
async def test_questions_that_make_no_sense(shop: Shop, query: str, status: int) -> None:
    assert (await shop.call("GET", f"/v1/audit?{query}")).status_code == status
