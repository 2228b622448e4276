"""P20: what 10,000 new events cost, with the expiries due in their span, against an honest recompute in DuckDB.

100 rules over a history whose longest window is full; each round both get the same events, and the members of every
audience must be equal, bit for bit. The clock moves with the events (a frozen one would flatter us twofold). Evaluation
only; `bench/audience_transaction.py` has the whole path (P20W). `EVENTS=500000` makes it smaller: 1 visitor per 5
events, 1 new event per 500.
"""

import gc
import os
import time
from typing import Final

import numpy as np

from bench.audience_rig import batches, engine_with, history
from bench.audience_workload import dictionary, rules
from bench.baselines.duckdb_audiences import DuckRecompute
from bench.claims import Result, spread
from vitrin.retargeting.audiences.engine import Engine, compile_plan
from vitrin.retargeting.audiences.engine.kernels import Loop
from vitrin.retargeting.audiences.language.words import HOUR_MS

EVENTS: Final = int(os.environ.get("EVENTS", "5000000"))
VISITORS: Final = EVENTS // 5
BATCH: Final = EVENTS // 500
ROUNDS: Final = 7
GOALS: Final[dict[Loop, float]] = {"compiled": 20.0, "numpy": 8.0}
TICK_MS_MAX: Final = 10.0


def run() -> Result:
    numbers, made = dictionary(), rules()
    plan, log = compile_plan(made, numbers), history(EVENTS, VISITORS)
    duck = DuckRecompute(made, numbers, VISITORS)
    duck.insert(log)
    engines: dict[Loop, Engine] = {loop: engine_with(plan, log, loop) for loop in GOALS}
    del log
    seconds: dict[str, list[float]] = {"compiled": [], "numpy": [], "duckdb": []}
    processor: dict[str, list[float]] = {"compiled": [], "numpy": [], "duckdb": []}
    changes: list[int] = []
    for number, (at, batch) in enumerate(batches(ROUNDS + 1, BATCH, EVENTS, VISITORS)):
        duck.insert(batch)
        gc.collect()
        found = {}
        for name in list(seconds)[:: 1 if number % 2 else -1]:
            began, used = time.perf_counter(), time.process_time()
            if name == "duckdb":
                members = duck.members(at)
            else:
                found[name] = engines["numpy" if name == "numpy" else "compiled"].apply(batch, at).rows
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
        changes.append(found["compiled"])
        assert found["compiled"] == found["numpy"]
        for loop, engine in engines.items():
            for audience in plan.audiences:
                assert np.array_equal(
                    engine.is_member(audience), members[audience][: engine.subjects.size]
                ), f"{loop}, round {number}, {audience}: DuckDB says otherwise"
    ticks = {loop: _tick_ms(engine) for loop, engine in engines.items()}
    return _result(plan_size=(len(plan.filters), duck.conditions()), seconds=seconds, processor=processor,
                   changes=changes, ticks=ticks, engine=engines["compiled"])  # fmt: skip


def _tick_ms(engine: Engine) -> float:
    """An hour in which nobody comes: the median of some."""
    found = []
    for _ in range(5):
        began = time.perf_counter()
        engine.advance(engine.clock + HOUR_MS)
        found.append((time.perf_counter() - began) * 1_000)
    return spread(found)[0]


def _result(
    *,
    plan_size: tuple[int, int],
    seconds: dict[str, list[float]],
    processor: dict[str, list[float]],
    changes: list[int],
    ticks: dict[Loop, float],
    engine: Engine,
) -> Result:
    def ratios(times: dict[str, list[float]], loop: str) -> tuple[float, float, float]:
        return spread([duck / ours for duck, ours in zip(times["duckdb"][1:], times[loop][1:], strict=True)])

    value, smallest, largest = ratios(seconds, "compiled")
    numpy_ratio = ratios(seconds, "numpy")
    met = value >= GOALS["compiled"] and numpy_ratio[0] >= GOALS["numpy"] and ticks["compiled"] <= TICK_MS_MAX
    return Result(
        id="P20",
        name=f"audience update: {BATCH:,} events and the expiries of their span, evaluation only",
        value=value,
        goal=f"compiled >= {GOALS['compiled']:g}, numpy >= {GOALS['numpy']:g}, idle hour <= {TICK_MS_MAX:g} ms",
        baseline="DuckDB: a pushed-down query per condition, 2 threads, combined in numpy; members bit-identical",
        met=met,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "numpy": numpy_ratio,
            "ms": {name: spread([1_000 * second for second in times[1:]]) for name, times in seconds.items()},
            "processor_ms": {
                name: spread([1_000 * one for one in times[1:]]) for name, times in processor.items()
            },
            "events_per_s": round(BATCH / spread(seconds["compiled"][1:])[0]),
            "hour_without_events_ms": ticks,
            "history": {"events": EVENTS, "visitors": VISITORS, "kept": engine.events_kept()},
            "rules": {"filters": plan_size[0], "conditions": plan_size[1]},
            "changes_per_batch": spread(changes[1:]),
            "memory_mb": round(engine.bytes_used() / 1e6),
        },
    )
