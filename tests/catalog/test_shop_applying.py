"""News of shops on the real PostgreSQL: matched, late, repeated, reordered, parked, at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from tests.catalog.shop_support import at, items_of, level, place_of, product, shop_of, variant
from tests.catalog.support import ACTOR, NOW, migrated, new_brand, published
from vitrin.catalog.changes import Change, Verb
from vitrin.catalog.domain import ExternalRefs
from vitrin.catalog.service_write import write_changes
from vitrin.catalog.shop import applying, repository_products
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId
from vitrin.kit.money import Money
from vitrin.kit.settings import DatabaseSettings
from vitrin.platforms.shop import ShopProduct, StockLevel


@pytest.fixture(scope="module")
def settings(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    return migrated(embedded_postgres)


@pytest.fixture(scope="module")
async def database(settings: DatabaseSettings) -> AsyncIterator[WorkerDatabase]:
    database = WorkerDatabase(settings=settings, service="catalog", clock=lambda: NOW)
    yield database
    await database.close()


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


async def applied(database: WorkerDatabase, shop: Shop, news: ShopProduct, *levels: StockLevel) -> Applied:
    async with database.write([shop.brand]) as tx:
        return await applying.apply_product(
            tx, shop, news, levels, place=place_of(shop.brand), received_at=NOW
        )


async def stocked(database: WorkerDatabase, shop: Shop, *levels: StockLevel) -> Applied:
    async with database.write([shop.brand]) as tx:
        return await applying.apply_stock(tx, shop, levels, place=place_of(shop.brand), received_at=NOW)


async def deleted(database: WorkerDatabase, shop: Shop, minute: int) -> Applied:
    async with database.write([shop.brand]) as tx:
        return await applying.delete_product(
            tx, shop, "1", at=at(minute), place=place_of(shop.brand), received_at=NOW
        )


async def item(
    database: WorkerDatabase,
    brand: BrandId,
    item_id: str,
    refs: ExternalRefs | None = None,
    **values: object,
) -> None:
    patch: Mapping[str, object] = {"id": item_id, "title": item_id, "price": "10.00 EUR", **values}
    async with database.write([brand]) as tx:
        change = Change(Verb.UPSERT, item_id, patch, NOW, refs)
        await write_changes(tx, [change], place=place_of(brand), actor=ACTOR, received_at=NOW)


async def test_product_becomes_items_of_the_file_rule(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    done = await applied(database, shop, product(variant("11", "Green"), variant("12", "Red", quantity=None)))
    assert (done.created, done.refused) == (2, {})
    found = items_of(settings, brand)
    assert list(found) == ["gloves-green", "gloves-red"]
    green = found["gloves-green"]
    assert (green.quantity, found["gloves-red"].quantity) == (5, None)
    assert green.content["title"] == "Gloves - Green"
    assert green.content["color"] == "Green"
    assert green.content["link"] == "https://shop.example/products/gloves?variant=11"
    assert green.refs == {
        "source": "shopify:acme.myshopify.com",
        "product_id": "1",
        "variant_id": "11",
        "handle": "gloves",
    }
    again = await applied(
        database, shop, product(variant("11", "Green"), variant("12", "Red", quantity=None))
    )
    assert (again.created, again.updated, again.unchanged) == (0, 0, 2)


async def test_old_news_and_deletions(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await applied(database, shop, product(variant("11"), minute=5, title="New"))
    events = len(published(settings, brand))
    assert (await applied(database, shop, product(variant("11"), minute=4, title="Old"))).stale
    assert (await deleted(database, shop, 4)).stale
    assert len(published(settings, brand)) == events
    assert (await deleted(database, shop, 5)).deleted == 1
    assert (await applied(database, shop, product(variant("11"), minute=5))).stale
    assert items_of(settings, brand) == {}
    assert (await applied(database, shop, product(variant("11"), minute=6))).created == 1


async def test_what_only_others_knew_stays_and_what_was_emptied_goes(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await applied(database, shop, product(variant("11", sku="S"), vendor="Acme", description_html="<p>a</p>"))
    await item(database, brand, "gloves", mpn="M", custom_label_0="x", google_product_category="173")
    await applied(database, shop, product(variant("11"), minute=2))
    content = items_of(settings, brand)["gloves"].content
    assert {name: content.get(name) for name in ("mpn", "custom_label_0", "google_product_category")} == {
        "mpn": "M",
        "custom_label_0": "x",
        "google_product_category": "173",
    }
    assert not {"brand", "description", "sku"} & set(content)
    refs = items_of(settings, brand)["gloves"].refs
    assert refs["variant_id"] == "11"


async def test_renamed_handle_keeps_the_item(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await applied(database, shop, product(variant("11", "Green")))
    await applied(
        database, shop, product(variant("11", "Green"), variant("12", "Red"), handle="mitts", minute=2)
    )
    found = items_of(settings, brand)
    assert list(found) == ["gloves-green", "mitts-red"]
    assert {one.refs["handle"] for one in found.values()} == {"mitts"}
    assert {one.content["item_group_id"] for one in found.values()} == {"gloves"}


async def test_variant_that_is_gone_and_one_that_was_made_again(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await applied(database, shop, product(variant("11", "Green"), variant("12", "Red")))
    done = await applied(database, shop, product(variant("13", "Green"), minute=2))
    assert (done.updated, done.deleted) == (1, 1)
    found = items_of(settings, brand)
    assert {item_id: one.refs["variant_id"] for item_id, one in found.items()} == {"gloves-green": "13"}


async def test_match_by_sku_and_gtin_of_a_feed(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await item(database, brand, "A-1", sku="S1")
    await item(database, brand, "A-2", gtin="4006381333931")
    news = product(variant("11", "Green", sku="S1"), variant("12", "Red", barcode="4006381333931"))
    done = await applied(database, shop, news)
    assert (done.created, done.updated) == (0, 2)
    assert {one: found.refs["variant_id"] for one, found in items_of(settings, brand).items()} == {
        "A-1": "11",
        "A-2": "12",
    }


async def test_ambiguity_never_guesses(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await item(database, brand, "A-1", sku="S1")
    await item(database, brand, "A-2", sku="S2")
    await item(database, brand, "A-3", sku="S2")
    news = product(
        variant("11", "Green", sku="S1"), variant("12", "Red", sku="S1"), variant("13", "Blue", sku="S2")
    )
    assert (await applied(database, shop, news)).created == 3
    assert list(items_of(settings, brand)) == [
        "A-1",
        "A-2",
        "A-3",
        "gloves-blue",
        "gloves-green",
        "gloves-red",
    ]


async def test_two_shops_of_a_brand_keep_their_own_items(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    one, other = shop_of(brand), shop_of(brand, "other.myshopify.com")
    await applied(database, one, product(variant("11", sku="S")))
    await applied(database, other, product(variant("11", sku="S")))
    found = items_of(settings, brand)
    assert len(found) == 2
    assert {item.refs["source"] for item in found.values()} == {
        "shopify:acme.myshopify.com",
        "shopify:other.myshopify.com",
    }


async def test_stock_that_comes_first_waits_for_its_product(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    parked = await stocked(database, shop, level("11", 3), level("11", 4, location="L2"))
    assert (parked.parked, parked.updated) == (1, 0)
    await applied(database, shop, product(variant("11", quantity=99), minute=2))
    assert items_of(settings, brand)["gloves"].quantity == 7
    assert (await stocked(database, shop, level("11", 1, minute=0))).stale
    assert (await stocked(database, shop, level("11", -2, minute=3))).updated == 1
    assert items_of(settings, brand)["gloves"].quantity == 2
    await stocked(database, shop, level("11", None, minute=4, location="L2"))
    assert items_of(settings, brand)["gloves"].quantity == 0


async def test_stock_of_many_says_of_each_what_it_would_alone(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    names = ("Green", "Red", "Blue")
    await applied(database, shop, product(*(variant(str(11 + n), name) for n, name in enumerate(names))))
    await stocked(database, shop, level("11", 7, minute=30))
    levels = [level("11", 1, minute=20), level("12", 2, minute=30), level("13", 5, minute=30), level("99", 4)]
    async with database.write([brand]) as tx:
        told = await applying.apply_stocks(tx, shop, levels, place=place_of(brand), received_at=NOW)
    assert told == {
        "i11": Applied(stale=True),
        "i12": Applied(updated=1),
        "i13": Applied(unchanged=1),
        "i99": Applied(parked=1),
    }
    assert {name: one.quantity for name, one in items_of(settings, brand).items()} == {
        "gloves-green": 7,
        "gloves-red": 2,
        "gloves-blue": 5,
    }
    async with database.write([brand]) as tx:
        again = await applying.apply_stocks(tx, shop, levels, place=place_of(brand), received_at=NOW)
    assert again == {one.inventory_item_id: await stocked(database, shop, one) for one in levels}


async def test_what_a_webhook_leaves_out_about_stock_stays_as_it_is_known(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    first = (variant("11", "Green", quantity=7), variant("12", "Red", quantity=None))
    await applied(database, shop, product(*first))
    untold = [
        variant(number, color, quantity=9, tracking_told=False)
        for number, color in (("11", "Green"), ("12", "Red"))
    ]
    await applied(database, shop, product(*untold, minute=2))
    found = items_of(settings, brand)
    assert (found["gloves-green"].quantity, found["gloves-red"].quantity) == (9, None)
    await applied(database, shop, product(*first, minute=3))
    assert items_of(settings, brand)["gloves-green"].quantity == 7


async def test_what_cannot_be_read_is_left_out_and_shown(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    """A wrong barcode keeps no variant from the shopfronts; corrected, the warning goes."""
    shop = shop_of(brand)
    bad = variant("12", "Red", barcode="4006381333932", image_link="ftp://x.example/red.jpg")
    news = product(
        variant("11", "Green"), bad, title="G" * 600, description_html=f"<p>{'d' * 10_500}</p>",
        images=("https://x.example/a.jpg", "no address"), vendor="V" * 5_000, attributes={"a" * 99: "b" * 10_001},
    )  # fmt: skip
    done = await applied(database, shop, news)
    assert (done.created, done.refused) == (2, {})
    assert any("check digit" in one for one in done.warnings["gloves-red"])
    assert not any("check digit" in one for one in done.warnings["gloves-green"])
    found = items_of(settings, brand)
    red = found["gloves-red"].content
    assert (red.get("gtin"), red["attributes"]["barcode"]) == (None, "4006381333932")
    assert (len(red["title"]), len(red["description"])) == (500, 10_000)
    assert red["image_link"] == "https://x.example/a.jpg", "the next picture takes its place"
    assert "additional_image_links" not in red
    assert found["gloves-green"].content["image_link"] == "https://x.example/a.jpg"
    async with database.read([brand]) as tx:
        rows = await repository_products.page_warnings(tx, applying.key_of(shop), after="", limit=10)
        assert [one.item_id for one in rows] == ["gloves-green", "gloves-red"]
        told = {one["field"]: one["code"] for one in rows[1].warnings}
        assert await repository_products.warnings_of_item(tx, brand, "gloves-red") == rows[1].warnings
    assert told == {
        "title": "title_too_long",
        "description": "description_too_long",
        "brand": "text_too_long",
        "image_link": "url_scheme",
        "additional_image_link[1]": "url_invalid",
        "gtin": "gtin_check_digit",
        f"attributes.{'a' * 99}": "text_too_long",
    }
    good = product(variant("11", "Green"), variant("12", "Red", barcode="4006381333931"), minute=2)
    assert (await applied(database, shop, good)).warnings == {}
    assert items_of(settings, brand)["gloves-red"].content["gtin"] == "4006381333931"
    assert "barcode" not in items_of(settings, brand)["gloves-red"].content.get("attributes", {})
    async with database.read([brand]) as tx:
        assert await repository_products.count_warnings(tx, applying.key_of(shop)) == 0


async def test_refused_variant_says_why_and_is_bound_to_nothing(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    bad = product(variant("11", "Green"), variant("12", "Red", price=Money(1000, "USD")))
    done = await applied(database, shop, bad)
    assert done.created == 1
    assert list(done.refused) == ["gloves-red"]
    assert "USD" in done.refused["gloves-red"][0]
    assert (await stocked(database, shop, level("12", 3))).parked == 1
    right = replace(bad.variants[1], price=Money(1000, "EUR"))
    await applied(database, shop, replace(bad, variants=(bad.variants[0], right), updated_at=at(2)))
    assert items_of(settings, brand)["gloves-red"].quantity == 5


async def test_same_new_product_delivered_many_times_at_once(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await item(database, brand, "A-1", sku="S1")
    news = product(variant("11", "Green", sku="S1"), variant("12", "Red"))
    done = await asyncio.gather(
        *(applied(database, shop, news) for _ in range(4)),
        *(stocked(database, shop, level("12", 8)) for _ in range(4)),
    )
    assert sum(one.created for one in done) == 1
    assert list(items_of(settings, brand)) == ["A-1", "gloves-red"]
    await stocked(database, shop, level("12", 9, minute=2))
    assert items_of(settings, brand)["gloves-red"].quantity == 9


async def test_what_the_shop_calls_an_item_is_published(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    shop = shop_of(brand)
    await item(database, brand, "gloves", refs=ExternalRefs(source="shopify", handle="gloves"), sku="S")
    await item(database, brand, "gloves", refs=ExternalRefs(source="shopify", handle="gloves"), sku="S")
    news = product(variant("11", sku="S"), title="gloves")
    await applied(database, shop, news)
    await applied(database, shop, replace(news, handle="mitts", link="https://x.example/a", updated_at=at(2)))
    contents = [one.message for one in published(settings, brand) if one.type == "catalog.item_changed"]
    told = [
        (
            one.content_version,
            one.content.shop_product_id,
            one.content.shop_variant_id,
            one.content.shop_handle,
        )  # type: ignore[attr-defined]
        for one in contents
    ]
    assert told == [(1, "", "", "gloves"), (2, "1", "11", "gloves"), (3, "1", "11", "mitts")]


async def test_which_shop_it_is_of_is_published_though_nothing_else_changed(
    database: WorkerDatabase, settings: DatabaseSettings, brand: BrandId
) -> None:
    """The checkout hand-off compares the whole source; who told the ids by hand may have named another shop."""
    shop = shop_of(brand)
    by_hand = ExternalRefs(
        source="shopify:other.myshopify.com", handle="gloves", product_id="1", variant_id="11"
    )
    await applied(database, shop, product(variant("11", sku="S"), title="gloves"))
    await item(database, brand, "gloves", refs=by_hand)
    await applied(database, shop, product(variant("11", sku="S"), title="gloves", minute=2))
    contents = [one.message for one in published(settings, brand) if one.type == "catalog.item_changed"]
    told = [(one.content_version, one.content.shop_source) for one in contents]  # type: ignore[attr-defined]
    whole = "shopify:acme.myshopify.com"
    assert told == [(1, whole), (2, by_hand.source), (3, whole)]
