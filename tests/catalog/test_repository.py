"""The write path on the real PostgreSQL: versions, tombstones, locks, and the outbox beside the rows."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tests.catalog.support import (
    ACTOR,
    NOW,
    admin_rows,
    migrated,
    new_brand,
    published,
    words_of_any_brand,
)
from vitrin.catalog import models
from vitrin.catalog.changes import Change, Decision, Outcome, Verb
from vitrin.catalog.service_places import Places
from vitrin.catalog.service_write import write_changes
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import DatabaseSettings


@pytest.fixture(scope="module")
def settings(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    return migrated(embedded_postgres)


@pytest.fixture(scope="module")
async def database(settings: DatabaseSettings) -> AsyncIterator[AppDatabase]:
    database = AppDatabase(settings=settings, service="catalog", clock=lambda: NOW)
    yield database
    await database.close()


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


def change(verb: Verb, item_id: str, **patch: object) -> Change:
    if verb in {Verb.CREATE, Verb.UPSERT}:
        patch = {"id": item_id, **patch}
    return Change(verb, item_id, patch, NOW)


async def write(database: AppDatabase, brand: BrandId, *changes: Change) -> list[Decision]:
    places = Places(brands=words_of_any_brand, clock=lambda: NOW)
    async with database.write(brand) as tx:
        place = await places.of(tx, brand)
        return await write_changes(tx, changes, place=place, actor=ACTOR, received_at=NOW)


def versions(settings: DatabaseSettings, brand: BrandId) -> list[tuple[object, ...]]:
    return admin_rows(
        settings,
        "select item_id, content_version, offer_version, content is not null from items"
        " where brand_id = %s order by item_id",
        brand,
    )


async def test_one_new_item_is_a_row_with_its_offer_and_two_events(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId
) -> None:
    [decision] = await write(
        database, brand, change(Verb.CREATE, "a/1", title="Mug", price="12.30 EUR", quantity=3)
    )
    assert decision.outcome is Outcome.CREATED
    assert versions(settings, brand) == [("a/1", 1, 1, True)]
    assert admin_rows(
        settings,
        "select market, currency, price_minor, effective_availability, offer_version from offers where brand_id = %s",
        brand,
    ) == [("DE", "EUR", 1230, "in_stock", 1)]
    assert admin_rows(settings, "select location, quantity from stock_levels where brand_id = %s", brand) == [
        ("default", 3)
    ]
    events = published(settings, brand)
    assert [(event.type, event.key) for event in events] == [
        ("catalog.item_changed", f"{brand}/a/1"),
        ("catalog.offer_changed", f"{brand}/a/1/DE"),
    ]
    item, offer = (event.message for event in events)
    assert (item.content.title, item.content_version, item.actor) == ("Mug", 1, ACTOR)  # type: ignore[attr-defined]
    assert (offer.price.amount_minor, offer.quantity, offer.availability) == (1230, 3, "in_stock")  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 200], ids=["arrays", "copy"])
async def test_each_lane_has_its_own_counter(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId, count: int
) -> None:
    ids = [f"i{number:03}" for number in range(count)]
    await write(database, brand, *(change(Verb.CREATE, one, title="Mug", price="1 EUR") for one in ids))
    await write(database, brand, *(change(Verb.OFFER, one, quantity=0) for one in ids))
    assert versions(settings, brand) == [(one, 1, 2, True) for one in ids]
    await write(database, brand, *(change(Verb.PATCH, one, color="blue") for one in ids))
    assert versions(settings, brand) == [(one, 2, 2, True) for one in ids]
    again = await write(database, brand, *(change(Verb.PATCH, one, color="blue", quantity=0) for one in ids))
    assert {one.outcome for one in again} == {Outcome.UNCHANGED}
    assert versions(settings, brand) == [(one, 2, 2, True) for one in ids]
    events = published(settings, brand)
    assert len(events) == 4 * count
    assert [event.message.availability for event in events if "offer" in event.type] == [  # type: ignore[attr-defined]
        *(["in_stock"] * count),
        *(["out_of_stock"] * count),
    ]


@pytest.mark.parametrize("count", [1, 200], ids=["arrays", "copy"])
async def test_delete_leaves_a_tombstone_and_recreate_goes_on_counting(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId, count: int
) -> None:
    ids = [f"i{number:03}" for number in range(count)]
    create = [change(Verb.UPSERT, one, title="Mug", price="1 EUR", quantity=2, sku="S") for one in ids]
    await write(database, brand, *create)
    gone = await write(database, brand, *(change(Verb.DELETE, one) for one in ids))
    assert {one.outcome for one in gone} == {Outcome.DELETED}
    assert versions(settings, brand) == [(one, 2, 2, False) for one in ids]
    for table in ("offers", "stock_levels"):
        assert admin_rows(settings, f"select count(*) from {table} where brand_id = %s", brand) == [(0,)]
    again = await write(database, brand, *(change(Verb.DELETE, one) for one in ids))
    assert {one.outcome for one in again} == {Outcome.UNCHANGED}
    await write(database, brand, *create)
    assert versions(settings, brand) == [(one, 3, 3, True) for one in ids]
    kinds = [event.type for event in published(settings, brand)]
    assert kinds.count("catalog.item_deleted") == count
    assert kinds.count("catalog.item_changed") == kinds.count("catalog.offer_changed") == 2 * count


async def test_a_refused_new_item_leaves_nothing(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId
) -> None:
    decisions = await write(
        database,
        brand,
        change(Verb.UPSERT, "good", title="Mug", price="1 EUR"),
        change(Verb.UPSERT, "bad", title="Mug", price="1,50 EUR"),
        change(Verb.OFFER, "unknown", quantity=1),
        change(Verb.DELETE, "never"),
    )
    assert [one.outcome for one in decisions] == ["created", "refused", "refused", "refused"]
    assert [problem.code for one in decisions for problem in one.problems] == [
        "price_comma",
        "item_unknown",
        "item_unknown",
    ]
    assert versions(settings, brand) == [("good", 1, 1, True)]
    assert len(published(settings, brand)) == 2


async def test_two_writers_of_the_same_new_items_make_distinct_versions_in_outbox_order(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId
) -> None:
    """Both write the same new ids, in opposite order of their lists, with different content, many times."""
    ids = [f"i{number:02}" for number in range(20)]
    writers, rounds = 4, 6

    async def writer(name: int) -> None:
        for turn in range(rounds):
            batch = [
                change(Verb.UPSERT, one, title=f"{name}-{turn}", price=f"{name + 1}.{turn} EUR")
                for one in ids
            ]
            await write(database, brand, *(batch if name % 2 else reversed(batch)))

    await asyncio.gather(*(writer(name) for name in range(writers)))
    last = writers * rounds
    assert versions(settings, brand) == [(one, last, last, True) for one in ids]
    content_lane: dict[str, list[int]] = {one: [] for one in ids}
    offer_lane: dict[str, list[int]] = {one: [] for one in ids}
    titles: dict[str, str] = {}
    for event in published(settings, brand):
        message = event.message
        if event.type == "catalog.item_changed":
            content_lane[message.content.item_id].append(message.content_version)  # type: ignore[attr-defined]
            titles[message.content.item_id] = message.content.title  # type: ignore[attr-defined]
        else:
            offer_lane[message.item_id].append(message.offer_version)  # type: ignore[attr-defined]
    expected = {one: list(range(1, last + 1)) for one in ids}
    assert content_lane == expected
    assert offer_lane == expected
    stored = admin_rows(settings, "select item_id, content->>'title' from items where brand_id = %s", brand)
    assert {str(item_id): title for item_id, title in stored} == titles


async def test_a_query_without_a_brand_filter_shows_only_the_own_brand(
    settings: DatabaseSettings, database: AppDatabase, brand: BrandId
) -> None:
    other = new_brand()
    await write(database, brand, change(Verb.CREATE, "mine", title="Mug", price="1 EUR", item_group_id="g"))
    async with database.read(other) as tx:
        for table in models.metadata.tables:
            assert await tx.scalar(text(f"select count(*) from {table}")) == 0
    async with database.lookup() as tx:
        for table in models.metadata.tables:
            assert await tx.scalar(text(f"select count(*) from {table}")) == 0
    async with database.read(brand) as tx:
        assert await tx.scalar(text("select count(*) from items")) == 1


def test_models_and_migrations_agree(settings: DatabaseSettings) -> None:
    declared = sorted(
        (table.name, column.name) for table in models.metadata.tables.values() for column in table.columns
    )
    found = admin_rows(
        settings,
        "select table_name, column_name from information_schema.columns where table_schema = 'public'"
        " and table_name = any(%s)",
        list(models.metadata.tables),
    )
    assert sorted(found) == declared
