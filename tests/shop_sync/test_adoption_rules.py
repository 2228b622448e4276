"""Matching, for whatever two sides hold: nobody twice, nobody out of order, nothing guessed."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.shop_sync.domain.adoption import How, Match, Ours, Theirs, gtin_key, link_key, match

KEYS = st.sampled_from(["", "1", "2", "3"])
NAMES = ["a", "b", "c", "d", "e", "f"]


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[Ours], list[Theirs]]:
    """Few names and keys, so that they meet."""
    ours = [
        Ours(f"item-{name}", draw(st.sampled_from(["", *NAMES])), draw(KEYS), draw(KEYS), draw(st.booleans()))
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    ]
    theirs = [
        Theirs(name, draw(KEYS), draw(KEYS), draw(st.booleans()))
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    ]
    return ours, theirs


@given(sides())
def test_nobody_is_matched_twice_and_every_match_obeys_the_order(
    found: tuple[list[Ours], list[Theirs]],
) -> None:
    ours, theirs = found
    mine = {one.item_id: one for one in ours}
    held = {one.platform_item_id: one for one in theirs}
    made = match(ours, theirs)
    assert max(Counter(one.item_id for one in made.matches).values(), default=1) == 1
    assert max(Counter(one.platform_item_id for one in made.matches).values(), default=1) == 1
    by_id = {one.item_id for one in made.matches if one.how is How.ID}
    taken = {one.platform_item_id for one in made.matches if one.how is How.ID}
    for one in made.matches:
        left, right = mine[one.item_id], held[one.platform_item_id]
        assert not left.settled
        if one.how is How.ID:
            assert left.platform_id == right.platform_item_id
            continue
        assert not right.left
        # Whoever could be matched by its id is.
        assert left.platform_id not in held or left.platform_id in taken
        rest = [other for other in ours if other.item_id not in by_id]
        others = [other for other in theirs if other.platform_item_id not in taken and not other.left]
        if one.how is How.GTIN:
            assert left.gtin
            assert [other for other in rest if other.gtin == left.gtin] == [left]
            assert [other for other in others if other.gtin == left.gtin] == [right]
        else:
            assert left.link == right.link != ""
            assert not left.gtin or not right.gtin or left.gtin == right.gtin
    free = {one.item_id for one in made.matches}
    gone = {one.platform_item_id for one in made.matches}
    for doubt in made.doubts:
        assert not free.intersection(doubt.item_ids)
        assert not gone.intersection(doubt.platform_item_ids)
        assert doubt.item_ids
        assert doubt.platform_item_ids


@given(sides(), st.randoms(use_true_random=False))
def test_the_order_of_the_sides_changes_nothing(
    found: tuple[list[Ours], list[Theirs]], random: Random
) -> None:
    ours, theirs = found
    made = match(ours, theirs)
    random.shuffle(ours)
    random.shuffle(theirs)
    again = match(ours, theirs)
    assert set(again.matches) == set(made.matches)
    assert {(d.how, d.key, d.item_ids, d.platform_item_ids) for d in again.doubts} == {
        (d.how, d.key, d.item_ids, d.platform_item_ids) for d in made.doubts
    }


@given(sides())
def test_what_was_matched_leaves_nothing_to_match(found: tuple[list[Ours], list[Theirs]]) -> None:
    """So taking stock again, or an item that comes later, never moves an item to another id."""
    ours, theirs = found
    made = match(ours, theirs)
    mine = {one.item_id for one in made.matches}
    held = {one.platform_item_id for one in made.matches}
    rest = match(
        [one for one in ours if one.item_id not in mine],
        [one for one in theirs if one.platform_item_id not in held],
    )
    assert not [one for one in rest.matches if one.how is How.ID]


def test_an_id_goes_before_a_gtin_and_a_gtin_before_a_link() -> None:
    ours = [Ours("x", "x", "g", "l"), Ours("y", "y", "g", "l"), Ours("z", "z", "", "l")]
    theirs = [Theirs("x", "", "other"), Theirs("t", "g", "l"), Theirs("u", "", "l")]
    assert match(ours, theirs).matches == (
        Match("x", "x", How.ID),
        Match("y", "t", How.GTIN),
        Match("z", "u", How.LINK),
    )


def test_a_page_does_not_join_two_numbers() -> None:
    assert match([Ours("x", "x", "g1", "l")], [Theirs("t", "g2", "l")]).matches == ()


def test_a_page_that_everything_leads_to_says_nothing() -> None:
    theirs = [Theirs(f"t{number}", "", "home") for number in range(60)]
    made = match([Ours("x", "x", "", "home")], theirs)
    assert (made.matches, made.doubts) == ((), ())


@pytest.mark.parametrize(
    "link",
    [
        "https://shop.example/p/mug",
        "http://shop.example/p/mug/",
        "HTTPS://WWW.Shop.Example:443/p/mug?utm_source=x&fbclid=1#reviews",
        " https://shop.example/p/mug?gclid=2 ",
    ],
)
def test_one_page_has_one_key(link: str) -> None:
    assert link_key(link) == "shop.example/p/mug"


@pytest.mark.parametrize(
    ("link", "key"),
    [
        ("https://shop.example/p/mug?variant=2&size=L", "shop.example/p/mug?size=L&variant=2"),
        ("https://shop.example/p/Mug", "shop.example/p/Mug"),
        ("ftp://shop.example/p", ""),
        ("https://[", ""),
        ("https://shop.example:nonsense/p", ""),
        ("", ""),
    ],
)
def test_what_changes_the_page_stays_in_its_key(link: str, key: str) -> None:
    assert link_key(link) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("04006381333931", "4006381333931"),
        ("4006381-333931", "4006381333931"),
        ("00000000000000", ""),
        ("12345", ""),
        ("not one", ""),
        ("", ""),
    ],
)
def test_a_gtin_has_one_form(text: str, key: str) -> None:
    assert gtin_key(text) == key
