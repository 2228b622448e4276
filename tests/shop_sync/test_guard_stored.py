"""The removal guard on the real PostgreSQL: what is held, what is sent, who decides, and two workers at once."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.events.envelope import Message
from vitrin.kit.access.errors import ScopeMissing
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, KeyId, new_uuid
from vitrin.shop_sync.consumers import catalog_handler
from vitrin.shop_sync.domain.guard import Decision, Kind, Policy
from vitrin.shop_sync.errors import ChannelClosed, RemovalDecided, RemovalGrown, RemovalNotFound
from vitrin.shop_sync.main import Worker
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.releasing import Releasing
from vitrin.shop_sync.service.removals import Removals

ITEMS = 60
APPROVER = frozenset({"sync:read", "sync:approve"})


def names(count: int, first: int = 0) -> list[str]:
    return [f"i{number:03}" for number in range(first, first + count)]


def key(shop: Shop, scopes: frozenset[str] = APPROVER, brand: BrandId | None = None) -> Principal:
    return Principal(
        brand_id=brand or shop.brand,
        key_id=KeyId("k"),
        kind="secret",
        mode="live",
        role="approver",
        scopes=scopes,
    )


def removals(shop: Shop) -> Removals:
    return Removals(database=shop.app, clock=system_clock)


async def live(shop: Shop, count: int = ITEMS, platform: str = "meta") -> Connected:
    await shop.hear(
        *(shop.content(name) for name in names(count)), *(shop.offer(name) for name in names(count))
    )
    connected = await shop.connect(platform)
    async with shop.dispatching():
        await connected.until(dict.fromkeys(names(count), "live"))
    return connected


def sold_out(shop: Shop, name: str, **changes: Any) -> Message:
    return shop.offer(name, quantity=0, availability="out_of_stock", **changes)


async def waiting(shop: Shop, connected: Connected) -> Any:
    found = await removals(shop).requests(key(shop), state="open", before=None, limit=10)
    (request,) = [row for row in found if row.channel_id == connected.channel_id]
    return request


async def alerts(shop: Shop) -> list[str]:
    rows = await shop.rows(
        "select events, payload from outbox where brand_id = :brand and topic = 'shop_sync.alert.v1' order by id"
    )
    return [
        word
        for row in rows
        for word in ("removal_held", "removal_decided")
        for _ in range(bytes(row.payload).count(f"shop_sync.{word}".encode()))
    ]


async def decide(shop: Shop, request_id: UUID, decision: Decision) -> Any:
    return await removals(shop).decide(key(shop), request_id, decision, note="")


async def carry_out(worker: Worker) -> None:
    while await worker.releasing.look():
        pass


async def test_fifty_of_sixty_deleted_in_small_transactions(shop: Shop) -> None:
    meta = await live(shop)
    for name in names(50):
        await shop.hear(shop.deleted(name))
    request = await waiting(shop, meta)
    assert (request.waiting_removals, request.waiting_zeroings) == (30, 0)
    assert (request.limit_items, request.shown_items, request.passed_items) == (20, ITEMS, 20)
    assert request.causes == {"key:test": 30}
    assert await alerts(shop) == ["removal_held"]
    async with shop.dispatching():
        expected = (
            dict.fromkeys(names(20), "removed")
            | dict.fromkeys(names(30, 20), "held")
            | dict.fromkeys(names(10, 50), "live")
        )
        await meta.until(expected)
        assert sorted(await meta.shows()) == names(40, 20)
        assert await meta.codes("i020") == ["removal_held"]
        _, page = await removals(shop).request(key(shop), request.request_id, after="", limit=100)
        assert [row.item_id for row in page] == names(30, 20)
        assert (page[0].title, page[0].kind, page[0].reason["code"], page[0].actor) == (
            "Linen shirt i020",
            "removal",
            "item_deleted",
            "key:test",
        )
        decided = await decide(shop, request.request_id, "approved")
        assert (decided.state, decided.decided_by) == ("approved", "key:k")
        await carry_out(shop.worker)
        await meta.until(dict.fromkeys(names(50), "removed") | dict.fromkeys(names(10, 50), "live"))
    assert sorted(await meta.shows()) == names(10, 50)
    after, _ = await removals(shop).request(key(shop), request.request_id, after="", limit=1)
    assert (after.items_gone, after.waiting_removals, after.finished_at is not None) == (30, 0, True)
    assert await alerts(shop) == ["removal_held", "removal_decided"]
    audited = await shop.rows("select actor, action from audit_entries where brand_id = :brand")
    assert [tuple(row) for row in audited] == [("key:k", "removal_approved")]


async def test_each_channel_is_guarded_for_itself_and_another_brand_goes_on(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(10)))
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await until(_counts(pinterest), {"excluded": 10, "live": 50})
        await shop.hear(*(shop.deleted(name) for name in names(50, 10)))
        await until(_counts(meta), {"held": 40, "removed": 20})
        await until(_counts(pinterest), {"excluded": 10, "held": 30, "removed": 20})
    found = await removals(shop).requests(key(shop), state=None, before=None, limit=10)
    assert sorted((row.platform, row.waiting_removals) for row in found) == [("meta", 40), ("pinterest", 30)]
    shop.brand, shop.versions = BrandId(new_uuid()), {}
    other = await live(shop, 25)
    await shop.hear(*(shop.deleted(name) for name in names(20)))
    async with shop.dispatching():
        await until(_counts(other), {"live": 5, "removed": 20})
    assert await removals(shop).requests(key(shop), state=None, before=None, limit=10) == []


def _counts(connected: Connected) -> Any:
    async def counts() -> dict[str, int]:
        states = list((await connected.states()).values())
        return {state: states.count(state) for state in sorted(set(states))}

    return counts


async def test_a_first_sync_and_what_was_never_shown_are_not_held(shop: Shop) -> None:
    await shop.hear(
        *(shop.content(name) for name in names(ITEMS)), *(shop.offer(name) for name in names(ITEMS))
    )
    meta = await shop.connect()
    await shop.hear(*(shop.deleted(name) for name in names(ITEMS)))
    async with shop.dispatching():
        await until(_counts(meta), {"excluded": ITEMS})
    assert await shop.rows("select 1 from removal_requests where brand_id = :brand") == []


async def test_a_sold_out_wave_keeps_the_stock_and_the_price_goes_on(shop: Shop) -> None:
    meta = await live(shop)
    sends = len(await shop.sends())
    await shop.hear(*(sold_out(shop, name) for name in names(30)))
    request = await waiting(shop, meta)
    assert (request.waiting_removals, request.waiting_zeroings) == (0, 10)
    async with shop.dispatching():
        await meta.until(dict.fromkeys(names(ITEMS), "live") | dict.fromkeys(names(10, 20), "held"))
        assert [len(entry["item_ids"]) for entry in (await shop.sends())[sends:]] == [20]
        shown = await meta.shows()
        assert [shown[name]["fields"]["availability"] for name in ("i000", "i020")] == [
            "out of stock",
            "in stock",
        ]
        await shop.hear(sold_out(shop, "i020", price=999))
        await until(_field(meta, "i020", "price"), "9.99 USD")
        await until(_field(meta, "i020", "availability"), "in stock")
        await meta.until(dict.fromkeys(names(ITEMS), "live") | dict.fromkeys(names(10, 20), "held"))
        await decide(shop, request.request_id, "approved")
        await carry_out(shop.worker)
        await until(_field(meta, "i020", "availability"), "out of stock")
        await meta.until(dict.fromkeys(names(ITEMS), "live"))
    assert all(
        one["fields"]["availability"] == "out of stock" for one in list((await meta.shows()).values())[:30]
    )


def _field(connected: Connected, item_id: str, name: str) -> Any:
    async def look() -> Any:
        return (await connected.shows())[item_id]["fields"].get(name)

    return look


async def test_drafts_are_removals_and_what_is_held_follows_price_and_content(shop: Shop) -> None:
    meta = await live(shop, 25)
    await shop.hear(*(shop.content(name, status="draft") for name in names(25)))
    assert (await waiting(shop, meta)).waiting_removals == 5
    await shop.hear(shop.offer("i024", 500), shop.content("i023", status="draft", title="Renamed"))
    await shop.hear(sold_out(shop, "i022"))
    async with shop.dispatching():
        await until(_field(meta, "i024", "price"), "5.00 USD")
        await until(_field(meta, "i023", "title"), "Renamed")
        await meta.until(dict.fromkeys(names(20), "removed") | dict.fromkeys(names(5, 20), "held"))
    assert (await meta.shows())["i022"]["fields"]["availability"] == "in stock"


async def test_what_comes_back_is_released_without_anybodys_word(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(25)))
    request = await waiting(shop, meta)
    async with shop.dispatching():
        await meta.until(
            dict.fromkeys(names(20), "removed")
            | dict.fromkeys(names(5, 20), "held")
            | dict.fromkeys(names(35, 25), "live")
        )
        await shop.hear(
            *(shop.content(name) for name in names(25)), *(shop.offer(name) for name in names(25))
        )
        await meta.until(dict.fromkeys(names(ITEMS), "live"))
    after, page = await removals(shop).request(key(shop), request.request_id, after="", limit=100)
    assert (after.state, after.items_back, after.waiting_removals) == ("withdrawn", 5, 0)
    assert {row.state for row in page} == {"back"}
    assert await alerts(shop) == ["removal_held", "removal_decided"]
    with pytest.raises(RemovalDecided):
        await decide(shop, request.request_id, "approved")
    await shop.hear(*(shop.deleted(name) for name in names(20)))
    again = await removals(shop).requests(key(shop), state="open", before=None, limit=10)
    assert again == [], "what came back gave its room back"


async def test_a_second_wave_joins_the_open_request(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(30)))
    request = await waiting(shop, meta)
    await shop.hear(*(sold_out(shop, name) for name in names(5, 30)), shop.deleted("i040"))
    joined = await waiting(shop, meta)
    assert joined.request_id == request.request_id
    assert (joined.waiting_removals, joined.waiting_zeroings) == (11, 5)
    await shop.hear(*(shop.deleted(name) for name in names(5, 30)))
    turned = await waiting(shop, meta)
    assert (turned.waiting_removals, turned.waiting_zeroings) == (16, 0)
    assert await alerts(shop) == ["removal_held"], "a wave is one alert; its growth is told by the loop"


async def test_a_rejection_keeps_the_items_until_the_catalog_changes_them_again(shop: Shop) -> None:
    meta = await live(shop, 25)
    await shop.hear(*(shop.deleted(name) for name in names(25)))
    request = await waiting(shop, meta)
    await decide(shop, request.request_id, "rejected")
    assert (await decide(shop, request.request_id, "rejected")).state == "rejected"
    await carry_out(shop.worker)
    async with shop.dispatching():
        await meta.until(dict.fromkeys(names(20), "removed") | dict.fromkeys(names(5, 20), "held"))
        assert await meta.codes("i020") == ["removal_rejected"]
        await shop.hear(shop.content("i020"), shop.offer("i020", 700))
        await until(_field(meta, "i020", "price"), "7.00 USD")
        await meta.until(
            dict.fromkeys(names(20), "removed") | {"i020": "live"} | dict.fromkeys(names(4, 21), "held")
        )
        await decide(shop, request.request_id, "approved")
        await carry_out(shop.worker)
        await meta.until(
            dict.fromkeys(names(20), "removed") | {"i020": "live"} | dict.fromkeys(names(4, 21), "removed")
        )
    after, _ = await removals(shop).request(key(shop), request.request_id, after="", limit=1)
    assert (after.state, after.items_gone, after.items_kept, after.waiting_removals) == ("approved", 4, 1, 0)


async def test_a_changed_item_asks_anew_after_a_rejection(shop: Shop) -> None:
    meta = await live(shop, 21)
    await shop.hear(*(shop.content(name, status="draft") for name in names(21)))
    request = await waiting(shop, meta)
    await decide(shop, request.request_id, "rejected")
    await carry_out(shop.worker)
    await shop.hear(shop.content("i000"))  # gives one place back
    await shop.hear(shop.content("i020", status="archived"))
    async with shop.dispatching():
        await meta.until({"i000": "live"} | dict.fromkeys(names(20, 1), "removed"))


async def test_a_brand_chooses_its_limit_and_what_is_guarded(shop: Shop) -> None:
    meta = await live(shop, 30)
    policy = await removals(shop).change_policy(key(shop), percent=50, at_least=0, guarded=[Kind.REMOVAL])
    assert policy == Policy(50, 0, frozenset({Kind.REMOVAL}))
    assert await removals(shop).policy(shop.brand) == policy
    await shop.hear(*(sold_out(shop, name) for name in names(30)))
    await shop.hear(*(shop.deleted(name) for name in names(16)))
    request = await waiting(shop, meta)
    assert (request.waiting_removals, request.waiting_zeroings, request.limit_items) == (1, 0, 15)
    assert await removals(shop).policy(BrandId(new_uuid())) != policy
    audited = await shop.rows("select action, before, after from audit_entries where brand_id = :brand")
    assert [tuple(row) for row in audited] == [
        (
            "removal_policy_changed",
            {"percent": 10, "at_least": 20, "guarded": ["removal", "zeroing"]},
            {"percent": 50, "at_least": 0, "guarded": ["removal"]},
        )
    ]


async def test_who_may_decide(shop: Shop) -> None:
    meta = await live(shop, 21)
    await shop.hear(*(shop.deleted(name) for name in names(21)))
    request = await waiting(shop, meta)
    editor = frozenset({"sync:read", "sync:write"})
    with pytest.raises(ScopeMissing):
        await removals(shop).decide(key(shop, editor), request.request_id, "approved", note="")
    stranger = BrandId(new_uuid())
    for scopes in (APPROVER, editor):
        with pytest.raises(RemovalNotFound):
            await removals(shop).decide(key(shop, scopes, stranger), request.request_id, "approved", note="")
    with pytest.raises(RemovalGrown):
        await removals(shop).decide(key(shop), request.request_id, "approved", note="", items_max=0)
    assert (await waiting(shop, meta)).waiting_removals == 1
    decided = await removals(shop).decide(
        key(shop), request.request_id, "approved", note="all of it", items_max=1
    )
    assert (decided.state, decided.note) == ("approved", "all of it")


async def test_two_consumers_at_once_do_not_pass_the_limit_together(shop: Shop) -> None:
    meta = await live(shop)
    workers = [shop.fresh_worker(f"w{number}") for number in range(4)]

    async def hear(worker: Worker, found: list[str]) -> None:
        for name in found:
            async with shop.database.write([shop.brand]) as tx:
                await catalog_handler(worker.replicas)(tx, [shop.deleted(name)])

    parts = [names(ITEMS)[number::4] for number in range(4)]
    await asyncio.gather(*(hear(worker, part) for worker, part in zip(workers, parts, strict=True)))
    assert (await waiting(shop, meta)).waiting_removals == ITEMS - 20
    states = list((await meta.states()).values())
    assert (states.count("pending"), states.count("held")) == (20, ITEMS - 20)


async def test_a_decision_is_carried_out_by_whoever_comes_next(shop: Shop) -> None:
    """In chunks, each a transaction: a worker that dies between two of them loses nothing."""
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(ITEMS)))
    request = await waiting(shop, meta)
    await decide(shop, request.request_id, "approved")
    await releasing(shop, chunk_items=15).look()
    half, _ = await removals(shop).request(key(shop), request.request_id, after="", limit=1)
    assert (half.items_gone, half.waiting_removals, half.finished_at) == (15, 25, None)
    await carry_out(shop.fresh_worker("another"))
    async with shop.dispatching():
        await meta.until(dict.fromkeys(names(ITEMS), "removed"))


async def test_a_closed_channel_needs_no_decision(shop: Shop) -> None:
    meta = await live(shop, 21)
    await shop.hear(*(shop.deleted(name) for name in names(21)))
    request = await waiting(shop, meta)
    await meta.change(state="deleted", deleted=True)
    with pytest.raises(ChannelClosed):
        await decide(shop, request.request_id, "approved")
    await releasing(shop).look()
    after, _ = await removals(shop).request(key(shop), request.request_id, after="", limit=1)
    assert (after.state, after.note) == ("withdrawn", "the channel was closed")
    assert sorted(await meta.shows()) == names(21)


async def test_a_channel_closed_after_the_decision_takes_nothing_down(shop: Shop) -> None:
    meta = await live(shop, 23)
    await shop.hear(*(shop.deleted(name) for name in names(23)))
    request = await waiting(shop, meta)
    await decide(shop, request.request_id, "approved")
    await meta.change(state="deleted", deleted=True)
    await carry_out(shop.worker)
    after, page = await removals(shop).request(key(shop), request.request_id, after="", limit=10)
    assert (after.items_gone, after.items_kept, after.waiting_removals) == (0, 3, 0)
    assert {row.state for row in page} == {"kept"}
    assert after.finished_at is not None


async def test_another_market_does_not_empty_the_channel(shop: Shop) -> None:
    """The first sync starts again, and finds no offers there."""
    meta = await live(shop)
    await meta.change(market="GB")
    async with shop.dispatching():
        await until(_counts(meta), {"held": ITEMS - 20, "removed": 20})
    request = await waiting(shop, meta)
    assert request.waiting_removals == ITEMS - 20
    await meta.change(market="US")
    async with shop.dispatching():
        await until(_counts(meta), {"live": ITEMS})
    assert await removals(shop).requests(key(shop), state="open", before=None, limit=10) == []


async def test_invalid_items_that_sell_out_are_held_too(shop: Shop) -> None:
    """What is shown has an older content; its price and stock go on following, so the guard stands before them."""
    meta = await live(shop, 25)
    async with shop.dispatching():
        await shop.hear(*(shop.content(name, title="x" * 400) for name in names(25)))
        await until(_counts(meta), {"invalid": 25})
        await shop.hear(*(sold_out(shop, name, price=777) for name in names(25)))

        async def offers() -> Any:
            fields = [one["fields"] for one in (await meta.shows()).values()]
            return sorted((one["price"], one["availability"]) for one in fields)

        await until(offers, [("7.77 USD", "in stock")] * 5 + [("7.77 USD", "out of stock")] * 20)
        await until(_counts(meta), {"invalid": 25})
    assert (await waiting(shop, meta)).waiting_zeroings == 5
    assert await meta.codes("i024") == ["title_too_long", "removal_held"]


async def test_what_was_let_go_is_not_held_again_before_it_is_sent(shop: Shop) -> None:
    """The platform is slow; meanwhile the shop changes prices, restocks and sells out again."""
    meta = await live(shop, 25)
    await shop.hear(*(sold_out(shop, name) for name in names(25)))
    request = await waiting(shop, meta)
    await decide(shop, request.request_id, "approved")
    await carry_out(shop.worker)
    await shop.hear(*(sold_out(shop, name, price=300) for name in names(25)))
    open_now = await removals(shop).requests(key(shop), state="open", before=None, limit=10)
    assert open_now == []
    async with shop.dispatching():
        await until(_field(meta, "i024", "availability"), "out of stock")
        await until(_counts(meta), {"live": 25})
    await shop.hear(*(shop.offer(name) for name in names(25)))
    await shop.hear(*(sold_out(shop, name) for name in names(25)))
    open_now = await removals(shop).requests(key(shop), state="open", before=None, limit=10)
    assert open_now == [], "what the platform shows already cannot be held"
    assert all(one["fields"]["availability"] == "out of stock" for one in (await meta.shows()).values())


async def test_what_waits_says_so_again_and_what_is_over_is_forgotten(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(25)))
    request = await waiting(shop, meta)
    await _at(shop, timedelta(minutes=2)).look()
    assert await alerts(shop) == ["removal_held"], "nothing was added"
    await shop.hear(*(shop.deleted(name) for name in names(5, 25)))
    await _at(shop, timedelta(minutes=2)).look()
    assert await alerts(shop) == ["removal_held"] * 2
    await _at(shop, timedelta(hours=20)).look()
    assert await alerts(shop) == ["removal_held"] * 2
    await _at(shop, timedelta(hours=30)).look()
    assert await alerts(shop) == ["removal_held"] * 3
    await decide(shop, request.request_id, "rejected")
    await carry_out(shop.worker)
    await _at(shop, timedelta(days=89)).look()
    assert (await removals(shop).request(key(shop), request.request_id, after="", limit=1))[0]
    await _at(shop, timedelta(days=91)).look()
    with pytest.raises(RemovalNotFound):
        await removals(shop).request(key(shop), request.request_id, after="", limit=1)
    assert await shop.rows("select 1 from removal_items where brand_id = :brand") == []
    assert (await meta.codes("i020"))[0] == "removal_rejected"


def _at(shop: Shop, later: timedelta) -> Releasing:
    """The loop of a process whose clock is ahead."""
    return releasing(shop, clock=lambda: system_clock() + later)


def releasing(shop: Shop, *, clock: Clock = system_clock, chunk_items: int = 500) -> Releasing:
    return Releasing(
        database=shop.database,
        desires=Desires(shop.catalogs),
        waker=shop.waker,
        clock=clock,
        remind_every=timedelta(hours=24),
        keep=timedelta(days=90),
        chunk_items=chunk_items,
    )


async def test_a_test_key_sees_requests_of_sandbox_channels_only(shop: Shop, shop_database: Any) -> None:
    meta = await live(shop, 21)
    await shop.hear(*(shop.deleted(name) for name in names(21)))
    request = await waiting(shop, meta)
    test_key = Principal(
        brand_id=shop.brand, key_id=KeyId("t"), kind="secret", mode="test", role="owner", scopes=APPROVER
    )
    assert (await removals(shop).request(test_key, request.request_id, after="", limit=1))[0]
    async with shop.database.write([shop.brand]) as tx:
        await tx.execute(text("update channels set mode = 'live' where brand_id = :b"), {"b": shop.brand})
    assert await removals(shop).requests(test_key, state=None, before=None, limit=10) == []
    with pytest.raises(RemovalNotFound):
        await removals(shop).request(test_key, request.request_id, after="", limit=1)


async def test_no_brand_reads_another_brands_requests(shop: Shop) -> None:
    await live(shop, 21)
    await shop.hear(*(shop.deleted(name) for name in names(21)))
    database: AppDatabase = shop.app
    async with database.read(BrandId(new_uuid())) as tx:
        for table in ("requests", "items", "work", "windows", "charges", "policies"):
            assert await tx.all(text(f"select 1 from removal_{table}")) == [], table
