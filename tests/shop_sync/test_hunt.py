"""A batch is refused as a whole, nobody is named: the culprits are found, and what was accepted is not sent again."""

import asyncio
from math import ceil, log2
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.shop_sync.conftest import Connected, Shop, until
from tests.shop_sync.picky import Picky, picky_platform
from tests.shop_sync.test_kills import kill, started


def names(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def is_bad(record: dict[str, Any]) -> bool:
    return "bad" in str(record.get("attributes", {}).get("title", ""))


async def seeded(shop: Shop, items: list[str], bad: set[str]) -> None:
    await shop.hear(
        *(
            shop.content(name, title=f"A bad shirt {name}" if name in bad else f"Shirt {name}")
            for name in items
        ),
        *(shop.offer(name) for name in items),
    )


async def through(shop: Shop, picky: Picky) -> Connected:
    """A Pinterest account behind the picky server."""
    made = await shop.connect("pinterest")
    path = urlsplit(made.message.base_url).path
    await made.change(base_url=f"{picky.url}{path}")
    return made


@pytest.mark.parametrize(
    ("count", "bad"), [(2, {"000"}), (7, {"006"}), (64, {"000", "033", "063"}), (100, {"050"})]
)
async def test_culprits_are_named_and_nothing_accepted_is_sent_again(
    shop: Shop, count: int, bad: set[str]
) -> None:
    items = names(count)
    await seeded(shop, items, bad)
    async with picky_platform(shop.sandbox, is_bad) as picky:
        pinterest = await through(shop, picky)
        async with shop.dispatching():
            await pinterest.until({name: "rejected" if name in bad else "live" for name in items})
    assert sorted(picky.taken) == sorted(set(items) - bad)
    assert len(picky.calls) - 1 <= len(bad) * (ceil(log2(count)) + 1)
    for name in bad:
        assert await pinterest.codes(name) == ["invalid_parameter"]
    steps = await shop.rows(
        "select distinct step, reasons->0->>'code' as code from timeline where brand_id = :brand"
        " and reasons->0->>'code' = 'batch_refused'"
    )
    assert "pending" in {row.step for row in steps}
    assert await shop.rows("select 1 from hunts where brand_id = :brand") == []
    assert await shop.rows("select 1 from attempts where brand_id = :brand") == []


async def test_prices_are_hunted_as_prices(shop: Shop) -> None:
    items = names(9)
    await seeded(shop, items, set())

    def too_dear(record: dict[str, Any]) -> bool:
        return bool(record.get("attributes", {}).get("price") == "99.00 USD")

    async with picky_platform(shop.sandbox, too_dear) as picky:
        pinterest = await through(shop, picky)
        async with shop.dispatching():
            await pinterest.until(dict.fromkeys(items, "live"))
            picky.calls.clear()
            await shop.hear(*(shop.offer(name, 9900 if name == "004" else 1999) for name in items))
            await pinterest.until({name: "rejected" if name == "004" else "live" for name in items})
        shown = await pinterest.shows()
    assert sorted(picky.taken) == sorted(set(items) - {"004"})
    assert len(picky.calls) - 1 <= ceil(log2(9)) + 1
    assert {shown[name]["fields"]["price"] for name in items} == {"19.99 USD", "24.99 USD"}


async def test_a_repaired_item_leaves_the_hunt_and_nobody_is_blamed_for_it(shop: Shop) -> None:
    items = names(8)
    await seeded(shop, items, {"006"})
    async with picky_platform(shop.sandbox, is_bad) as picky:
        pinterest = await through(shop, picky)
        async with shop.dispatching():
            while len(picky.calls) < 2:
                await asyncio.sleep(0.005)
            await shop.hear(shop.content("006", title="A good shirt"))
            await pinterest.until(dict.fromkeys(items, "live"))
        assert (await pinterest.shows())["006"]["fields"]["title"] == "A good shirt"


async def test_killed_in_the_middle_the_hunt_goes_on(shop: Shop) -> None:
    items, bad = names(40), {"017"}
    await seeded(shop, items, bad)
    async with picky_platform(shop.sandbox, is_bad) as picky:
        pinterest = await through(shop, picky)
        kills = 0
        for calls in (1, 3, 4, 6):
            dispatcher, task = await started(shop, "shop_sync-test")
            try:
                async with asyncio.timeout(10):
                    while len(picky.calls) < calls and not task.done():
                        await asyncio.sleep(0.002)
            finally:
                await kill(dispatcher, task)
                kills += 1
        dispatcher, task = await started(shop, "shop_sync-test")
        await pinterest.until({name: "rejected" if name in bad else "live" for name in items})
        await kill(dispatcher, task)
    assert sorted(await pinterest.shows()) == sorted(set(items) - bad)
    doubled = {name for name in picky.taken if picky.taken.count(name) > 1}
    assert doubled == set(), "what had arrived was seen by a look, and not sent again"
    assert await shop.rows("select 1 from hunts where brand_id = :brand") == []
    assert kills == 4


async def test_a_removal_can_be_the_culprit(shop: Shop) -> None:
    items = names(5)
    await seeded(shop, items, set())

    def no_removal_of_2(record: dict[str, Any]) -> bool:
        return record["operation"] == "DELETE" and record["item_id"] == "002"

    async with picky_platform(shop.sandbox, no_removal_of_2) as picky:
        pinterest = await through(shop, picky)
        async with shop.dispatching():
            await pinterest.until(dict.fromkeys(items, "live"))
            await shop.hear(*(shop.deleted(name) for name in items))
            await pinterest.until({name: "rejected" if name == "002" else "removed" for name in items})
        await until(lambda: _shown(pinterest), ["002"])


async def _shown(connected: Connected) -> list[str]:
    return sorted(await connected.shows())
