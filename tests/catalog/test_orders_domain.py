"""An order is the same, whatever its webhooks' order: late, twice, a refund before its order."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from vitrin.catalog.orders import messages
from vitrin.catalog.orders.domain import (
    Change,
    Line,
    Order,
    Refund,
    RefundLine,
    bound,
    refund,
    take,
)
from vitrin.kit.money import Money

START = datetime(2026, 3, 1, tzinfo=UTC)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def order(
    minute: int = 0, state: str = "open", *, refunds: tuple[Refund, ...] = (), name: str = "#1"
) -> Order:
    return Order(
        order_id="1",
        name=name,
        created_at=START,
        updated_at=START + timedelta(minutes=minute),
        state=state,
        total=eur(1_000),
        subtotal=eur(900),
        discounts=eur(0),
        shipping=eur(100),
        tax=eur(0),
        lines=(Line("l1", "Mug", 2, eur(450), eur(0), product_id="10", variant_id="100"),),
        refunds=refunds,
    )


def given_back(number: int, minor: int = 400) -> Refund:
    return Refund(f"r{number}", START + timedelta(hours=number), eur(minor))


def test_what_is_new_is_said_once() -> None:
    placed = take(None, order())
    assert placed.news == ("created",)
    paid = take(placed.order, order(1, "paid"))
    assert paid.news == ("paid",)
    assert take(paid.order, order(1, "paid")) == Change(paid.order)
    moved = take(paid.order, order(2, "paid"))
    assert (moved.news, moved.moved) == ((), True), "a moment alone is no news, and kept"
    assert take(paid.order, order(2, "paid", name="#2")).news == ("updated",)
    assert take(paid.order, order(2, "cancelled")).news == ("cancelled",)
    assert take(None, order(2, "paid", refunds=(given_back(1),))).news == ("created", "paid", "refunded")


def test_older_news_changes_nothing_but_tells_a_refund() -> None:
    paid = take(None, order(5, "paid")).order
    assert take(paid, order(1)) == Change(paid, stale=True)
    late = take(paid, order(1, refunds=(given_back(1),)))
    assert (late.news, late.order.state, late.order.updated_at) == (
        ("refunded",),
        "partially_refunded",
        paid.updated_at,
    )


def test_of_one_second_the_one_that_is_further_on_is_the_later() -> None:
    paid = take(None, order(5, "paid")).order
    assert take(paid, order(5)) == Change(paid, stale=True)
    assert take(take(None, order(5)).order, order(5, "paid")).news == ("paid",)


def test_a_refund_keeps_the_first_moment_that_was_heard() -> None:
    known = take(None, order(1, "paid", refunds=(given_back(1),))).order
    later = replace(given_back(1), created_at=START + timedelta(days=9))
    assert take(known, order(2, "partially_refunded", refunds=(later,))).order.refunds == (given_back(1),)


def test_refunds_are_a_set_and_make_the_state() -> None:
    paid = take(None, order(1, "paid")).order
    half = refund(paid, [given_back(1)])
    assert (half.news, half.order.state, half.order.refunded) == (
        ("refunded",),
        "partially_refunded",
        eur(400),
    )
    assert refund(half.order, [given_back(1)]) == Change(half.order, stale=True)
    whole = refund(half.order, [given_back(2, 600)])
    assert (whole.order.state, whole.order.refunded) == ("refunded", eur(1_000))
    assert refund(take(None, order()).order, [given_back(1)]).order.state == "open", "nobody paid yet"


@given(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=4, max_size=8))
def test_any_order_of_deliveries_ends_the_same(picks: list[int]) -> None:
    story = [
        order(),
        order(1, "paid"),
        order(2, "partially_refunded", refunds=(given_back(1),)),
        given_back(1),
    ]

    def end(deliveries: list[object]) -> Order:
        known: Order | None = None
        parked: list[Refund] = []
        for one in deliveries:
            if isinstance(one, Refund):
                parked.append(one)
                known = known and refund(known, parked).order
            else:
                assert isinstance(one, Order)
                known = take(known, one, refunds=parked).order
        assert known is not None
        return known

    expected = end(list(story))
    for way in permutations(range(4)):
        assert end([story[index] for index in (*way, *picks)]) == expected


def test_an_order_comes_back_from_its_stored_form_as_it_was() -> None:
    whole = replace(
        bound(order(3, "partially_refunded", refunds=(given_back(1),)), {"100": "mug"}),
        refunds=(replace(given_back(1), lines=(RefundLine("l1", 1, eur(400)),)), given_back(2, 0)),
        cancelled_at=START,
        cancel_reason="customer",
        discount_codes=("SPRING",),
        source="web",
        test=True,
    )
    for one in (whole, replace(order(), lines=(), name="")):
        message = messages.message_of(one, connection_id="c", platform="shopify", version=1)
        assert messages.order_from(json.loads(json.dumps(messages.stored(message)))) == one


def test_lines_are_bound_to_items() -> None:
    assert bound(order(), {"100": "mug"}).lines[0].item_id == "mug"
    assert bound(order(), {"7": "cup"}).lines[0].item_id == ""
    known = bound(order(), {"100": "mug"})
    again = take(known, order(1))
    assert (again.news, again.order.lines[0].item_id) == ((), "mug"), "also when the product is gone since"
