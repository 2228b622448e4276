"""G1: what 10 to 10,000 changed items of a catalog of 100,000 cost, after the fixed cost (that of one change).

Value: the largest log-log slope of processor time (all services and PostgreSQL), buffers and rows. Below 1, a larger
batch costs less per item; above 1.1 something grows faster than what changed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from bench import scale
from bench.claims import Result, spread
from bench.rig import slope

SIZES: Final = (10, 100, 1_000, 10_000)
CATALOG: Final = 100_000
ROUNDS: Final = 3
GOAL: Final = 1.1
NOISE: Final = 0.10
"""Loops that look every second cost a little meanwhile; what is within this share of the fixed cost says nothing."""
COSTS: Final = ("cpu_s", "buffers", "rows")


def run() -> Result:
    costs: dict[int, list[scale.Work]] = {size: [] for size in (1, *SIZES)}
    with scale.running() as system:
        brand = scale.live_brand(system, max(SIZES))
        scale.fill(system, brand, first=max(SIZES) + 1, last=CATALOG)
        scale.autovacuum(system, on=False)
        cents = 1_100
        for _ in range(ROUNDS):
            for size, found in costs.items():
                cents += 1
                found.append(scale.cost_of_changes(brand, range(size), cents))
    medians = {
        size: {
            name: spread([asdict(work)[name] for work in found])[0] for name in (*COSTS, "calls", "wall_s")
        }
        for size, found in costs.items()
    }
    slopes = {name: _slope({size: one[name] for size, one in medians.items()}) for name in COSTS}
    worst = max(slopes.values())
    return Result(
        id="G1",
        name="cost per changed item (10 to 10,000 of 100,000): log-log slope after the fixed cost, worst",
        value=worst,
        goal=f"<= {GOAL}",
        baseline="the cost of smaller changes, same run",
        met=worst <= GOAL,
        min=min(slopes.values()),
        max=worst,
        rounds=ROUNDS,
        also={"slopes": slopes, "by_changes": {str(size): values for size, values in medians.items()}},
    )


def _slope(costs: Mapping[int, float]) -> float:
    """Over the sizes whose cost stands out from the fixed one."""
    fixed = costs[1]
    beyond = {size: costs[size] - fixed for size in SIZES if costs[size] > fixed * (1 + NOISE)}
    return round(slope(list(beyond), list(beyond.values())), 3)
