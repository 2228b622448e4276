"""Bounds of `top` conditions: computed from the log on a schedule, and given to the plan.

Between two computations the bound stands still, so that a membership can be explained: "345.10 EUR or more, as of
Monday 03:00". Nearest rank: with n subjects of positive measure, the bound is the measure of the ceil(n * percent /
100)-th best; ties with it are in.
"""

import numpy as np

from vitrin.retargeting.audiences.engine.columns import Batch, Dictionary
from vitrin.retargeting.audiences.engine.filters import Filter, Matcher
from vitrin.retargeting.audiences.language.canonical import node_key
from vitrin.retargeting.audiences.language.nodes import Top


def key(node: Top) -> str:
    """The name of a bound: equal conditions share it."""
    return node_key(node)


def bound(node: Top, log: Batch, dictionary: Dictionary, at: int) -> int | None:
    """The least sum or count, or the exclusive age (ms) for `recency`; None when nobody has a positive measure.

    `log`: accepted events with their subjects, at least those of the window; `at`: the instant of computation.
    """
    price = node.match.price
    if node.by == "sum" and price is not None and price.currency != node.currency:
        return None  # an event has one currency
    matcher = Matcher([Filter(node.match, node.currency if node.by == "sum" else None)], dictionary)
    wanted = (matcher.bits(log)[:, 0] != 0) & (log.at <= at) & (log.at > at - node.within_ms)
    subjects, place = np.unique(log.subject[wanted], return_inverse=True)
    if not len(subjects):
        return None
    if node.by == "recency":
        newest = np.full(len(subjects), -(1 << 62), dtype=np.int64)
        np.maximum.at(newest, place, log.at[wanted])
        return int(np.sort(at - newest)[_rank(len(subjects), node.percent)]) + 1
    measure = np.zeros(len(subjects), dtype=np.int64)
    np.add.at(measure, place, log.value[wanted] if node.by == "sum" else 1)
    measure = measure[measure > 0]
    if not len(measure):
        return None
    return int(np.sort(measure)[::-1][_rank(len(measure), node.percent)])


def _rank(population: int, percent: int) -> int:
    return -(-population * percent // 100) - 1
