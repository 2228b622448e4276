"""Item changes become events of those who looked, in whatever order views and changes arrive."""

import itertools

from vitrin.retargeting.audiences.watching import (
    LOOKED_MS,
    ItemChange,
    Offer,
    View,
    catch_up,
    changes_between,
    fan_out,
)


def test_any_order_of_arrival_makes_the_same_events() -> None:
    views = [View(1, "mug", 100), View(1, "mug", 250), View(2, "mug", 200), View(3, "hat", 100)]
    changes = [ItemChange("v7", "mug", "price_dropped", 200), ItemChange("v8", "mug", "back_in_stock", 300)]
    expected = {"v7:1", "v7:2", "v8:1", "v8:2"}
    for order in itertools.permutations([*views, *changes]):
        seen: list[View] = []
        changed: list[ItemChange] = []
        made: set[str] = set()
        for one in order:
            if isinstance(one, View):
                seen.append(one)
                made |= {event.event_id for event in catch_up(one, changed)}
            else:
                changed.append(one)
                made |= {event.event_id for event in fan_out(one, seen)}
        assert made == expected


def test_a_view_counts_for_thirty_days_and_not_after_the_change() -> None:
    change = ItemChange("v1", "mug", "price_dropped", LOOKED_MS + 1_000)
    views = [
        View(1, "mug", 1_000),
        View(2, "mug", 1_001),
        View(3, "mug", change.at),
        View(4, "mug", change.at + 1),
    ]
    assert [event.visitor for event in fan_out(change, views)] == [2, 3]
    event = fan_out(change, views)[0]
    assert (event.event_id, event.item, event.kind, event.at) == ("v1:2", "mug", "price_dropped", change.at)


def test_what_a_change_of_the_offer_means() -> None:
    def kinds(before: Offer | None, after: Offer) -> list[str]:
        return [change.kind for change in changes_between(before, after, item="mug", version="v2", at=5)]

    sold = Offer("EUR", 1_000, True)
    assert kinds(sold, Offer("EUR", 900, True)) == ["price_dropped"]
    assert kinds(sold, Offer("EUR", 1_100, True)) == []
    assert kinds(sold, Offer("USD", 900, True)) == []
    assert kinds(Offer("EUR", 1_000, False), Offer("EUR", 900, True)) == ["back_in_stock", "price_dropped"]
    assert kinds(sold, Offer("EUR", 900, False)) == []
    assert kinds(None, sold) == []
