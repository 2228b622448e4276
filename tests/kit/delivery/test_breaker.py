"""The breaker: when it opens, what it lets through, and how it closes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.delivery.breaker import PROBE_RETRY_S, Breaker, BreakerRules, BreakerState, Health

RULES = BreakerRules(
    window_s=30, calls_min=10, share_max=0.5, consecutive_max=5, open_first_s=2, open_max_s=60
)


def run(breaker: Breaker, healths: str, *, now_s: float = 0.0, step_s: float = 0.1) -> float:
    """w, u and a for well, unwell and abandoned calls, one after another. Answers the time after them."""
    meanings = {"w": Health.WELL, "u": Health.UNWELL, "a": Health.ABANDONED}
    for letter in healths:
        breaker.end(breaker.begin(now_s), meanings[letter], now_s)
        now_s += step_s
    return now_s


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES)
    run(breaker, "wuuuu")
    assert breaker.state(1.0) is BreakerState.CLOSED
    run(breaker, "u", now_s=1.0)
    assert breaker.state(1.0) is BreakerState.OPEN
    assert breaker.wait_s(1.0) == 2.0
    assert breaker.wait_s(2.5) == 0.5
    with pytest.raises(ValueError, match="open"):
        breaker.begin(1.0)


def test_a_share_of_failures_opens_it_and_too_few_calls_do_not() -> None:
    breaker = Breaker(RULES)
    run(breaker, "uwuwuwuwu")
    assert breaker.state(1.0) is BreakerState.CLOSED
    run(breaker, "u", now_s=1.0)
    assert breaker.state(1.0) is BreakerState.OPEN


def test_a_share_that_is_reached_after_many_calls_opens_it_too() -> None:
    breaker = Breaker(RULES)
    now_s = run(breaker, "wwwwwwww" + "uuuuw" * 2 + "u")
    assert breaker.state(now_s) is BreakerState.CLOSED, "9 of 19"
    run(breaker, "u", now_s=now_s)
    assert breaker.state(now_s) is BreakerState.OPEN, "10 of 20"


def test_what_left_the_window_counts_no_more() -> None:
    breaker = Breaker(RULES)
    run(breaker, "uuuwuuu")
    run(breaker, "wwwu", now_s=31.0)
    assert breaker.state(32.0) is BreakerState.CLOSED
    assert not breaker.is_quiet(40.0)
    assert breaker.is_quiet(70.0)


def test_calls_that_we_cut_off_say_nothing() -> None:
    breaker = Breaker(RULES)
    run(breaker, "a" * 50)
    assert breaker.is_quiet(0.0)


def test_a_call_that_began_before_it_opened_says_nothing_of_the_time_after() -> None:
    breaker = Breaker(RULES)
    late = [breaker.begin(0.0) for _ in range(5)]
    now_s = run(breaker, "uuuuu")
    now_s += breaker.wait_s(now_s)
    breaker.end(breaker.begin(now_s), Health.WELL, now_s)
    for permit in late:
        breaker.end(permit, Health.UNWELL, now_s)
    assert breaker.state(now_s) is BreakerState.CLOSED
    assert breaker.in_a_row == 0


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    breaker = Breaker(RULES)
    now_s = run(breaker, "uuuuu")
    now_s += breaker.wait_s(now_s)
    assert breaker.state(now_s) is BreakerState.HALF_OPEN
    probe = breaker.begin(now_s)
    assert probe.probe
    assert breaker.wait_s(now_s) == PROBE_RETRY_S
    breaker.end(probe, Health.WELL, now_s)
    assert breaker.state(now_s) is BreakerState.CLOSED
    run(breaker, "uuuu", now_s=now_s)
    assert breaker.state(now_s) is BreakerState.CLOSED, "what was before is forgotten"


def test_failed_probes_double_the_pause_up_to_its_cap() -> None:
    breaker = Breaker(RULES)
    now_s = run(breaker, "uuuuu", step_s=0)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.wait_s(now_s))
        now_s += pauses[-1]
        breaker.end(breaker.begin(now_s), Health.UNWELL, now_s)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_jitter_lengthens_a_pause_by_up_to_a_quarter() -> None:
    breaker = Breaker(BreakerRules(consecutive_max=1))
    breaker.end(breaker.begin(0.0), Health.UNWELL, 0.0, jitter=0.5)
    assert breaker.wait_s(0.0) == pytest.approx(2.25)


def test_a_probe_that_was_cut_off_frees_the_place() -> None:
    breaker = Breaker(RULES)
    now_s = run(breaker, "uuuuu") + 10
    breaker.end(breaker.begin(now_s), Health.ABANDONED, now_s)
    assert breaker.wait_s(now_s) == 0.0
    assert breaker.state(now_s) is BreakerState.HALF_OPEN


def test_outcomes_of_calls_from_before_the_opening_are_history() -> None:
    breaker = Breaker(RULES)
    late = [breaker.begin(0.0) for _ in range(3)]
    now_s = run(breaker, "uuuuu")
    until = breaker.open_until_s
    for permit, health in zip(late, (Health.WELL, Health.UNWELL, Health.ABANDONED), strict=True):
        breaker.end(permit, health, now_s)
    assert breaker.open_until_s == until
    assert breaker.state(now_s) is BreakerState.OPEN


@given(st.lists(st.tuples(st.floats(0.001, 40), st.sampled_from(list(Health))), max_size=200))
def test_a_sick_endpoint_is_tried_again_and_never_flooded(steps: list[tuple[float, Health]]) -> None:
    breaker, now_s = Breaker(RULES), 0.0
    for pause_s, health in steps:
        now_s += pause_s
        wait_s = breaker.wait_s(now_s)
        assert 0 <= wait_s <= RULES.open_max_s * 1.25
        if wait_s == 0:
            breaker.end(breaker.begin(now_s), health, now_s)
        assert len(breaker.outcomes) <= len(steps)
        assert 0 <= breaker.failed <= len(breaker.outcomes)
    now_s += breaker.wait_s(now_s)
    breaker.end(breaker.begin(now_s), Health.WELL, now_s)
    assert breaker.wait_s(now_s) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 0},
        {"calls_min": 0},
        {"share_max": 0},
        {"share_max": 1.5},
        {"open_max_s": 1, "open_first_s": 2},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"breaker|share_max"):
        BreakerRules(**wrong)  # type: ignore[arg-type]


def test_the_pauses_double_from_two_seconds_to_two_minutes() -> None:
    breaker, now_s, pauses = Breaker(), 0.0, []
    for _ in range(5):
        breaker.end(breaker.begin(now_s), Health.UNWELL, now_s)
    for _ in range(8):
        pauses.append(breaker.wait_s(now_s))
        now_s += pauses[-1]
        breaker.end(breaker.begin(now_s), Health.UNWELL, now_s)
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120]
    now_s += breaker.wait_s(now_s)
    breaker.end(breaker.begin(now_s), Health.UNWELL, now_s, jitter=1.0)
    assert breaker.wait_s(now_s) == 150
