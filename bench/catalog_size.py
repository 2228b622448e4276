"""G2: 1,000 changes over catalogs of 10,000 to 1,000,000 items: does work grow with the catalog?

Counted work, so that a busy machine changes nothing: buffers and rows in PostgreSQL (catalog and shop_sync), calls at
the platform. Value: the largest of the slopes. Time and processor time stand beside them.
"""

import time
from dataclasses import asdict
from typing import Final

from bench import scale
from bench.claims import Result, spread
from bench.rig import slope

SIZES: Final = (10_000, 50_000, 250_000, 1_000_000)
CHANGES: Final = 1_000
ROUNDS: Final = 3
GOAL: Final = 0.10
COUNTED: Final = ("buffers", "rows", "calls")


def run() -> Result:
    costs: list[list[scale.Work]] = []
    filled_s = []
    with scale.running() as system:
        brand = scale.live_brand(system, CHANGES)
        scale.autovacuum(system, on=False)
        first = CHANGES + 1
        cents = 1_100
        for size in SIZES:
            began = time.perf_counter()
            scale.fill(system, brand, first=first, last=size)
            filled_s.append(round(time.perf_counter() - began, 1))
            first = size + 1
            found = []
            for _ in range(ROUNDS):
                cents += 1
                found.append(scale.cost_of_changes(brand, range(CHANGES), cents))
            costs.append(found)
    medians = [
        {name: spread([asdict(work)[name] for work in found])[0] for name in (*COUNTED, "cpu_s", "wall_s")}
        for found in costs
    ]
    slopes = {name: round(slope(SIZES, [one[name] for one in medians]), 3) for name in medians[0]}
    counted = [slopes[name] for name in COUNTED]
    return Result(
        id="G2",
        name="counted work of 1,000 changes against the size of the catalog (10k to 1M): largest log-log slope",
        value=max(counted),
        goal=f"<= {GOAL:.2f}",
        baseline="the same 1,000 changes over the smaller catalogs, same run",
        met=max(counted) <= GOAL,
        min=min(counted),
        max=max(counted),
        rounds=ROUNDS,
        also={
            "sizes": list(SIZES),
            "slopes": slopes,
            **{name: [one[name] for one in medians] for name in slopes},
            "fill_s": filled_s,
        },
    )
