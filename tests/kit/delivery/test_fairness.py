"""Shares of a thing that many wait for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.delivery import fairness
from vitrin.kit.delivery.fairness import FairShare


def served(share: FairShare, waiting: list[str], turns: int) -> list[str]:
    order = []
    for _ in range(turns):
        flow = share.choose(waiting)
        assert flow is not None
        share.charge(flow)
        order.append(flow)
    return order


def test_nobody_waits() -> None:
    assert FairShare().choose([]) is None


def test_a_noisy_brand_gets_its_share_and_no_more() -> None:
    share = FairShare()
    assert served(share, ["noisy"], 100) == ["noisy"] * 100
    order = served(share, ["noisy", "quiet"], 10)
    assert order[0] == "quiet", "who did not wait before goes before who was just served"
    assert order.count("quiet") == 5


def test_idling_saves_up_nothing() -> None:
    share = FairShare()
    served(share, ["a", "b"], 50)
    served(share, ["a"], 500)
    order = served(share, ["a", "b"], 20)
    assert order.count("a") == 10


def test_costs_and_weights_count() -> None:
    share = FairShare()
    used = {"large": 0.0, "small": 0.0, "heavy": 0.0}
    for _ in range(4_000):
        flow = share.choose(used)
        assert flow is not None
        cost = 100.0 if flow == "large" else 1.0
        share.charge(flow, cost, weight=2.0 if flow == "heavy" else 1.0)
        used[flow] += cost
    assert used["heavy"] / used["small"] == pytest.approx(2, rel=0.1)
    assert used["large"] / used["small"] == pytest.approx(1, rel=0.1)


@given(
    costs=st.lists(st.floats(0.1, 50), min_size=2, max_size=6),
    turns=st.integers(50, 300),
)
def test_no_flow_is_behind_another_by_more_than_two_jobs(costs: list[float], turns: int) -> None:
    share, used = FairShare(), [0.0] * len(costs)
    for _ in range(turns):
        flow = share.choose([str(n) for n in range(len(costs))])
        assert flow is not None
        share.charge(flow, costs[int(flow)])
        used[int(flow)] += costs[int(flow)]
        assert max(used) - min(used) <= 2 * max(costs) + 1e-6


@pytest.mark.parametrize(
    "wrong", [{"cost": 0}, {"cost": -1}, {"cost": 1, "weight": 0}, {"cost": 1, "weight": -1}]
)
def test_a_job_without_cost_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        FairShare().charge("a", **wrong)


def test_flows_that_are_not_ahead_are_forgotten() -> None:
    share = FairShare()
    for number in range(3 * fairness.FLOWS_MAX):
        share.charge(f"flow-{number}")
        share.charge("always", 0.001)
        share.now += 2
    assert len(share.finishes) <= fairness.FLOWS_MAX + 1


def test_who_is_ahead_is_remembered_and_who_is_not_is_forgotten_first() -> None:
    share = FairShare()
    share.charge("ahead", 5.0)
    for number in range(fairness.FLOWS_MAX - 1):
        share.charge(f"flow-{number}")
    assert len(share.finishes) == fairness.FLOWS_MAX
    share.now = 2.0
    share.charge("one more")
    assert share.finishes == {"ahead": 5.0, "one more": 3.0}
    share.charge("small", 0.5, weight=2.0)
    assert share.finishes["small"] == 2.25


def test_nothing_is_forgotten_before_there_are_too_many() -> None:
    share = FairShare()
    share.charge("old", 0.5)
    share.now = 0.5
    for number in range(fairness.FLOWS_MAX - 1):
        share.charge(f"flow-{number}")
        assert "old" in share.finishes
    assert len(share.finishes) == fairness.FLOWS_MAX
    share.charge("one more")
    assert "old" not in share.finishes, "it ends at the present: it is not ahead"
    assert len(share.finishes) == fairness.FLOWS_MAX
