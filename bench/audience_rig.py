"""Engines with a history, for P20 and G3."""

import numpy as np

from bench.audience_workload import HISTORY_DAYS, START, events
from vitrin.retargeting.audiences.engine import Batch, Engine, Plan
from vitrin.retargeting.audiences.engine.kernels import Loop
from vitrin.retargeting.audiences.language.words import DAY_MS

NOW = START + HISTORY_DAYS * DAY_MS
CHUNK = 500_000


def history(count: int, visitors: int) -> Batch:
    return events(count, visitors, seq=0, begin=START, end=NOW, seed=1)


def engine_with(plan: Plan, log: Batch, loop: Loop, now: int = NOW) -> Engine:
    """As a backfill does it: load in chunks, then settle."""
    engine = Engine(plan, clock=now, loop=loop)
    for start in range(0, log.rows, CHUNK):
        engine.load(log.take(np.arange(start, min(start + CHUNK, log.rows))))
    while engine.settle() < 1.0:
        pass
    return engine


def batches(count: int, size: int, history_events: int, visitors: int) -> list[tuple[int, Batch]]:
    """What comes next, at the rate of the history: instants of the service clock and the events up to them."""
    step = HISTORY_DAYS * DAY_MS * size // history_events
    found = []
    for number in range(count):
        begin = NOW + number * step
        seq = history_events + number * size
        found.append(
            (begin + step, events(size, visitors, seq=seq, begin=begin, end=begin + step, seed=100 + number))
        )
    return found
