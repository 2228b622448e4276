"""A catalog that held items before Vitrin: they are matched, taken over, left alone, and removed only on approval."""

from typing import Any
from uuid import UUID

import pytest

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import KeyId, new_uuid
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.domain.values import Channel, Claim
from vitrin.shop_sync.errors import (
    AdoptionItemSent,
    AdoptionNothingToRemove,
    AdoptionRemovalOpen,
    ApprovalNeedsOtherPerson,
)
from vitrin.shop_sync.main import Worker
from vitrin.shop_sync.service.adoption import Adoption, Choice
from vitrin.shop_sync.service.removals import Removals

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


STRANGERS = {f"stranger-{number}": {"title": f"Stranger {number}"} for number in range(5)}
HELD = {
    "by-id": {"title": "old"},
    "other-7": {"title": "old", "gtin": "0" + GTINS[0]},
    "other-8": {"title": "old", "link": "http://www.SHOP.example/p/by-link/?utm_source=meta#top"},
    "twin-1": {"title": "old", "gtin": GTINS[1]},
    "twin-2": {"title": "old", "gtin": GTINS[1]},
    **STRANGERS,
}
SHOWN = {
    "by-id": "New by-id",
    "other-7": "New by-gtin",
    "other-8": "New by-link",
    "twin-1": "old",
    "twin-2": "old",
    "new": "New new",
    **{item_id: fields["title"] for item_id, fields in STRANGERS.items()},
}
LIVE = {"by-id": "live", "by-gtin": "live", "by-link": "live", "new": "live"}


async def matched(shop: Shop) -> Connected:
    """Five of ours against ten of theirs, before anything is sent."""
    made = await account(shop)
    await seed(shop, made, HELD)
    gtins = {"by-gtin": GTINS[0], "doubtful": GTINS[1]}
    for item in ("by-id", "by-gtin", "by-link", "doubtful", "new"):
        await shop.hear(shop.content(item, title=f"New {item}", gtin=gtins.get(item, "")), shop.offer(item))
    return await connect(shop, made)


async def counts(shop: Shop, channel: UUID) -> dict[tuple[str, str], int]:
    return (await adoption(shop).summary(person(shop), channel)).counts


async def test_matches_adopt_and_strangers_stay(shop: Shop) -> None:
    connected = await matched(shop)
    async with shop.dispatching():
        await connected.until(LIVE | {"doubtful": "invalid"})
        await until(lambda: state(shop, connected.channel_id), "done")
    assert await shown(connected) == SHOWN
    assert await connected.codes("doubtful") == ["adoption_ambiguous"]
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
    _, _, lines, _ = await shop.reading.timeline(
        shop.brand, "by-gtin", sandbox_only=True, before=None, limit=100
    )
    assert [one.summary for one in lines if one.step == "adopted"] == [
        "Took over the item 'other-7' that Meta held already, found by its GTIN"
    ]


async def test_a_decision_lets_what_waits_go_and_what_comes_later_finds_its_counterpart(shop: Shop) -> None:
    connected = await matched(shop)
    channel = connected.channel_id
    async with shop.dispatching():
        await connected.until(LIVE | {"doubtful": "invalid"})
        await until(lambda: state(shop, channel), "done")
        choices = [Choice("twin-1", "doubtful"), Choice("stranger-0", None)]
        await adoption(shop).resolve(person(shop), channel, choices)
        await connected.until(LIVE | {"doubtful": "live"})
        await shop.hear(shop.content("stranger-1", title="New late"), shop.offer("stranger-1"))
        await until(lambda: shown(connected), SHOWN | {"twin-1": "New doubtful", "stranger-1": "New late"})
        await until(lambda: state(shop, channel), "done")
    assert await counts(shop, channel) == {
        ("adopted", "id"): 2,
        ("adopted", "gtin"): 1,
        ("adopted", "link"): 1,
        ("adopted", "choice"): 1,
        ("left", ""): 1,
        ("stranger", ""): 4,
    }
    with pytest.raises(AdoptionItemSent):
        await adoption(shop).resolve(person(shop), channel, [Choice("twin-2", "new")])


async def test_strangers_go_only_when_somebody_else_approves(shop: Shop) -> None:
    made = await account(shop)
    await seed(shop, made, {name: {"title": name} for name in ("a", "b", "c", "late")})
    await shop.hear(shop.content("mug"), shop.offer("mug"))
    connected = await connect(shop, made)
    channel, asker = connected.channel_id, person(shop)
    removals = Removals(database=shop.app, clock=system_clock)
    async with shop.dispatching():
        await connected.until({"mug": "live"})
        await until(lambda: state(shop, channel), "done")
        with pytest.raises(AdoptionNothingToRemove):
            await adoption(shop).remove(asker, channel, ["a", "mug"])
        request = await adoption(shop).remove(asker, channel, ["a", "b", "late"])
        with pytest.raises(AdoptionRemovalOpen):
            await adoption(shop).remove(asker, channel, None)
        strict = person(shop, brand_approval_needs_other_person=True)
        with pytest.raises(ApprovalNeedsOtherPerson):
            await removals.decide(strict, request.request_id, "approved", note="")
        await shop.hear(shop.content("late", title="New late"), shop.offer("late"))
        await connected.until({"mug": "live", "late": "live"})
        assert set(await shown(connected)) == {"a", "b", "c", "late", "mug"}
        other = person(shop, key_id=KeyId("another"), brand_approval_needs_other_person=True)
        await removals.decide(other, request.request_id, "approved", note="season is over")
        while await shop.worker.releasing.look():
            pass
        await until(lambda: shown(connected), {"c": "c", "late": "New late", "mug": "Linen shirt mug"})

        async def removed() -> dict[tuple[str, str], int]:
            return (await adoption(shop).summary(asker, channel)).counts

        await until(removed, {("adopted", "id"): 1, ("removed", ""): 2, ("stranger", ""): 1})
        done, page = await removals.request(asker, request.request_id, after="", limit=10)
        assert (done.items_gone, done.items_back, done.waiting_removals) == (2, 1, 0)
        assert [(one.item_id, one.state) for one in page] == [("a", "gone"), ("b", "gone"), ("late", "back")]
        rejected = await adoption(shop).remove(asker, channel, None)
        await removals.decide(other, rejected.request_id, "rejected", note="")
        while await shop.worker.releasing.look():
            pass
        await until(removed, {("adopted", "id"): 1, ("removed", ""): 2, ("stranger", ""): 1})
        assert set(await shown(connected)) == {"c", "late", "mug"}


async def test_a_listing_goes_on_where_another_worker_was_killed(shop: Shop) -> None:
    """1,100 items are three pages; after each, the worker is another one."""
    made = await account(shop)
    names = [f"held-{number:04}" for number in range(1_100)]
    for start in (0, 550):
        await seed(shop, made, {name: {} for name in names[start : start + 550]})
    connected = await connect(shop, made)
    channel = await connected.channel()
    before = len(await shop.log())
    for listed in (500, 1_000, 1_100):
        await steps(shop, shop.fresh_worker(str(listed)), channel, 1)
        found = await adoption(shop).summary(person(shop), connected.channel_id)
        assert found.stock is not None
        assert found.stock.listed == listed
    assert len(await shop.log()) == before + 3
    async with shop.dispatching():
        await until(lambda: state(shop, connected.channel_id), "done")
    counts = (await adoption(shop).summary(person(shop), connected.channel_id)).counts
    assert counts == {("stranger", ""): 1_100}


async def test_a_cursor_that_is_not_good_any_more_begins_again(shop: Shop) -> None:
    made = await account(shop)
    for start in (0, 300):
        await seed(shop, made, {f"held-{start + number:04}": {} for number in range(300)})
    connected = await connect(shop, made)
    await steps(shop, shop.worker, await connected.channel(), 1)
    body = {"error": {"message": "Invalid cursor", "type": "OAuthException", "code": 100}}
    await shop.fault(kind="refuse", platform="meta", path="/products", status=400, body=body, count=1)
    async with shop.dispatching():
        await until(lambda: state(shop, connected.channel_id), "done")
    found = await adoption(shop).summary(person(shop), connected.channel_id)
    assert found.stock is not None
    assert (found.stock.listed, found.stock.restarts, found.counts) == (600, 1, {("stranger", ""): 600})


async def test_what_cannot_be_listed_says_so_and_sends_nothing_until_somebody_skips(shop: Shop) -> None:
    await shop.hear(shop.content("mug"), shop.offer("mug"))
    body = {"error": {"message": "Unsupported get request", "type": "OAuthException", "code": 100}}
    await shop.fault(kind="refuse", platform="meta", path="/products", status=400, body=body, count=1)
    connected = await shop.connect()
    async with shop.dispatching():
        await until(lambda: state(shop, connected.channel_id), "failed")
        await connected.until({"mug": "pending"})
        found = await adoption(shop).summary(person(shop), connected.channel_id)
        assert found.stock is not None
        assert "Unsupported get request" in found.stock.trouble
        assert await connected.shows() == {}
        await adoption(shop).skip(person(shop), connected.channel_id)
        await connected.until({"mug": "live"})
    assert await state(shop, connected.channel_id) == "skipped"


async def test_another_id_template_matches_anew_and_versions_go_on(shop: Shop) -> None:
    made = await account(shop)
    await seed(shop, made, {"SKU-1": {"title": "old"}})
    await shop.hear(shop.content("mug", sku="SKU-1"), shop.offer("mug"))
    connected = await connect(shop, made)
    channel = await connected.channel()
    await steps(shop, shop.worker, channel, 4)
    await shop.reading.pause(shop.brand, connected.channel_id, actor="key:test", reason="", sandbox_only=True)
    await shop.hear(shop.content("mug", sku="SKU-1", title="Newer"))
    (before,) = await shop.rows("select version from channel_items where brand_id = :brand")
    await shop.reading.change_template(shop.brand, connected.channel_id, "{sku}", sandbox_only=True)
    await shop.reading.resume(shop.brand, connected.channel_id, actor="key:test", sandbox_only=True)
    async with shop.dispatching():
        await connected.until({"mug": "live"})
    (after,) = await shop.rows("select version from channel_items where brand_id = :brand")
    assert after.version > before.version
    assert await shown(connected) == {"SKU-1": "Newer"}


async def steps(shop: Shop, worker: Worker, channel: Channel, times: int) -> None:
    """So many steps of taking stock, as the session of a worker does them."""
    claim = Claim(new_uuid(), channel.brand_id, channel.channel_id)
    session = worker.dispatcher.session(claim)
    for _ in range(times):
        await session.stocktaking.step(channel)


async def test_a_token_that_ends_in_the_middle_of_a_listing_is_told_and_the_listing_goes_on(
    shop: Shop,
) -> None:
    made = await account(shop)
    await seed(shop, made, {f"held-{number:04}": {} for number in range(600)})
    await shop.hear(shop.content("mug"), shop.offer("mug"))
    connected = await connect(shop, made)
    await steps(shop, shop.worker, await connected.channel(), 1)
    token = {"platform": "meta", "access_token": made["access_token"]}
    (await shop.sandbox.post("/_sandbox/tokens", json=token | {"state": "expired"})).raise_for_status()

    async def standing() -> str:
        return str((await connected.channel()).state)

    async with shop.dispatching():
        await until(standing, "needs_attention")
        await connected.until({"mug": "pending"})
        found = await adoption(shop).summary(person(shop), connected.channel_id)
        assert found.stock is not None
        assert (found.stock.listed, found.stock.trouble.split(":")[0]) == (500, "token_expired")
        (await shop.sandbox.post("/_sandbox/tokens", json=token | {"state": "valid"})).raise_for_status()
        await connected.change(state="active")
        await connected.until({"mug": "live"})
        await until(lambda: state(shop, connected.channel_id), "done")
    assert await counts(shop, connected.channel_id) == {("stranger", ""): 600}
