"""The limiter against quotas with a virtual clock: what it uses, what it learns, and who waits how long."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.delivery.quota import Quota, World
from vitrin.kit.delivery.limiter import EPSILON_S, Limiter
from vitrin.kit.delivery.rate import Priority, Rate, Usage

FAST, SLOW = Priority.FAST, Priority.SLOW
META = Rate(endpoint="items_batch", calls=8, per_s=60)
PINTEREST = Rate(endpoint="catalogs_write", calls=600, per_s=60)
SPREAD = 1.02


def world(rate: Rate = META, *, limit: int | None = None, seed: int = 1, **quota: object) -> World:
    jitter = random.Random(seed)
    return World(
        Limiter(rate),
        Quota(limit or rate.calls, rate.per_s, **quota),  # type: ignore[arg-type]
        delay=lambda: rate.per_s * jitter.uniform(0.0005, 0.009),
    )


@pytest.mark.parametrize("calls", [{"calls": 0}, {"per_s": 0}])
def test_a_rate_that_never_lets_anything_through_is_refused(calls: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Rate(**{"endpoint": "x", "calls": 1, "per_s": 1.0, **calls})  # type: ignore[arg-type]


@pytest.mark.parametrize("percents", [True, False])
@pytest.mark.parametrize("rate", [META, PINTEREST, Rate(endpoint="x", calls=10, per_s=1)])
def test_r8_nearly_all_allowed_calls_are_used_and_none_is_refused(rate: Rate, percents: bool) -> None:
    """R8 of performance.md: >= 97 % of the allowed calls, where the documented rate is the true one."""
    place = world(rate, percents=percents)
    place.for_s(2 * rate.per_s)
    taken = place.for_s(50 * rate.per_s)
    assert taken / (50 * rate.calls) >= 0.97
    assert place.quota.throttles == 0


def test_a_burst_at_first_and_then_an_even_pace() -> None:
    place = world()
    place.send(SLOW)
    waits = [place.send(SLOW)[0] for _ in range(20)]
    assert waits[0] == 0
    assert all(4 <= wait_s <= 13 for wait_s in waits[2:])


def test_after_eight_quick_batches_a_price_change_waits_for_one_gap() -> None:
    """Before there was a pace it waited for 52 s."""
    place = world()
    for _ in range(8):
        place.send(FAST)
        place.now_s += 0.25
    waited, _ = place.send(FAST)
    assert waited <= 2 * 60 / 8 * SPREAD


@pytest.mark.parametrize("fast_each_s", [20.0, 61.0, 300.0])
def test_the_reserve_lets_a_price_change_go_at_once_though_content_takes_all_that_it_may(
    fast_each_s: float,
) -> None:
    place = world()
    waits, next_fast = [], place.now_s
    while len(waits) < 40:
        if place.now_s >= next_fast:
            waits.append(place.send(FAST)[0])
            next_fast = place.now_s + fast_each_s
        else:
            wait_s = place.limiter.wait_s(SLOW, place.now_s)
            place.now_s = min(place.now_s + wait_s, next_fast)
            if place.limiter.wait_s(SLOW, place.now_s) == 0 and place.now_s < next_fast:
                place.send(SLOW)
    ordered = sorted(waits[2:])
    assert ordered[-1] <= 60 / 8 * 2 * SPREAD
    if fast_each_s > 60:
        assert ordered[len(ordered) // 2] == 0


def test_without_price_changes_content_may_have_the_reserve() -> None:
    place = world()
    place.send(FAST)
    place.for_s(60)
    with_reserve = place.for_s(300)
    place.now_s += 600
    place.for_s(60)
    without = place.for_s(300)
    assert (with_reserve, without) == (pytest.approx(35, abs=1), pytest.approx(39, abs=1))


@settings(max_examples=60, deadline=None)
@given(
    calls=st.sampled_from([2, 4, 8, 20, 100]),
    seed=st.integers(0, 10_000),
    share_fast=st.floats(0, 1),
)
def test_no_window_of_the_platform_sees_more_than_the_rate_and_no_price_change_waits_long(
    calls: int, seed: int, share_fast: float
) -> None:
    """Any mixture of lanes and silences. The bound on a price change's wait is two even gaps and the spread."""
    rate = Rate(endpoint="x", calls=calls, per_s=60)
    place, chance = world(rate, seed=seed, percents=bool(seed % 2)), random.Random(seed)
    waits = []
    for _ in range(6 * calls):
        if chance.random() < 0.3:
            place.now_s += chance.expovariate(calls / 60)
        if chance.random() < 0.02:
            place.now_s += chance.uniform(0, 150)
        if chance.random() < share_fast:
            waits.append(place.send(FAST)[0])
        else:
            place.send(SLOW)
    assert place.quota.throttles == 0
    assert max(waits, default=0) <= 2.2 * 60 / calls * SPREAD + 1.2


@pytest.mark.parametrize("percents", [True, False])
def test_a_lower_limit_is_learned_and_not_met_again(percents: bool) -> None:
    place = world(limit=5, percents=percents, retry_after_s=60.0)
    place.for_s(300)
    first = place.quota.throttles
    assert first == (0 if percents else 1)
    taken = place.for_s(20 * 60)
    assert place.quota.throttles == first
    assert taken >= 0.97 * 20 * 5 - 1
    assert 5 <= place.limiter.limit < 6


def test_a_higher_limit_is_learned_from_the_usage() -> None:
    """A catalog with traffic: 8 + 8 * log2(8) calls a minute."""
    place = world(limit=32)
    place.for_s(10 * 60)
    taken = place.for_s(20 * 60)
    assert taken >= 0.95 * 20 * 32
    assert place.quota.throttles == 0


def test_somebody_else_on_the_same_quota_is_seen_and_left_room_for() -> None:
    place, chance = world(), random.Random(7)
    place.for_s(120)
    refused, next_theirs_s = 0, place.now_s
    for _ in range(200):
        if place.now_s >= next_theirs_s:
            place.quota.taken.append(place.now_s)
            next_theirs_s = place.now_s + chance.uniform(10, 30)
        refused += not place.send(SLOW)[1]
    assert refused <= 10
    assert 5 <= place.limiter.limit <= 8


def test_a_limit_that_others_pressed_to_the_ground_comes_back_when_they_are_gone() -> None:
    place = world()
    place.for_s(120)
    for _ in range(20):
        place.quota.taken.extend([place.now_s] * 3)
        place.send(SLOW)
    assert place.limiter.limit < 4
    place.for_s(20 * 60)
    assert place.limiter.limit >= 7
    assert place.for_s(600) >= 0.85 * 80


def test_headers_that_measure_another_quota_than_the_one_that_is_met_are_not_believed() -> None:
    """They say a quarter, and the ninth call is refused all the same."""
    place = world(retry_after_s=60.0)
    place.quota.usage = lambda: Usage(share=0.25)  # type: ignore[method-assign]
    place.for_s(6 * 3600)
    assert place.quota.throttles <= 8


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_its_counters_are_those_of_its_calls_whatever_happens(data: st.DataObject) -> None:
    limiter, now_s, under_way = Limiter(META), 0.0, []
    shares = st.none() | st.builds(Usage, share=st.floats(0, 2), regain_s=st.none() | st.floats(0, 100))
    for _ in range(data.draw(st.integers(1, 60))):
        now_s += data.draw(st.floats(0, 30))
        priority = data.draw(st.sampled_from(list(Priority)))
        if limiter.wait_s(priority, now_s) == 0:
            under_way.append(limiter.take(priority, now_s))
        if under_way:
            ticket = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            match data.draw(st.sampled_from(["answered", "throttled", "cancelled", "open"])):
                case "answered":
                    limiter.answered(ticket, now_s, data.draw(shares))
                case "throttled":
                    limiter.throttled(ticket, now_s, retry_after_s=data.draw(st.none() | st.floats(0, 9_000)))
                case "cancelled":
                    limiter.cancel(ticket)
                case _:
                    under_way.append(ticket)
        assert limiter.fast_calls == sum(call.fast for call in limiter.calls)
        assert limiter.foreign_calls == sum(not call.own for call in limiter.calls)
        assert limiter.open_calls == len(under_way)
        assert limiter.limit >= 1
        # (now + 3,600) - now is not always 3,600: moments are floats.
        assert 0 <= limiter.wait_s(SLOW, now_s) <= 3_600 + EPSILON_S
        assert limiter.wait_s(FAST, now_s) <= 3_600 + EPSILON_S


def test_without_headers_a_refusal_stops_both_lanes_for_as_long_as_asked() -> None:
    limiter = Limiter(META)
    ticket = limiter.take(SLOW, 0.0)
    limiter.throttled(ticket, 0.5, retry_after_s=300.0)
    assert limiter.wait_s(FAST, 0.5) == pytest.approx(300)
    assert limiter.wait_s(SLOW, 300.5) == 0


def test_an_hour_is_the_longest_that_a_header_is_believed() -> None:
    limiter = Limiter(META)
    limiter.throttled(limiter.take(SLOW, 0.0), 0.0, retry_after_s=1e9)
    assert limiter.wait_s(FAST, 0.0) == pytest.approx(3_600)


def test_a_quota_that_is_overdrawn_is_left_alone_for_as_long_as_asked() -> None:
    limiter = Limiter(META)
    limiter.answered(limiter.take(SLOW, 0.0), 0.1, Usage(share=1.1, regain_s=120.0))
    assert limiter.wait_s(FAST, 0.1) == pytest.approx(120)


def test_a_quota_that_is_just_used_up_waits_for_its_own_window() -> None:
    """The time to regain access comes in whole minutes; the window gets free call by call."""
    place = world()
    place.for_s(120)
    assert place.quota.usage() == Usage(share=1.0)
    limiter = Limiter(META)
    limiter.answered(limiter.take(SLOW, 0.0), 0.1, Usage(share=1.0, regain_s=60.0))
    assert limiter.wait_s(FAST, 0.1) <= 60


@pytest.mark.parametrize("percents", [True, False])
def test_prices_that_never_end_leave_content_one_call_per_window(percents: bool) -> None:
    place = world(percents=percents)
    place.for_s(60)
    content = 0
    end_s = place.now_s + 30 * 60
    while place.now_s < end_s:
        waits = {lane: place.limiter.wait_s(lane, place.now_s) for lane in (FAST, SLOW)}
        lane = min(waits, key=lambda name: (waits[name], name))
        place.now_s += waits[lane]
        content += place.send(lane)[1] and lane is SLOW
    assert 24 <= content <= 31
    assert place.quota.throttles == 0


def test_the_slow_lane_of_a_new_limiter_has_not_starved_yet() -> None:
    """It may not take the reserve before it had no call in a whole window."""
    limiter = Limiter(META)
    assert limiter.wait_s(FAST, 0.0) == 0
    limiter.take(FAST, 0.0)
    # Seven calls are assumed, 7.5 s apart and 1.2 s late: with this one, two have to leave before a slow one may go.
    assert limiter.wait_s(SLOW, 0.0) == pytest.approx(16.2)
    assert limiter.wait_s(SLOW, 7.0) == pytest.approx(9.2)


def test_one_refusal_out_of_nowhere_halves_at_most_and_the_rate_comes_back() -> None:
    place = world(percents=False)
    place.for_s(120)
    place.limiter.throttled(place.limiter.take(SLOW, place.now_s), place.now_s, retry_after_s=1.0)
    assert place.limiter.limit >= 4
    place.for_s(45 * 60)
    assert place.limiter.limit == 8
    assert place.for_s(600) >= 0.97 * 80 - 1
    assert place.limiter.ceiling is None


def test_where_the_limit_stays_low_it_is_probed_more_and_more_seldom() -> None:
    place = world(limit=5, percents=False, retry_after_s=60.0)
    place.for_s(24 * 3600)
    assert 3 <= place.quota.throttles <= 8


@pytest.mark.parametrize("percents", [True, False])
def test_a_restart_makes_no_burst(percents: bool) -> None:
    """The new limiter knows nothing of the calls that the old one made within the last minute."""
    place = world(percents=percents)
    place.for_s(300)
    for _ in range(10):
        place.limiter, place.now_s = Limiter(META), place.now_s + 1.2 * 60 / 8
        place.for_s(90)
    assert place.quota.throttles == 0


def test_a_call_that_was_not_sent_gives_its_place_back() -> None:
    limiter = Limiter(Rate(endpoint="x", calls=1, per_s=60))
    ticket = limiter.take(FAST, 0.0)
    assert limiter.wait_s(FAST, 0.0) > 0
    limiter.cancel(ticket)
    limiter.cancel(ticket)
    assert limiter.wait_s(FAST, 0.0) == 0


def test_a_limiter_that_remembers_nothing_may_be_forgotten() -> None:
    limiter = Limiter(META)
    assert limiter.is_quiet(0.0)
    limiter.answered(limiter.take(SLOW, 0.0), 1.0, Usage(share=0.12))
    assert not limiter.is_quiet(2.0)
    assert limiter.is_quiet(62.0)
    limiter.throttled(limiter.take(SLOW, 70.0), 71.0, retry_after_s=1.0)
    assert not limiter.is_quiet(1_000.0), "what it has learned would be lost"


def test_our_own_calls_that_went_meanwhile_are_nobody_elses() -> None:
    """The platform's count in the first answer has both calls in it."""
    limiter = Limiter(Rate(endpoint="send", calls=10, per_s=60), changed_s=0.0, known_since_s=0.0)
    first, _ = limiter.take(Priority.FAST, 0.0), limiter.take(Priority.FAST, 0.1)
    limiter.answered(first, 1.0, Usage(share=0.2))
    assert (len(limiter.calls), limiter.foreign_calls) == (2, 0)
    limiter.answered(limiter.take(Priority.FAST, 1.0), 2.0, Usage(share=0.5))
    assert (len(limiter.calls), limiter.foreign_calls) == (5, 2)
