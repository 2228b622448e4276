"""The counts of a large brand are told again for a while; those of a small one never."""

from collections.abc import Iterator, Mapping
from uuid import uuid4

import psycopg
import pytest

from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.kit.settings import DatabaseSettings
from vitrin.shop_sync.service.counting import EXACT_ITEMS, Counting, kept_s
from vitrin.shop_sync.settings import SERVICE

_INSERT = """
    insert into channel_items (brand_id, channel_id, item_id, state, reasons, version, want, causes, flight_unknown,
        seen, exposed, removed, backlog, content_version, offer_version, actor, read_back_tries, updated_at)
    select %s, %s, 'item-' || n, 'live', '[]', 1, 'present', '[]', false,
        true, true, false, false, 1, 1, '', 0, %s from generate_series(1, %s) n
"""


@pytest.fixture
def superuser(shop_database: DatabaseSettings) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    url = shop_database.url.get_secret_value().replace("/postgres?", f"/vitrin_{SERVICE}?")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_how_long_a_count_is_kept() -> None:
    asked = (0, 10_000, 10_001, 100_000, 1_200_000, 5_000_000)
    assert [kept_s(items) for items in asked] == [0, 0, 10_001 / 20_000, 5, 60, 60]


async def test_a_large_brand_is_counted_again_when_its_count_is_old_and_a_small_one_each_time(
    shop_database: DatabaseSettings, superuser: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    large, small, channel = BrandId(uuid4()), BrandId(uuid4()), uuid4()
    now_s = 0.0
    counting = Counting(lambda: now_s)
    app = AppDatabase(settings=shop_database, service=SERVICE, clock=system_clock)

    async def counts(brand: BrandId) -> Mapping[str, int]:
        async with app.read(brand) as tx:
            return dict((await counting.counts(tx, brand)).get(ChannelId(channel), {}))

    def refuse(brand: BrandId, items: int) -> None:
        superuser.execute(
            "update channel_items set state = 'rejected' where brand_id = %s and item_id in"
            " (select 'item-' || n from generate_series(1, %s) n)",
            [brand, items],
        )

    try:
        for brand, items in ((large, EXACT_ITEMS + 1), (small, 3)):
            superuser.execute(_INSERT, [brand, channel, system_clock(), items])
        assert await counts(large) == {"live": 10_001}
        assert await counts(small) == {"live": 3}
        refuse(large, 1)
        refuse(small, 1)
        assert await counts(large) == {"live": 10_001}
        assert await counts(small) == {"live": 2, "rejected": 1}
        now_s = 0.5
        assert await counts(large) == {"live": 10_001}
        now_s = 0.51
        assert await counts(large) == {"live": 10_000, "rejected": 1}
        # Below the limit it is counted each time again.
        superuser.execute("delete from channel_items where brand_id = %s and state = 'rejected'", [large])
        now_s = 10.0
        assert await counts(large) == {"live": 10_000}
        refuse(large, 2)
        assert await counts(large) == {"live": 9_999, "rejected": 1}
    finally:
        superuser.execute("delete from channel_items where channel_id = %s", [channel])
        await app.close()
