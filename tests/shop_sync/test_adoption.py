"""A catalog that held items before Vitrin: they are matched, taken over, left alone, and removed only on approval."""

from typing import Any
from uuid import UUID

import pytest

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import KeyId, new_uuid
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.errors import AdoptionItemSent
from vitrin.shop_sync.service.adoption import Adoption, Choice

GTINS = ("4006381333931", "96385074", "5901234123457", "9780306406157")


async def account(shop: Shop) -> dict[str, Any]:
    made: dict[str, Any] = (await shop.sandbox.post("/_sandbox/accounts", json={"platform": "meta"})).json()
    return made


async def seed(shop: Shop, made: dict[str, Any], items: dict[str, dict[str, Any]]) -> None:
    catalog = made["external_ids"]["catalog_id"]
    body = {"items": [{"item_id": item_id, "fields": fields} for item_id, fields in items.items()]}
    (await shop.sandbox.post(f"/_sandbox/state/meta/{catalog}", json=body)).raise_for_status()


async def connect(shop: Shop, made: dict[str, Any], **changes: Any) -> Connected:
    connection = str(new_uuid())
    shop.accounts.tokens[connection] = made["access_token"]
    fields: dict[str, Any] = {
        "connection_id": connection,
        "brand_id": str(shop.brand),
        "version": 1,
        "platform": "meta",
        "mode": ConnectionMode.CONNECTION_MODE_SANDBOX,
        "base_url": made["base_url"],
        "external_ids": made["external_ids"],
        "state": "active",
        "market": "US",
        "language": "en",
        "id_template": "{id}",
        "currency": "USD",
    }
    message = ConnectionChanged(**(fields | changes))
    await shop.hear_connection(message)
    channels = await shop.reading.channels(shop.brand, sandbox_only=True)
    channel = next(one for one, _ in channels if str(one.connection_id) == connection)
    return Connected(shop, message, channel.channel_id, made["access_token"])


def person(shop: Shop, **fields: Any) -> Principal:
    values: dict[str, Any] = {
        "brand_id": shop.brand,
        "key_id": KeyId("key"),
        "kind": "secret",
        "mode": "live",
        "role": "owner",
        "scopes": frozenset({"sync:read", "sync:write", "sync:approve"}),
    }
    return Principal(**(values | fields))


def adoption(shop: Shop) -> Adoption:
    return Adoption(database=shop.app, waker=shop.waker, clock=system_clock)


async def shown(connected: Connected) -> dict[str, str]:
    return {item_id: item["fields"]["title"] for item_id, item in (await connected.shows()).items()}


async def state(shop: Shop, channel: UUID) -> str:
    found = (await adoption(shop).summary(person(shop), channel)).stock
    return found.state if found else ""


async def test_an_empty_catalog_costs_one_call(shop: Shop) -> None:
    await shop.hear(shop.content("mug"), shop.offer("mug"))
    before = len(await shop.log())
    connected = await shop.connect()
    async with shop.dispatching():
        await connected.until({"mug": "live"})
    reads = [one for one in (await shop.log())[before:] if one["path"].endswith("/products")]
    assert reads[0]["item_count"] == 0
    assert (await connected.channel()).stock == "none"
    assert await state(shop, connected.channel_id) == "done"


async def test_matches_adopt_and_strangers_stay(shop: Shop) -> None:
    made = await account(shop)
    strangers = {f"stranger-{number}": {"title": f"Stranger {number}"} for number in range(5)}
    await seed(
        shop,
        made,
        {
            "by-id": {"title": "old"},
            "other-7": {"title": "old", "gtin": "0" + GTINS[0]},
            "other-8": {"title": "old", "link": "http://www.SHOP.example/p/by-link/?utm_source=meta#top"},
            "twin-1": {"title": "old", "gtin": GTINS[1]},
            "twin-2": {"title": "old", "gtin": GTINS[1]},
            **strangers,
        },
    )
    ours = ("by-id", "by-gtin", "by-link", "doubtful", "new")
    gtins = {"by-gtin": GTINS[0], "doubtful": GTINS[1]}
    for item in ours:
        await shop.hear(shop.content(item, title=f"New {item}", gtin=gtins.get(item, "")), shop.offer(item))
    connected = await connect(shop, made)
    async with shop.dispatching():
        await connected.until(
            {"by-id": "live", "by-gtin": "live", "by-link": "live", "doubtful": "invalid", "new": "live"}
        )
        assert await shown(connected) == {
            "by-id": "New by-id",
            "other-7": "New by-gtin",
            "other-8": "New by-link",
            "twin-1": "old",
            "twin-2": "old",
            "new": "New new",
            **{item_id: fields["title"] for item_id, fields in strangers.items()},
        }
        assert await connected.codes("doubtful") == ["adoption_ambiguous"]
        await until(lambda: state(shop, connected.channel_id), "done")
        found = await adoption(shop).summary(person(shop), connected.channel_id)
        assert found.stock is not None
        assert found.stock.listed == 10
        assert found.counts == {
            ("adopted", "id"): 1,
            ("adopted", "gtin"): 1,
            ("adopted", "link"): 1,
            ("ambiguous", ""): 2,
            ("stranger", ""): 5,
        }
        _, _, steps, _ = await shop.reading.timeline(
            shop.brand, "by-gtin", sandbox_only=True, before=None, limit=100
        )
        assert [one.summary for one in steps if one.step == "adopted"] == [
            "Took over the item 'other-7' that Meta held already, found by its GTIN"
        ]

        # An item of ours that comes later finds its counterpart, and a decision lets the doubtful one go.
        await adoption(shop).resolve(
            person(shop), connected.channel_id, [Choice("twin-1", "doubtful"), Choice("stranger-0", None)]
        )
        await connected.until(
            {"by-id": "live", "by-gtin": "live", "by-link": "live", "doubtful": "live", "new": "live"}
        )
        await shop.hear(shop.content("stranger-1", title="New late"), shop.offer("stranger-1"))
        await until(
            lambda: shown(connected),
            {
                "by-id": "New by-id",
                "other-7": "New by-gtin",
                "other-8": "New by-link",
                "twin-1": "New doubtful",
                "twin-2": "old",
                "new": "New new",
                **{item_id: fields["title"] for item_id, fields in strangers.items()},
                "stranger-1": "New late",
            },
        )
        await until(lambda: state(shop, connected.channel_id), "done")
        counts = (await adoption(shop).summary(person(shop), connected.channel_id)).counts
        assert counts == {
            ("adopted", "id"): 2,
            ("adopted", "gtin"): 1,
            ("adopted", "link"): 1,
            ("adopted", "choice"): 1,
            ("left", ""): 1,
            ("stranger", ""): 4,
        }
        with pytest.raises(AdoptionItemSent):
            await adoption(shop).resolve(person(shop), connected.channel_id, [Choice("twin-2", "new")])
