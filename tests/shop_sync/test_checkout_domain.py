"""Carts handed over: each line right, or with its reason; no cart makes anything else happen."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.shop_sync.domain.cart_words import LANGUAGES, told
from vitrin.shop_sync.domain.checkout import (
    LINES_MAX,
    LINES_READ_MAX,
    PRODUCTS_CHARS_MAX,
    QUANTITY_MAX,
    Coupon,
    Line,
    Sellable,
    Trouble,
    Wanted,
    decide,
    read_products,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDS = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=12
).filter(
    lambda text: (
        not any(part.isdigit() for part in text.replace(",", ":").split(":")) and text.strip(",:") == text
    )
)


def mug(**fields: object) -> Sellable:
    values = {
        "item_id": "mug",
        "title": "Mug",
        "product_id": "10",
        "variant_id": "100",
        "availability": "in_stock",
        "quantity": 5,
    }
    return Sellable(**(values | fields))  # type: ignore[arg-type]


@given(st.dictionaries(IDS, st.integers(1, 9), max_size=9))
def test_what_a_platform_writes_is_read(cart: dict[str, int]) -> None:
    text = ",".join(f"{name}:{quantity}" for name, quantity in cart.items())
    assert read_products(text) == ([Wanted(name, quantity) for name, quantity in cart.items()], [])


@given(st.text(max_size=60))
def test_any_text_is_lines_and_troubles(text: str) -> None:
    lines, troubles = read_products(text)
    assert all(one.quantity >= 1 for one in lines)
    assert all(one.subject.isprintable() for one in troubles)
    assert len({one.platform_item_id for one in lines}) == len(lines)
    assert bool(text.strip()) == bool(lines or troubles)


def test_lines_of_one_id_are_one_and_nonsense_holds_up_nobody() -> None:
    assert read_products("a:1,b:2,a:3") == ([Wanted("a", 4), Wanted("b", 2)], [])
    assert read_products("a,b:1:2,x:0,c:3") == (
        [Wanted("a,b:1", 2), Wanted("c", 3)],
        [Trouble("not_a_line", "x:0")],
    )
    assert read_products("mug") == ([], [Trouble("not_a_line", "mug")])
    many, troubles = read_products(",".join(f"i{number}:1" for number in range(LINES_MAX + 2)))
    assert (len(many), [one.code for one in troubles]) == (LINES_MAX, ["too_many_lines"] * 2)


@pytest.mark.parametrize("bad", ["x:-1", "x:1.5", "x:0", "x:00", ":0", "x:-0.5"])
def test_a_number_that_counts_nothing_keeps_its_neighbours(bad: str) -> None:
    assert read_products(f"a:1,{bad},b,c: 02 ,d:+3") == (
        [Wanted("a", 1), Wanted("b,c", 2), Wanted("d", 3)],
        [Trouble("not_a_line", bad)],
    )


def test_no_number_is_cut() -> None:
    """A list that is too long ends before the line that would be cut, with its reason."""
    head = "a:1," + "n" * (PRODUCTS_CHARS_MAX - 8) + ":1"
    assert [one.quantity for one in read_products(head + "2")[0]] == [1, 12]
    lines, troubles = read_products(head + "234,b:1")
    assert lines == [Wanted("a", 1)]
    assert [(one.code, one.subject) for one in troubles] == [("too_many_lines", "n" * 100)]
    _, troubles = read_products("x:0," * 1_000)
    assert [one.code for one in troubles] == ["not_a_line"] * LINES_READ_MAX + ["too_many_lines"]
    assert read_products("a:" + "9" * 5_000)[0] == [Wanted("a", 10**9)]


def test_a_stranger_writes_nothing_that_cannot_be_kept() -> None:
    _, troubles = read_products("a\0\n\u202eb:0")
    assert troubles == [Trouble("not_a_line", "a\ufffd\ufffd\ufffdb:0")]
    assert Wanted("a\0", 1).spellings == ()
    assert Wanted("c%2Cup", 1).spellings == ("c%2Cup", "c,up")
    assert Wanted("%00", 1).spellings == ("%00",)


@pytest.mark.parametrize(
    ("item", "quantity", "trouble", "goes"),
    [
        (mug(), 5, None, 5),
        (mug(quantity=None), 900, None, 900),
        (mug(availability="preorder", quantity=None), 1, None, 1),
        (mug(), 6, Trouble("only_some_left", "mug", "Mug", 5), 5),
        (mug(quantity=None), 1_000, Trouble("quantity_limited", "mug", "Mug", QUANTITY_MAX), QUANTITY_MAX),
        (mug(quantity=5_000), 4_000, Trouble("quantity_limited", "mug", "Mug", QUANTITY_MAX), QUANTITY_MAX),
        (mug(), 4_000, Trouble("only_some_left", "mug", "Mug", 5), 5),
        (mug(quantity=0), 1, Trouble("sold_out", "mug", "Mug"), 0),
        (mug(availability="out_of_stock"), 1, Trouble("sold_out", "mug", "Mug"), 0),
        (mug(availability="discontinued", quantity=None), 1, Trouble("sold_out", "mug", "Mug"), 0),
        (mug(availability="", quantity=None), 1, Trouble("sold_out", "mug", "Mug"), 0),
        (mug(variant_id=""), 1, Trouble("item_not_in_shop", "mug", "Mug"), 0),
        (mug(deleted=True, variant_id=""), 1, Trouble("item_gone", "mug", "Mug"), 0),
        (None, 1, Trouble("item_unknown", "p-1"), 0),
    ],
)
def test_each_line_goes_or_has_its_reason(
    item: Sellable | None, quantity: int, trouble: Trouble | None, goes: int
) -> None:
    known = {} if item is None else {"p-1": item}
    found = decide([Wanted("p-1", quantity)], "", known=known, coupons=None, now=NOW)
    assert found.lines == ((Line("10", "100", goes),) if goes else ())
    assert found.troubles == (() if trouble is None else (trouble,))
    assert found.outcome == ("nothing" if not goes else "partial" if trouble else "whole")


def test_two_ids_of_one_variant_are_one_line() -> None:
    found = decide(
        [Wanted("a", 1), Wanted("b", 2)], "", known={"a": mug(), "b": mug()}, coupons=None, now=NOW
    )
    assert found.lines == (Line("10", "100", 3),)


def test_ids_of_one_item_share_its_stock() -> None:
    wanted = [Wanted("a", 3), Wanted("b", 3), Wanted("c", 1)]
    found = decide(wanted, "", known=dict.fromkeys("abc", mug()), coupons=None, now=NOW)
    assert found.lines == (Line("10", "100", 5),)
    assert [(one.code, one.left) for one in found.troubles] == [("only_some_left", 2), ("sold_out", None)]
    wanted = [Wanted("a", 998), Wanted("b", 3), Wanted("c", 1)]
    found = decide(wanted, "", known=dict.fromkeys("abc", mug(quantity=None)), coupons=None, now=NOW)
    assert found.lines == (Line("10", "100", QUANTITY_MAX),)
    assert [(one.code, one.left) for one in found.troubles] == [
        ("quantity_limited", 1),
        ("quantity_limited", 0),
    ]


def test_every_trouble_has_words_in_every_language() -> None:
    codes = re.findall(r"[a-z]+_[a-z_]+", str(Trouble.__doc__).partition("Codes:")[2])
    assert len(codes) == 12
    for language in LANGUAGES:
        for code in codes:
            assert told(Trouble(code, "{subject}", "<Mug>", 7), language).strip(" .:")


@pytest.mark.parametrize(
    ("code", "coupons", "trouble"),
    [
        ("SUMMER", None, None),
        ("summer ", [Coupon("SUMMER")], None),
        ("WINTER", [Coupon("SUMMER")], "coupon_unknown"),
        ("WINTER", [], "coupon_unknown"),
        ("SUMMER", [Coupon("SUMMER", starts_at=NOW + timedelta(days=1))], "coupon_not_yet"),
        ("SUMMER", [Coupon("SUMMER", ends_at=NOW)], "coupon_ended"),
        ("x" * 256, None, "coupon_malformed"),
        ("a\nb", None, "coupon_malformed"),
    ],
)
def test_a_coupon_goes_or_has_its_reason(
    code: str, coupons: list[Coupon] | None, trouble: str | None
) -> None:
    found = decide([Wanted("p", 1)], code, known={"p": mug()}, coupons=coupons, now=NOW)
    assert found.coupons == (() if trouble else (code.strip(),))
    assert [one.code for one in found.troubles] == ([trouble] if trouble else [])
    assert found.lines == (Line("10", "100", 1),)
