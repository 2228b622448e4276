"""From messages to platforms: the real PostgreSQL, the sandbox over sockets."""

from typing import Any

from tests.shop_sync.conftest import Connected, Shop, until


async def seed(shop: Shop, *item_ids: str) -> None:
    for item_id in item_ids:
        await shop.hear(shop.content(item_id), shop.offer(item_id))


async def live(shop: Shop, *item_ids: str, platform: str = "meta") -> Connected:
    await seed(shop, *item_ids)
    connected = await shop.connect(platform)
    async with shop.dispatching():
        await connected.until(dict.fromkeys(item_ids, "live"))
    return connected


async def test_a_new_connection_syncs_by_itself(shop: Shop) -> None:
    await seed(shop, "1", "2")
    await shop.hear(shop.content("3", status="draft"), shop.offer("3"))
    meta, pinterest = await shop.connect("meta"), await shop.connect("pinterest")
    expected = {"1": "live", "2": "live", "3": "excluded"}
    async with shop.dispatching():
        await meta.until(expected)
        await pinterest.until(expected)
    assert sorted(await meta.shows()) == ["1", "2"]
    assert sorted(await pinterest.shows()) == ["1", "2"]
    assert await meta.codes("3") == ["item_draft"]
    channel = await meta.channel()
    assert (channel.sync_total, channel.sync_done) == (3, 3)
    assert channel.sync_finished_at is not None
    kinds = await shop.rows("select kind, count(*) as n from lag_samples where brand_id = :brand group by 1")
    assert {row.kind: row.n for row in kinds} == {"accepted": 4, "seen": 4}


async def test_a_price_travels_alone(shop: Shop) -> None:
    meta = await live(shop, "1", "2")
    before = len(await shop.sends())
    async with shop.dispatching():
        await shop.hear(shop.offer("1", 1999))
        await until(lambda: price(meta, "1"), "19.99 USD")
        await meta.until({"1": "live", "2": "live"})
    [send] = (await shop.sends())[before:]
    assert send["item_ids"] == ["1"]
    steps = await shop.rows(
        "select step, summary from timeline where brand_id = :brand and item_id = '1' order by at, id"
    )
    assert [row.step for row in steps][-4:] == ["pending", "sent", "accepted", "live"]
    assert steps[-4].summary == "New price or stock waits to be sent to Meta"
    fields = (await meta.shows())["1"]["fields"]
    assert fields["title"] == "Linen shirt 1"


async def price(connected: Connected, item_id: str) -> Any:
    return (await connected.shows())[item_id]["fields"].get("price")


async def test_sold_out_is_shown_not_removed(shop: Shop) -> None:
    meta = await live(shop, "1")
    async with shop.dispatching():
        await shop.hear(shop.offer("1", availability="out_of_stock", quantity=0))

        async def availability() -> Any:
            return (await meta.shows())["1"]["fields"]["availability"]

        await until(availability, "out of stock")
        await meta.until({"1": "live"})


async def test_deleted_and_archived_items_are_taken_down_and_come_back(shop: Shop) -> None:
    meta = await live(shop, "1", "2")
    async with shop.dispatching():
        await shop.hear(shop.deleted("1"), shop.content("2", status="archived"))
        await meta.until({"1": "removed", "2": "removed"})
        assert await meta.shows() == {}
        assert (await meta.codes("1"), await meta.codes("2")) == (["item_deleted"], ["item_archived"])
        await shop.hear(shop.content("1"), shop.offer("1"), shop.content("2"))
        await meta.until({"1": "live", "2": "live"})
    assert sorted(await meta.shows()) == ["1", "2"]


async def test_an_answer_lost_after_the_work_is_found_by_looking(shop: Shop) -> None:
    await seed(shop, "1")
    await shop.fault(kind="timeout_after", platform="meta", method="POST", hold_ms=1500)
    meta = await shop.connect()
    async with shop.dispatching():
        await meta.until({"1": "live"})
    assert len(await shop.sends()) == 1
    steps = await shop.rows("select step from timeline where brand_id = :brand order by at, id")
    assert [row.step for row in steps] == ["pending", "sent", "unknown", "live"]


async def test_an_answer_lost_before_the_work_is_sent_again(shop: Shop) -> None:
    await seed(shop, "1")
    await shop.fault(kind="timeout_before", platform="meta", method="POST", hold_ms=1500)
    meta = await shop.connect()
    async with shop.dispatching():
        await meta.until({"1": "live"})
    assert len(await shop.sends()) == 2
    steps = [
        row.step
        for row in await shop.rows("select step from timeline where brand_id = :brand order by at, id")
    ]
    assert steps[:5] == ["pending", "sent", "unknown", "pending", "sent"]


async def test_an_expired_token_stops_the_work_until_the_connection_changes(shop: Shop) -> None:
    await seed(shop, "1")
    meta = await shop.connect()
    await shop.sandbox.post(
        "/_sandbox/tokens", json={"platform": "meta", "access_token": meta.token, "state": "expired"}
    )

    async def state() -> Any:
        return (await meta.channel()).state

    async with shop.dispatching():
        await until(state, "needs_attention")
        await meta.until({"1": "pending"})
        await until(_async(lambda: [report.state for report in shop.accounts.reports]), ["token_expired"])
        await meta.change(state="token_expired", last_error="expired")
        await shop.sandbox.post(
            "/_sandbox/tokens", json={"platform": "meta", "access_token": meta.token, "state": "valid"}
        )
        assert await meta.states() == {"1": "pending"}
        await meta.change(state="active", last_error="")
        await meta.until({"1": "live"})


def _async(look: Any) -> Any:
    async def answer() -> Any:
        return look()

    return answer


async def test_a_deleted_connection_sends_nothing_any_more(shop: Shop) -> None:
    meta = await live(shop, "1")
    await shop.hear(shop.content("2"), shop.offer("2"))
    await meta.change(state="deleted", deleted=True)
    before = len(await shop.sends())
    async with shop.dispatching():
        await shop.hear(shop.offer("1", 1), shop.content("3"), shop.offer("3"))
        other = await shop.connect("pinterest")
        await other.until({"1": "live", "2": "live", "3": "live"})
    assert len(await shop.sends()) == before
    assert await meta.states() == {"1": "live", "2": "excluded"}
    assert await meta.codes("2") == ["connection_deleted"]
    assert (await meta.channel()).state == "closed"


async def test_a_refused_item_says_why_and_recovers(shop: Shop) -> None:
    await shop.hear(shop.content("1", title="x" * 400), shop.offer("1"))
    await shop.hear(shop.content("2"), shop.offer("2"))
    meta = await shop.connect()
    async with shop.dispatching():
        await meta.until({"1": "invalid", "2": "live"})
        assert await meta.codes("1") == ["title_too_long"]
        await shop.hear(shop.content("1"))
        await meta.until({"1": "live", "2": "live"})


async def test_ids_that_only_a_shop_knows(shop: Shop) -> None:
    known = {"shop_product_id": "123", "shop_variant_id": "456"}
    await shop.hear(shop.content("1", **known), shop.offer("1"))
    await shop.hear(shop.content("2"), shop.offer("2"))
    meta = await shop.connect(id_template="shopify_{country}_{product}_{variant}")
    async with shop.dispatching():
        await meta.until({"1": "live", "2": "invalid"})
        assert await meta.codes("2") == ["id_incomplete"]
        await shop.hear(shop.content("2", shop_product_id="123", shop_variant_id="457"))
        await meta.until({"1": "live", "2": "live"})
        await shop.hear(shop.content("1", shop_product_id="124", shop_variant_id="458"))
        await meta.until({"1": "live", "2": "live"})
    assert sorted(await meta.shows()) == ["shopify_US_123_456", "shopify_US_123_457"]


async def test_throttled_items_wait_and_arrive(shop: Shop) -> None:
    await seed(shop, "1")
    await shop.fault(kind="refuse", platform="meta", method="POST", error="transient", count=2)
    meta = await shop.connect()
    async with shop.dispatching():
        await meta.until({"1": "live"})
    assert len(await shop.sends()) == 3


async def test_ids_by_sku(shop: Shop) -> None:
    await shop.hear(shop.content("1", sku="A-1"), shop.offer("1"))
    await shop.hear(shop.content("2", sku="A-1"), shop.offer("2"))
    await shop.hear(shop.content("3"), shop.offer("3"))
    meta = await shop.connect(id_template="{sku}")
    async with shop.dispatching():
        await meta.until({"1": "live", "2": "invalid", "3": "invalid"})
        assert (await meta.codes("2"), await meta.codes("3")) == (["platform_id_taken"], ["missing_sku"])
        await shop.hear(shop.content("1", sku="B-1"), shop.content("3", sku="C-1"))
        await meta.until({"1": "live", "2": "invalid", "3": "live"})
    assert sorted(await meta.shows()) == ["A-1", "C-1"]


async def test_repeats_change_nothing(shop: Shop) -> None:
    messages = [shop.content("1"), shop.offer("1")]
    await shop.hear(*messages)
    meta = await shop.connect()
    async with shop.dispatching():
        await meta.until({"1": "live"})
        before = await shop.rows("select version from channel_items where brand_id = :brand")
        await shop.hear(*messages, *messages)
        await shop.hear(*reversed(messages))
    assert await shop.rows("select version from channel_items where brand_id = :brand") == before
    assert len(await shop.sends()) == 1


async def test_a_price_is_a_partial_update_on_pinterest(shop: Shop) -> None:
    pinterest = await live(shop, "1", platform="pinterest")
    before = len(await shop.sends("pinterest"))
    first = await pinterest.shows()
    async with shop.dispatching():
        await shop.hear(shop.offer("1", 1999))
        await until(lambda: price(pinterest, "1"), "19.99 USD")
    [send] = (await shop.sends("pinterest"))[before:]
    assert send["operations"] == {"UPDATE": 1}
    after = await pinterest.shows()
    assert after["1"]["changed_at"]["title"] == first["1"]["changed_at"]["title"]
    assert after["1"]["changed_at"]["price"] != first["1"]["changed_at"]["price"]


async def take_down(connected: Connected, *item_ids: str) -> None:
    """Somebody removes items on Pinterest's own pages."""
    ids = connected.message.external_ids
    body = {
        "catalog_type": "RETAIL",
        "country": "US",
        "language": "en-US",
        "catalog_id": ids["catalog_id"],
        "items": [{"operation": "DELETE", "item_id": item_id} for item_id in item_ids],
    }
    answer = await connected.shop.sandbox.post(
        f"{connected.message.base_url}/catalogs/items/batch",
        params={"ad_account_id": ids["ad_account_id"]},
        json=body,
        headers={"authorization": f"Bearer {connected.token}"},
    )
    assert answer.status_code == 200, answer.text
    await until(connected.shows, {})


async def test_what_somebody_took_down_on_the_platform_is_sent_whole_or_is_gone(shop: Shop) -> None:
    pinterest = await live(shop, "1", "2", platform="pinterest")
    await take_down(pinterest, "1", "2")
    async with shop.dispatching():
        await shop.hear(shop.offer("1", 1999), shop.deleted("2"))
        await pinterest.until({"1": "live", "2": "removed"})
    shown = await pinterest.shows()
    assert list(shown) == ["1"]
    assert (shown["1"]["fields"]["title"], shown["1"]["fields"]["price"]) == ("Linen shirt 1", "19.99 USD")


async def test_a_deleted_item_gives_up_its_id(shop: Shop) -> None:
    """Deleted and created anew in the shop, with another id and the same SKU: both orders end with the new one."""
    await shop.hear(shop.content("1", sku="A-1"), shop.offer("1"))
    meta = await shop.connect(id_template="{sku}")
    async with shop.dispatching():
        await meta.until({"1": "live"})
        await shop.hear(shop.content("2", sku="A-1", title="The same again"), shop.offer("2"))
        await meta.until({"1": "live", "2": "invalid"})
        await shop.hear(shop.deleted("1"))
        await meta.until({"1": "removed", "2": "live"})
        assert (await meta.shows())["A-1"]["fields"]["title"] == "The same again"
        await shop.hear(shop.deleted("2"))
        await meta.until({"1": "removed", "2": "removed"})
        await shop.hear(shop.content("3", sku="A-1"), shop.offer("3"))
        await meta.until({"1": "removed", "2": "removed", "3": "live"})
        await shop.hear(shop.content("1", sku="A-1"), shop.offer("1"))
        await meta.until({"1": "invalid", "2": "removed", "3": "live"})
    assert await meta.codes("1") == ["platform_id_taken"]
    owners = await shop.rows("select item_id, platform_item_id from channel_ids where brand_id = :brand")
    assert [(row.item_id, row.platform_item_id) for row in owners] == [("3", "A-1")]


async def test_an_id_is_free_when_an_item_goes_that_never_was_there(shop: Shop) -> None:
    await shop.hear(shop.content("1", sku="A-1"), shop.offer("1"))
    meta = await shop.connect(id_template="{sku}")
    await shop.fault(kind="refuse", platform="meta", method="POST", error="throttle", count=None)
    async with shop.dispatching():
        await until(meta.states, {"1": "pending"})
    await shop.hear(shop.content("2", sku="A-1"), shop.offer("2"))
    assert await meta.states() == {"1": "pending", "2": "invalid"}
    await shop.hear(shop.deleted("1"))
    assert await meta.states() == {"1": "excluded", "2": "pending"}


async def test_going_back_to_what_was_accepted_is_looked_at_again(shop: Shop) -> None:
    """Accepted but not yet seen, then a change that is refused, then back: nothing is sent, but somebody looks."""
    meta = await shop.connect()
    async with shop.dispatching():
        await until(meta.stock, "none")
    await seed(shop, "1")
    await shop.fault(kind="refuse", platform="meta", method="GET", path="/products", status=500, count=None)
    async with shop.dispatching():
        await meta.until({"1": "accepted"})
        await shop.fault(
            kind="refuse",
            platform="meta",
            method="POST",
            status=400,
            body={"error": {"message": "Invalid title", "type": "OAuthException", "code": 100}},
        )
        await shop.hear(shop.content("1", title="Not this one"))
        await meta.until({"1": "rejected"})
        await shop.sandbox.delete("/_sandbox/faults")
        await shop.hear(shop.content("1"))
        await meta.until({"1": "live"})
    waiting = await shop.rows(
        "select changed_occurred_at, read_back_at from channel_items where brand_id = :brand"
    )
    assert [tuple(row) for row in waiting] == [(None, None)]


async def test_content_is_sent_though_prices_never_end(shop: Shop) -> None:
    items = ("1", "2", "3", "4", "5", "6", "content")
    pinterest = await live(shop, *items, platform="pinterest")
    before = len(await shop.sends("pinterest"))
    await shop.hear(
        shop.content("content", title="A new title"), *(shop.offer(one, 1999) for one in items[:6])
    )
    one_by_one = shop.settings.dispatch.model_copy(update={"batch_items_max": 1})
    shop.settings = shop.settings.model_copy(update={"dispatch": one_by_one})
    shop.worker = shop.fresh_worker("one-by-one")
    async with shop.dispatching():
        await pinterest.until(dict.fromkeys(items, "live"))
    batches = [send for send in (await shop.sends("pinterest"))[before:] if send["path"].endswith("/batch")]
    assert [send["item_ids"][0] for send in batches] == ["1", "2", "3", "4", "content", "5", "6"]


async def test_what_an_unwell_platform_answered_counts_for_nothing(shop: Shop) -> None:
    """It may hold the item all the same: a deletion is sent."""
    await seed(shop, "1")
    await shop.fault(kind="refuse", platform="meta", method="POST", error="transient", count=None)
    meta = await shop.connect()
    async with shop.dispatching():
        await until(meta.states, {"1": "pending"})
        await until(lambda: meta.codes("1"), ["platform_unwell"])
        await shop.hear(shop.deleted("1"))
        await shop.sandbox.delete("/_sandbox/faults")
        await meta.until({"1": "removed"})


async def test_what_broke_on_its_way_still_sells_out(shop: Shop) -> None:
    """The content breaks and the item sells out while its first call is under way: the stock follows what arrives."""
    await seed(shop, "1")
    meta = await shop.connect()
    await shop.fault(kind="stuck_batch", platform="meta", stuck_ms=1500)
    async with shop.dispatching():
        await meta.until({"1": "sent"})
        await shop.hear(shop.content("1", title="x" * 400))
        await shop.hear(shop.offer("1", 1999, quantity=0, availability="out_of_stock"))
        await until(lambda: stock(meta, "1"), "out of stock")
        await meta.until({"1": "invalid"})
    assert await price(meta, "1") == "19.99 USD"


async def stock(connected: Connected, item_id: str) -> Any:
    return (await connected.shows()).get(item_id, {}).get("fields", {}).get("availability")
