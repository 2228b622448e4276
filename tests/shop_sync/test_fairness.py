"""Places of a worker are shared between brands, whatever one of them has to do."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from tests.shop_sync.conftest import Shop
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.repository import work
from vitrin.shop_sync.service.dispatcher import places_of_one


async def due(shop: Shop, brand: BrandId, channels: int, *, minutes_ago: int, platform: str = "meta") -> None:
    async with shop.database.write([brand]) as tx:
        for _ in range(channels):
            await work.ensure(tx, brand, ChannelId(uuid4()), platform=platform)
        await tx.execute(
            text("update channel_work set due_at = :at where brand_id = :brand"),
            {"at": system_clock() - timedelta(minutes=minutes_ago), "brand": brand},
        )


async def claim(shop: Shop, worker: str, limit: int) -> list[BrandId]:
    now = system_clock()
    async with shop.database.write() as tx:
        claims = await work.claim(
            tx,
            worker=worker,
            now=now,
            until=now + timedelta(seconds=30),
            limit=limit,
            one_max=places_of_one(limit),
        )
    return [one.brand_id for one in claims]


async def test_a_brand_with_many_channels_leaves_places_to_the_others(shop: Shop) -> None:
    big, small = BrandId(uuid4()), BrandId(uuid4())
    async with shop.database.write() as tx:
        await tx.execute(text("delete from channel_work"))
    await due(shop, big, 50, minutes_ago=10)
    first = await claim(shop, "w", 8)
    assert first.count(big) == places_of_one(8) == 4
    assert await claim(shop, "w", 2) == [], "its share is used up, also over several claims"
    await due(shop, small, 3, minutes_ago=1, platform="pinterest")
    assert await claim(shop, "w", 2) == [small]
    assert (await claim(shop, "w", 8)).count(small) == 2
    assert (await claim(shop, "another", 8)).count(big) == 4, "each worker has its own places"


def test_the_share_of_a_brand() -> None:
    assert [places_of_one(places) for places in (1, 2, 3, 4, 8, 100)] == [1, 1, 1, 2, 4, 50]


async def test_a_platform_that_hangs_leaves_places_to_the_others(shop: Shop) -> None:
    async with shop.database.write() as tx:
        await tx.execute(text("delete from channel_work"))
    sick, well = [BrandId(uuid4()) for _ in range(20)], BrandId(uuid4())
    for brand in sick:
        await due(shop, brand, 1, minutes_ago=10)
    await due(shop, well, 1, minutes_ago=1, platform="pinterest")
    first = await claim(shop, "w", 8)
    assert (len(first), well in first) == (5, True)
    assert await claim(shop, "w", 8) == []
