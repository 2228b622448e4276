"""Platforms that accept and forget, show something else, or fail a batch without a word: on the real parts."""

from typing import Any

import pytest

from tests.shop_sync.conftest import Shop, until
from tests.shop_sync.test_hunt import names, seeded


def hurry(shop: Shop) -> None:
    """What is accepted has to be shown within 50 ms."""
    dispatch = shop.settings.dispatch.model_copy(update={"shown_within_ms": 50})
    shop.settings = shop.settings.model_copy(update={"dispatch": dispatch})
    shop.worker = shop.fresh_worker("shop_sync-test")


async def sent_items(shop: Shop, platform: str) -> list[list[str]]:
    """The ids of every batch, oldest first."""
    entries = [entry for entry in await shop.log(platform) if entry["endpoint"] == "send"]
    return [entry["item_ids"] for entry in sorted(entries, key=lambda entry: entry["seq"])]


async def steps(shop: Shop, item: str) -> list[tuple[str, str]]:
    rows = await shop.rows(
        "select step, reasons->0->>'code' as code from timeline where brand_id = :brand and item_id = :item"
        " order by at, content_version",
        item=item,
    )
    return [(row.step, row.code) for row in rows]


async def test_half_of_a_batch_that_meta_took_never_appeared_and_goes_again_alone(shop: Shop) -> None:
    hurry(shop)
    items = names(6)
    await shop.fault(kind="half_batch", platform="meta", item_ids=["001", "004"])
    await seeded(shop, items, set())
    meta = await shop.connect("meta")
    async with shop.dispatching():
        await meta.until(dict.fromkeys(items, "live"))
    assert sorted(await meta.shows()) == items
    first, *later = await sent_items(shop, "meta")
    assert sorted(first) == items
    assert sorted(name for ids in later for name in ids) == ["001", "004"]
    assert ("pending", "sent_again") in await steps(shop, "001")
    assert ("pending", "sent_again") not in await steps(shop, "000")


@pytest.mark.parametrize("what", ["prices", "removals"])
async def test_so_do_prices_and_removals(shop: Shop, what: str) -> None:
    hurry(shop)
    items = names(4)
    await seeded(shop, items, set())
    meta = await shop.connect("meta")
    async with shop.dispatching():
        await meta.until(dict.fromkeys(items, "live"))
        await shop.fault(kind="half_batch", platform="meta", item_ids=["002"])
        if what == "prices":
            await shop.hear(*(shop.offer(name, 1999) for name in items))
        else:
            await shop.hear(*(shop.deleted(name) for name in items))

        async def shown() -> set[str]:
            return {item["fields"]["price"] for item in (await meta.shows()).values()}

        await until(shown, {"19.99 USD"} if what == "prices" else set())
        await meta.until(dict.fromkeys(items, "live" if what == "prices" else "removed"))
    assert ("pending", "sent_again") in await steps(shop, "002")
    again = [name for ids in (await sent_items(shop, "meta"))[2:] for name in ids]
    assert again == ["002"]


async def test_what_never_appears_is_told_and_not_sent_for_ever(shop: Shop) -> None:
    hurry(shop)
    await shop.fault(kind="half_batch", platform="meta", item_ids=["001"], count=None)
    await seeded(shop, names(3), set())
    meta = await shop.connect("meta")
    async with shop.dispatching():
        await meta.until({"000": "live", "001": "rejected", "002": "live"})
        assert await meta.codes("001") == ["accepted_not_shown"]
        assert [ids for ids in await sent_items(shop, "meta") if "001" in ids][1:] == [["001"]] * 3
        (await shop.sandbox.delete("/_sandbox/faults")).raise_for_status()
        await shop.hear(shop.content("001", title="Another shirt"))
        await meta.until(dict.fromkeys(names(3), "live"))


async def test_what_the_platform_changes_by_itself_is_put_right(shop: Shop) -> None:
    hurry(shop)
    drift: dict[str, Any] = {"kind": "drift", "platform": "pinterest", "changes": ["price"]}
    await shop.fault(**drift, item_ids=["001"], count=1)
    await seeded(shop, names(2), set())
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until(dict.fromkeys(names(2), "live"))
    shown = await pinterest.shows()
    assert {item["fields"]["price"] for item in shown.values()} == {"24.99 USD"}


async def test_pinterest_fails_a_batch_once_and_nobody_is_blamed(shop: Shop) -> None:
    items = names(5)
    await shop.fault(kind="fail_batch", platform="pinterest", count=1)
    await seeded(shop, items, set())
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until(dict.fromkeys(items, "live"))
    assert ("pending", "batch_refused") in await steps(shop, "003")
    first, *later = await sent_items(shop, "pinterest")
    assert sorted(name for ids in later for name in ids) == sorted(first) == items


async def test_pinterest_fails_every_batch_with_one_item_and_says_nothing(shop: Shop) -> None:
    items = names(9)
    await shop.fault(kind="fail_batch", platform="pinterest", item_ids=["006"], count=None)
    await seeded(shop, items, set())
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until({name: "rejected" if name == "006" else "live" for name in items})
    assert await pinterest.codes("006") == ["platform_refused"]
    reasons = await shop.rows(
        "select reasons->0->>'message' as message from channel_items where brand_id = :brand and item_id = '006'"
    )
    assert reasons[0].message == "The platform refused the item, also 4 times alone, and gave no reason."
    batches = await sent_items(shop, "pinterest")
    assert batches.count(["006"]) == 4
    with_it = [ids for ids in batches if "006" in ids]
    assert len(with_it) <= 1 + 4 + 4
    others = [name for ids in batches if "006" not in ids for name in ids]
    assert sorted(others) == [name for name in items if name != "006"]
    assert await shop.rows("select 1 from hunts where brand_id = :brand") == []
    assert await shop.rows("select 1 from attempts where brand_id = :brand") == []


async def test_a_single_item_that_is_failed_without_a_word_is_tried_again_before_it_is_blamed(
    shop: Shop,
) -> None:
    await shop.fault(kind="fail_batch", platform="pinterest", count=2)
    await seeded(shop, ["000"], set())
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until({"000": "live"})
    assert len(await sent_items(shop, "pinterest")) == 3


async def test_who_was_only_in_a_batch_with_a_culprit_is_sent_again_without_it(shop: Shop) -> None:
    items = names(4)
    await shop.fault(kind="fail_batch", platform="pinterest", count=1)
    await shop.fault(kind="refuse_items", platform="pinterest", item_ids=["002"], count=1)
    await seeded(shop, items, set())
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until({name: "rejected" if name == "002" else "live" for name in items})
    assert await pinterest.codes("002") != ["platform_refused"]
    first, *later = await sent_items(shop, "pinterest")
    assert sorted(first) == items
    assert [sorted(ids) for ids in later] == [["000", "001", "003"]]


async def test_a_handle_for_another_batch_does_not_undo_the_halving(shop: Shop) -> None:
    """Meta takes every batch; what became of the first one, and whose fault it was, it never says."""

    async def halved() -> list[int]:
        rows = await shop.rows("select items_max from channel_work where items_max is not null")
        return [row.items_max for row in rows]

    items = names(8)
    await shop.fault(kind="fail_batch", platform="meta", final_status="canceled", count=1)
    await seeded(shop, items, set())
    meta = await shop.connect("meta")
    async with shop.dispatching():
        await until(halved, [4])
        await seeded(shop, ["100"], set())
        await meta.until(dict.fromkeys([*items, "100"], "live"))
        await until(halved, [8])
    first, *later = await sent_items(shop, "meta")
    assert sorted(first) == items
    assert max(len(ids) for ids in later) == 4
