"""G3: the cost of new events over histories of 1 to 8 times the longest window, at the same rate: log-log slope.

Also against the number of rules, 25 to 200, over the same history. Evaluation with the auto loop, expiries included.
"""

import os
import time
from typing import Final

from bench.audience_rig import engine_with
from bench.audience_workload import START, dictionary, events, rules
from bench.claims import Result, spread
from bench.rig import slope
from vitrin.retargeting.audiences.engine import Engine, compile_plan
from vitrin.retargeting.audiences.language.words import DAY_MS

EVENTS_PER_DAY: Final = int(os.environ.get("EVENTS", "1000000")) // 100
VISITORS: Final = 20 * EVENTS_PER_DAY
DAYS: Final = (100, 200, 400, 800)
RULES: Final = (25, 50, 100, 200)
ROUNDS: Final = 9
GOAL: Final = 0.10
RULES_GOAL: Final = 0.60
NOW: Final = START + DAYS[-1] * DAY_MS
STEP_MS: Final = DAY_MS // 4
BATCH: Final = EVENTS_PER_DAY // 4


def run() -> Result:
    by_days = {days: _engine(days, 100) for days in DAYS}
    by_rules = {count: _engine(DAYS[0], count) for count in RULES}
    times = _interleaved({("days", days): engine for days, engine in by_days.items()})
    times |= _interleaved({("rules", count): engine for count, engine in by_rules.items()})
    turned = {count: engine.advance(engine.clock + STEP_MS).rows for count, engine in by_rules.items()}
    days_ms = [spread(times["days", days])[0] for days in DAYS]
    rules_ms = [spread(times["rules", count])[0] for count in RULES]
    value, rules_slope = round(slope(DAYS, days_ms), 3), round(slope(RULES, rules_ms), 3)
    return Result(
        id="G3",
        name=f"cost of {BATCH:,} events with expiries over histories of {DAYS[0]} to {DAYS[-1]} days (slope)",
        value=value,
        goal=f"<= {GOAL:g}; over the number of rules <= {RULES_GOAL:g}",
        baseline="the same engine over the shortest history (its longest window is full)",
        met=value <= GOAL and rules_slope <= RULES_GOAL,
        min=value,
        max=value,
        rounds=ROUNDS,
        also={
            "slope_over_rules": rules_slope,
            "ms_by_days": dict(zip(DAYS, days_ms, strict=True)),
            "ms_by_rules": dict(zip(RULES, rules_ms, strict=True)),
            "expiries_of_six_hours_by_rules": turned,
            "events_kept_by_days": {days: engine.events_kept() for days, engine in by_days.items()},
        },
    )


def _engine(days: int, count: int) -> Engine:
    log = events(days * EVENTS_PER_DAY, VISITORS, seq=0, begin=NOW - days * DAY_MS, end=NOW, seed=days)
    plan = compile_plan(rules(count), dictionary())
    return engine_with(plan, log, "auto", now=NOW)


def _interleaved(engines: dict[tuple[str, int], Engine]) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {name: [] for name in engines}
    for number in range(ROUNDS + 1):
        begin = NOW + number * STEP_MS
        seq = DAYS[-1] * EVENTS_PER_DAY + number * BATCH
        batch = events(BATCH, VISITORS, seq=seq, begin=begin, end=begin + STEP_MS, seed=number)
        for name in list(engines)[:: 1 if number % 2 else -1]:
            began = time.process_time()
            engines[name].apply(batch, begin + STEP_MS)
            found[name].append(1_000 * (time.process_time() - began))
    return {name: times[1:] for name, times in found.items()}
