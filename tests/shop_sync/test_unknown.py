"""Nobody knows what became of a call: a look tells, for whole items, prices and removals, and for half a batch."""

from typing import Any

import pytest

from tests.shop_sync.conftest import Shop
from tests.shop_sync.picky import picky_platform
from tests.shop_sync.test_hunt import names, seeded, through


def likes_all(record: dict[str, Any]) -> bool:
    return record is None


@pytest.mark.parametrize("what", ["items", "prices", "removals"])
async def test_half_of_a_batch_arrived_and_the_answer_got_lost(shop: Shop, what: str) -> None:
    items = names(6)
    await seeded(shop, items, set())
    async with picky_platform(shop.sandbox, likes_all) as picky:
        pinterest = await through(shop, picky)
        async with shop.dispatching():
            if what == "items":
                picky.halves = 1
            await pinterest.until(dict.fromkeys(items, "live"))
            if what == "prices":
                picky.halves, picky.calls = 1, []
                await shop.hear(*(shop.offer(name, 1999) for name in items))
                await pinterest.until(dict.fromkeys(items, "live"))
            elif what == "removals":
                picky.halves, picky.calls = 1, []
                await shop.hear(*(shop.deleted(name) for name in items))
                await pinterest.until(dict.fromkeys(items, "removed"))
        shown = await pinterest.shows()
    first, *later = [ids for ids, _ in picky.calls]
    assert len(first) == 6
    again = [name for ids in later for name in ids]
    assert sorted(again) == sorted(first[3:]), "only what had not arrived goes again, once"
    if what == "removals":
        assert shown == {}
    else:
        price = "19.99 USD" if what == "prices" else "24.99 USD"
        assert {item["fields"]["price"] for item in shown.values()} == {price}
