"""All interleavings of both lanes end in the same replica."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.clock import to_us
from vitrin.shop_sync.domain.replica import (
    Content,
    ItemReplica,
    Offer,
    Stamp,
    content_changed,
    item_deleted,
    join,
    join_all,
    offer_changed,
)

STAMP = Stamp()
STORY = {
    "create": content_changed(1, b"shirt", STAMP),
    "first offer": offer_changed("US", 1, b"10", STAMP),
    "content": content_changed(2, b"blue shirt", STAMP),
    "offer": offer_changed("US", 2, b"9", STAMP),
    "delete": item_deleted(3, 2, STAMP),
    "recreate": content_changed(4, b"red shirt", STAMP),
    "last offer": offer_changed("US", 3, b"12", STAMP),
}


def test_what_was_never_heard_of_has_no_moment_and_no_floor() -> None:
    nothing = join_all([])
    assert nothing == ItemReplica(content=Content(0, False, b"", Stamp()), offer_floor=0, offers={})
    stamp = nothing.content.stamp
    assert (to_us(stamp.occurred_at), to_us(stamp.received_at), stamp.actor) == (0, 0, "")
    assert not nothing.exists


def test_every_order_ends_in_the_same_replica() -> None:
    expected = ItemReplica(
        content=Content(4, False, b"red shirt"), offer_floor=2, offers={"US": Offer(3, b"12")}
    )
    ends = [join_all(order) for order in permutations(STORY.values())]
    assert len(ends) == 5040
    assert all(end == expected for end in ends)


def test_every_order_with_each_message_twice_ends_in_the_same_replica() -> None:
    expected = join_all(STORY.values())
    for order in permutations(STORY.values(), 5):
        rest = [part for part in STORY.values() if part not in order]
        assert join_all([*order, *reversed(order), *rest, *order]) == expected


def test_a_delete_without_recreation_hides_offers_that_come_late() -> None:
    story = [STORY[name] for name in ("create", "first offer", "content", "offer", "delete")]
    for order in permutations(story):
        end = join_all(order)
        assert end == ItemReplica(content=Content(3, True), offer_floor=2)
        assert not end.exists


def test_an_offer_that_overtakes_content_hides_nothing() -> None:
    end = join_all([STORY["offer"], STORY["create"]])
    assert end.content.payload == b"shirt"
    assert end.offers["US"].payload == b"9"


def test_markets_do_not_disturb_each_other() -> None:
    end = join_all([offer_changed("US", 4, b"10", STAMP), offer_changed("DE", 5, b"9", STAMP)])
    assert {market: offer.version for market, offer in end.offers.items()} == {"US": 4, "DE": 5}


PARTS = st.one_of(
    st.builds(content_changed, st.integers(1, 4), st.binary(max_size=1), st.just(STAMP)),
    st.builds(item_deleted, st.integers(1, 4), st.integers(0, 4), st.just(STAMP)),
    st.builds(
        offer_changed, st.sampled_from(["US", "DE"]), st.integers(1, 4), st.binary(max_size=1), st.just(STAMP)
    ),
)
REPLICAS = st.lists(PARTS, max_size=4).map(join_all)


@given(REPLICAS, REPLICAS, REPLICAS)
def test_join_is_commutative_associative_and_idempotent(
    a: ItemReplica, b: ItemReplica, c: ItemReplica
) -> None:
    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, a) == a
