"""The replica in PostgreSQL: interleavings, duplicates, two consumers at once, and the order of locks."""

import asyncio
from itertools import permutations

from tests.shop_sync.conftest import Shop
from vitrin.events.envelope import Message
from vitrin.shop_sync.consumers import replica_part
from vitrin.shop_sync.domain.replica import ItemReplica, join_all
from vitrin.shop_sync.repository import replica


def story(shop: Shop, item_id: str) -> list[Message]:
    return [
        shop.content(item_id, version=1),
        shop.offer(item_id, 1000, version=1),
        shop.deleted(item_id, versions=(2, 1)),
        shop.content(item_id, version=3, title="Back again"),
        shop.offer(item_id, 900, version=2),
    ]


async def stored(shop: Shop, item_id: str) -> ItemReplica:
    async with shop.database.write([shop.brand]) as tx:
        return (await replica.lock(tx, [(shop.brand, item_id)]))[(shop.brand, item_id)]


async def test_every_order_ends_in_the_same_rows_and_states(shop: Shop) -> None:
    meta = await shop.connect()
    orders = list(permutations(range(5)))
    stories = {f"{number:03}": story(shop, f"{number:03}") for number in range(len(orders))}
    for turn in range(5):
        for start in range(0, len(orders), 40):
            batch = [
                stories[f"{number:03}"][orders[number][turn]]
                for number in range(start, min(start + 40, len(orders)))
            ]
            await shop.hear(*batch)
    for item_id, messages in stories.items():
        expected = join_all(replica_part(message)[1] for message in messages)
        assert await stored(shop, item_id) == expected, item_id
        assert expected.exists
    assert set((await meta.states()).values()) == {"pending"}
    hashes = await shop.rows(
        "select count(*) as n, count(distinct content_version) as c, count(distinct offer_version) as o"
        " from channel_items where brand_id = :brand"
    )
    assert (hashes[0].n, hashes[0].c, hashes[0].o) == (120, 1, 1)


async def test_one_message_at_a_time_and_twice_is_the_same(shop: Shop) -> None:
    messages = story(shop, "1")
    for message in [*reversed(messages), *messages, messages[2]]:
        await shop.hear(message)
    assert await stored(shop, "1") == join_all(replica_part(message)[1] for message in messages)


async def test_two_consumers_on_the_same_items_never_wait_in_a_ring(shop: Shop) -> None:
    meta = await shop.connect()
    names = [f"{number:02}" for number in range(30)]
    contents = {name: [shop.content(name) for _ in range(6)] for name in names}
    offers = {name: [shop.offer(name, 1000 + turn) for turn in range(6)] for name in names}

    async def follow(lanes: dict[str, list[Message]], *, backwards: bool) -> None:
        for turn in range(6):
            order = reversed(names) if backwards else names
            await shop.hear(*[lanes[name][turn] for name in order])

    async with shop.dispatching():
        await asyncio.gather(follow(contents, backwards=False), follow(offers, backwards=True))
        await meta.until(dict.fromkeys(names, "live"))
    prices = {item["fields"]["price"] for item in (await meta.shows()).values()}
    assert prices == {"10.05 USD"}


async def test_a_channel_that_opens_between_changes_misses_none(shop: Shop) -> None:
    names = [f"{number:03}" for number in range(60)]

    async def change() -> None:
        for start in range(0, 60, 15):  # few enough batches for Meta's eight calls a minute
            part = names[start : start + 15]
            await shop.hear(*[shop.content(name) for name in part], *[shop.offer(name) for name in part])

    async with shop.dispatching():
        _, meta = await asyncio.gather(change(), shop.connect())
        await meta.until(dict.fromkeys(names, "live"))
