"""Files and webhooks of one shop, in any order: one item each, the same pieces, nothing twice."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.catalog.shop_support import SPEC, at, items_of, level, place_of, product, shop_of, variant
from tests.catalog.support import NOW, admin_rows, migrated, new_brand
from vitrin.catalog.changes import Change, Verb
from vitrin.catalog.importing import ImportDefaults, ImportFile
from vitrin.catalog.service_write import write_changes
from vitrin.catalog.shop import applying
from vitrin.catalog.shop.files import meet
from vitrin.catalog.shop.values import Shop
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import DatabaseSettings
from vitrin.platforms.shop import ShopProduct, StockLevel

CSV = (
    "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Tracker,"
    "Variant Inventory Qty,Google Shopping / MPN\n"
    "gloves,Gloves,Color,Green,S1,10.00,shopify,77,M1\n"
    "gloves,,Color,Red,S1,10.00,shopify,77,\n"
)
FIRST = product(variant("11", "Green", sku="S1"), variant("12", "Red", sku="S1"), minute=1)
RENAMED = replace(FIRST, handle="mitts", updated_at=at(4), title="Mitts")
STORY: tuple[object, ...] = (
    FIRST,
    replace(FIRST, title="Warm gloves", updated_at=at(3)),
    level("11", 1, minute=2),
    level("11", 6, minute=9),
    level("12", 2, minute=9, location="L2"),
    level("12", 4, minute=8),
    level("11", 3, minute=7, location="L2"),
)


class Runs:
    """One loop and one database for all examples."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.settings = settings
        self.runner = asyncio.Runner()
        self.database = WorkerDatabase(settings=settings, service="catalog", clock=lambda: NOW)

    async def csv(self, brand: BrandId, content: str = CSV) -> None:
        found = ImportFile([content.encode()], defaults=ImportDefaults(currency="EUR"))
        records = [record for record in found if record.kind == "item"]
        async with self.database.write([brand]) as tx:
            changes = []
            for record in await meet(tx, brand, records):
                assert record.item_id is not None
                values = {"id": record.item_id, **record.values}
                changes.append(Change(Verb.UPSERT, record.item_id, values, NOW, record.refs))
            done = await write_changes(
                tx, changes, place=place_of(brand), actor="key:csv", received_at=NOW, default_currency="EUR"
            )
            assert not [one.problems for one in done if one.problems]

    async def tell(self, shop: Shop, news: object) -> None:
        place = place_of(shop.brand)
        async with self.database.write([shop.brand]) as tx:
            if isinstance(news, ShopProduct):
                await applying.apply_product(tx, shop, news, (), place=place, received_at=NOW)
            elif isinstance(news, StockLevel):
                await applying.apply_stock(tx, shop, [news], place=place, received_at=NOW)
            else:
                await applying.delete_product(
                    tx, shop, "1", at=at(int(str(news))), place=place, received_at=NOW
                )

    async def story(self, shop: Shop, steps: Sequence[object], csv_after: int) -> None:
        for number, news in enumerate(steps):
            if number == csv_after:
                await self.csv(shop.brand)
            await self.tell(shop, news)
        if csv_after >= len(steps):
            await self.csv(shop.brand)


@pytest.fixture(scope="module")
def runs(embedded_postgres: EmbeddedPostgres) -> Iterator[Runs]:
    runs = Runs(migrated(embedded_postgres))
    yield runs
    runs.runner.run(runs.database.close())
    runs.runner.close()


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.permutations(STORY),
    repeats=st.lists(st.sampled_from(STORY), max_size=3),
    csv_after=st.integers(0, 10),
)
def test_any_order_of_file_products_and_stock(
    runs: Runs, steps: list[object], repeats: list[object], csv_after: int
) -> None:
    shop = shop_of(new_brand())
    runs.runner.run(runs.story(shop, [*steps, *repeats], csv_after))
    found = items_of(runs.settings, shop.brand)
    assert {item_id: (one.quantity, one.refs["variant_id"]) for item_id, one in found.items()} == {
        "gloves-green": (9, "11"),
        "gloves-red": (6, "12"),
    }
    assert found["gloves-green"].content["mpn"] == "M1"


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.permutations((*STORY, 5)), csv_first=st.booleans())
def test_a_deletion_among_them_ends_it(runs: Runs, steps: list[object], csv_first: bool) -> None:
    """A file after the deletion would be a new word of the brand: here it comes first or not at all."""
    shop = shop_of(new_brand())
    first_news = next(number for number, news in enumerate(steps) if isinstance(news, ShopProduct | int))
    if csv_first and steps[first_news] != 5:
        runs.runner.run(runs.csv(shop.brand))
    runs.runner.run(_told(runs, shop, steps))
    assert items_of(runs.settings, shop.brand) == {}
    assert admin_rows(runs.settings, "select 1 from shop_variants where brand_id = %s", shop.brand) == []


async def _told(runs: Runs, shop: Shop, steps: Sequence[object]) -> None:
    for news in steps:
        await runs.tell(shop, news)


def test_a_file_after_a_renamed_handle_finds_its_items(runs: Runs) -> None:
    shop = shop_of(new_brand())
    runs.runner.run(_told(runs, shop, [FIRST, RENAMED]))
    runs.runner.run(runs.csv(shop.brand))
    assert list(items_of(runs.settings, shop.brand)) == ["gloves-green", "gloves-red"]


def test_a_file_and_a_new_product_at_once_are_one_item_each(runs: Runs) -> None:
    shop = shop_of(new_brand())

    async def at_once() -> None:
        await asyncio.gather(
            runs.csv(shop.brand), *(runs.tell(shop, FIRST) for _ in range(3)), runs.csv(shop.brand)
        )

    runs.runner.run(at_once())
    found = items_of(runs.settings, shop.brand)
    assert {item_id: one.refs["variant_id"] for item_id, one in found.items()} == {
        "gloves-green": "11",
        "gloves-red": "12",
    }


WOO = replace(
    SPEC, name="woocommerce", refs_source="woocommerce", required_external_ids=("store",), own_secret=True
)
WOO_CSV = (
    "ID,Type,SKU,Name,Regular price,Parent,Attribute 1 name,Attribute 1 value(s),In stock?,Stock\n"
    "2,variation,S,,10,id:1,Color,Green,1,77\n"
    '1,variable,,Gloves,,,Color,"Green, Red",1,\n'
    "3,variation,S,,10,id:1,Color,Red,1,77\n"
)
TOLD = product(
    *(
        variant(number, color, sku="S", inventory_item_id="", quantity=4)
        for number, color in (("2", "Green"), ("3", "Red"))
    ),
    handle="gloves-warm",
    link="https://store.example/product/gloves-warm",
)


def woo_shop(brand: BrandId) -> Shop:
    return replace(shop_of(brand), spec=WOO, external_ids={"store": "https://store.example"})


@pytest.mark.parametrize("csv_first", [True, False])
def test_a_woocommerce_file_and_the_shops_webhook_are_one_item_each(runs: Runs, csv_first: bool) -> None:
    """Both variants have one SKU and the file knows no slug: the shop's ids tell."""
    shop = woo_shop(new_brand())
    steps = [runs.csv(shop.brand, WOO_CSV), runs.tell(shop, TOLD)]
    for step in steps if csv_first else reversed(steps):
        runs.runner.run(step)
    runs.runner.run(runs.csv(shop.brand, WOO_CSV))
    found = items_of(runs.settings, shop.brand)
    ids = ["gloves-green-2", "gloves-red-3"] if csv_first else ["gloves-warm-green", "gloves-warm-red"]
    assert list(found) == ids
    for item, variant_id in zip(found.values(), ("2", "3"), strict=True):
        assert item.refs["variant_id"] == variant_id
        assert item.refs["source"] == "woocommerce:https://store.example", "the shop has the last word"
        assert item.quantity == 4
        assert item.content["link"].startswith("https://store.example/")


def test_another_woocommerce_shop_numbers_alike_and_is_another(runs: Runs) -> None:
    """A file's rows with the numbers of a connected shop and other SKUs, before and after the webhook."""
    other = WOO_CSV.replace(",S,", ",OTHER,").replace("Gloves", "Mugs")
    for csv_first in (True, False):
        shop = woo_shop(new_brand())
        steps = [runs.csv(shop.brand, other), runs.tell(shop, TOLD)]
        for step in steps if csv_first else reversed(steps):
            runs.runner.run(step)
        assert list(items_of(runs.settings, shop.brand)) == [
            *("gloves-warm-green", "gloves-warm-red", "mugs-green-2", "mugs-red-3"),
        ]
