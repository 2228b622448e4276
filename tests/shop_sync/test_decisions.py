"""Desired state, batches, schedules and words: pure rules with exact answers."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrin.shop_sync.domain import batching, decide, schedule
from vitrin.shop_sync.domain.sync import Lane, Reason, State
from vitrin.shop_sync.domain.words import summary

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"exists": False}, "item_deleted"),
        ({"status": "draft"}, "item_draft"),
        ({"status": "archived"}, "item_archived"),
        ({"status": ""}, "item_inactive"),
        ({"gift_card": True}, "gift_card"),
        ({"offered": False}, "no_offer_in_market"),
    ],
)
def test_exclusions(changes: dict[str, object], code: str | None) -> None:
    facts: dict[str, object] = {
        "exists": True,
        "status": "active",
        "gift_card": False,
        "offered": True,
        "market": "US",
    }
    reason = decide.exclusion(**(facts | changes))  # type: ignore[arg-type]
    assert (reason.code if reason else None) == code


def test_an_exclusion_says_what_the_shop_says() -> None:
    asked = {"exists": True, "gift_card": False, "offered": True, "market": "US"}
    said = [
        decide.exclusion(status=status, **asked)  # type: ignore[arg-type]
        for status in ("draft", "")
    ]
    assert [reason and reason.message for reason in said] == [
        "The item is draft in the shop.",
        "The item is not active in the shop.",
    ]


def test_id_templates() -> None:
    known = {"id": "7", "sku": "A-1", "product": "123", "variant": "456", "country": "US"}
    assert decide.raw_id("{id}", known) == "7"
    assert decide.raw_id("{sku}", known) == "A-1"
    assert decide.raw_id("{sku}", {"id": "7", "sku": ""}) == decide.MISSING_SKU
    shopify = "shopify_{country}_{product}_{variant}"
    assert decide.raw_id(shopify, known) == "shopify_US_123_456"
    reason = decide.raw_id(shopify, {**known, "product": "", "variant": ""})
    assert isinstance(reason, Reason)
    assert reason.code == "id_incomplete"
    assert "{product} (the shop's id of the product), {variant}" in reason.message
    assert "Connect the shop" in reason.fix


def test_the_digest_is_the_one_that_is_stored() -> None:
    """Another digest for the same item would send every catalog again."""
    digest = bytes.fromhex("2ecefef1b6815fde7eb3e3cbe199f250")
    assert decide.digest({"b": 1, "a": "Größe"}) == digest
    assert decide.digest({"a": "Größe", "b": 1}) == digest


def test_price_and_stock_stand_alone_where_they_are_sound_and_travel_without_content() -> None:
    price, title = Reason("price_missing", "price"), Reason("title_too_long", "title")
    for partial, problems, alone in (
        ({"price"}, [title], True),
        ({"price"}, [title, price], False),
        ({"price", "title"}, [title], False),
        ({"price", "title"}, [price], False),
    ):
        assert decide.offer_stands_alone(partial, problems) is alone


def test_price_changes_only_the_offer_hash() -> None:
    before = decide.wanted({"title": "Shirt", "price": "10.00 USD"}, {"price"})
    after = decide.wanted({"price": "9.00 USD", "title": "Shirt"}, {"price"})
    assert before.hashes.content == after.hashes.content
    assert before.hashes.offer != after.hashes.offer
    assert len(before.hashes.content) == decide.HASH_BYTES


@pytest.mark.parametrize(
    ("sizes", "count"), [([], 0), ([5, 5, 5], 2), ([20, 1], 1), ([1, 1, 1, 1], 3), ([10, 1], 1)]
)
def test_batches_by_count_and_bytes(sizes: list[int], count: int) -> None:
    assert batching.fill(sizes, items_max=3, bytes_max=10) == count


def test_halving_ends_at_one_and_loses_nothing() -> None:
    def parts(batch: list[int]) -> list[list[int]]:
        split = batching.halves(batch)
        return [leaf for half in split for leaf in parts(list(half))] if split else [batch]

    assert parts(list(range(7))) == [[0], [1], [2], [3], [4], [5], [6]]


@pytest.mark.parametrize(
    ("items_max", "through", "after"),
    [(4, 4, 8), (4, 5, 8), (4, 3, 4), (4, 0, 4), (8, 8, None), (None, 3, None), (1, 1, 2)],
)
def test_batches_grow_again_after_one_that_was_as_long_as_allowed(
    items_max: int | None, through: int, after: int | None
) -> None:
    assert batching.grown(items_max, through=through, able=15) == after


def test_schedules() -> None:
    waits = [(schedule.next_poll(NOW, polls) - NOW).total_seconds() for polls in range(9)]
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert schedule.next_try(NOW, 3, jitter=0.5, retry_after_s=7.5) == NOW + timedelta(seconds=7.5)
    assert schedule.next_try(NOW, 3, jitter=0.5, retry_after_s=1.7e9) == NOW + timedelta(hours=1)
    assert schedule.next_try(NOW, 3, jitter=0.5, retry_after_s=float("inf")) == NOW + timedelta(hours=1)
    assert schedule.next_try(NOW, 1, jitter=0.5) == NOW + timedelta(seconds=1.25)
    assert schedule.next_try(NOW, 99, jitter=0.0) == NOW + timedelta(seconds=60)
    assert schedule.send_at(NOW, None) == NOW
    assert schedule.send_at(NOW, NOW - timedelta(seconds=1)) == NOW
    assert schedule.send_at(NOW, NOW + timedelta(seconds=1)) == NOW + timedelta(seconds=1)
    assert schedule.milliseconds(NOW, NOW + timedelta(microseconds=1999)) == 1
    assert schedule.milliseconds(NOW, NOW - timedelta(seconds=1)) == 0


def test_words_are_the_same_for_every_platform() -> None:
    reasons = (Reason("title_too_long", "title", "The title is too long."), Reason("missing_link"))
    assert summary(State.LIVE, platform="meta", reasons=()) == "Meta shows it"
    assert (
        summary(State.REJECTED, platform="pinterest", reasons=reasons)
        == "Pinterest refused it: The title is too long. (and 1 more)"
    )
    assert (
        summary(State.PENDING, platform="meta", reasons=(), lane=Lane.OFFER)
        == "New price or stock waits to be sent to Meta"
    )


def test_the_pauses_are_what_the_limits_say() -> None:
    def ms(at: datetime) -> int:
        return schedule.milliseconds(NOW, at)

    assert [ms(schedule.next_poll(NOW, polls)) for polls in (0, 1, 6, 7, 40)] == [50, 100, 3200, 5000, 5000]
    assert [ms(schedule.next_read_back(NOW, tries)) for tries in (0, 1, 11, 12, 40)] == [
        100,
        200,
        204_800,
        300_000,
        300_000,
    ]
    assert [ms(schedule.next_try(NOW, failures, jitter=0.0)) for failures in (0, 1, 6, 7, 40)] == [
        500,
        1000,
        32_000,
        60_000,
        60_000,
    ]
    assert ms(schedule.next_try(NOW, 1, jitter=0.5)) == 1250
    assert ms(schedule.next_try(NOW, 1, jitter=0.5, retry_after_s=7)) == 7000
    assert ms(schedule.next_try(NOW, 1, jitter=0.5, retry_after_s=9999)) == 3_600_000
