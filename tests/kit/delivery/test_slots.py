"""Slots of a worker, as the isolation tests model them: by turns of the brands, never all for one platform."""

import pytest

from tests.kit.delivery.slots import Slots


def test_a_platform_gets_its_share_and_the_rest_is_for_others() -> None:
    slots = Slots(total=4, platform_max=3)
    assert (slots.free, slots.room("meta")) == (4, 3)
    for room in (2, 1, 0):
        slots.take("a", "meta")
        assert slots.room("meta") == room
    assert (slots.free, slots.room("pinterest")) == (1, 1)
    assert slots.choose([("a", "meta"), ("b", "meta")]) is None
    assert slots.choose([("b", "meta"), ("a", "pinterest")]) == ("a", "pinterest")
    with pytest.raises(ValueError, match="no slot for meta"):
        slots.take("b", "meta")
    slots.take("b", "pinterest")
    assert slots.choose([("a", "tiktok")]) is None
    slots.give_back("meta")
    assert (slots.room("meta"), slots.held["meta"]) == (1, 2)
    slots.give_back("pinterest")
    assert "pinterest" not in slots.held
    with pytest.raises(ValueError, match="pinterest holds no slot"):
        slots.give_back("pinterest")


def test_brands_take_turns_by_what_their_sessions_cost() -> None:
    slots = Slots(total=9, platform_max=9)
    waiting = [("a", "meta"), ("b", "meta"), ("a", "pinterest")]
    assert slots.choose(waiting) == ("a", "meta")
    slots.take("a", "meta", cost=3.0)
    for _ in range(3):
        assert slots.choose(waiting) == ("b", "meta")
        slots.take("b", "meta")
    assert slots.choose([("a", "pinterest"), ("b", "meta")]) == ("a", "pinterest")


@pytest.mark.parametrize(("total", "most"), [(1, 0), (2, 3), (0, 0)])
def test_limits_that_make_no_sense(total: int, most: int) -> None:
    with pytest.raises(ValueError, match="between 1 and total"):
        Slots(total=total, platform_max=most)
