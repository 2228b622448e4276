"""The inner loop in plain numpy: one pass over all subjects of the work per filter, anchor and node.

For machines without numba, and the check of the compiled loop: both answer the same, bit for bit.
"""

from typing import Final, NamedTuple

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import NEVER, NONE, Flags, Ints, ints, ranges
from vitrin.retargeting.audiences.engine.filters import ClassArrays
from vitrin.retargeting.audiences.engine.graph import ALL, FACT, NOT, OLDER, SOME, UNFOLLOWED, WITHIN
from vitrin.retargeting.audiences.engine.plan import (
    COUNT_HI,
    COUNT_LO,
    KEEP_COUNT,
    KEEP_COUNT_MS,
    KEEP_SUM,
    KEEP_SUM_MS,
    OLDEST,
    SUM_HI,
    SUM_LO,
    PlanArrays,
)
from vitrin.retargeting.audiences.engine.state import AT, COUNT, ROOM, START, Pool
from vitrin.retargeting.audiences.engine.work import Outcome, Work, room_for

CHUNK: Final = 8_192
"""Subjects per pass: what the nodes need then stays near the processor's cache."""


class _Events(NamedTuple):
    """Of some subjects, ascending per subject; `row` is the subject's place in the work."""

    row: Ints
    at: Ints
    cls: Ints
    value: Ints


class _Pairs(NamedTuple):
    """Event and filter that it meets; by filter, then subject, then newest first; only events that are not to come."""

    event: Ints
    row: Ints
    at: Ints
    rank: Ints
    """1 for the newest of its filter and subject."""
    before: Ints
    """Sum of the newer ones' values."""
    value: Ints
    oldest: Flags
    filter_lo: Ints


def run(plan: PlanArrays, classes: ClassArrays, pool: Pool, work: Work) -> Outcome:
    """`work.Kernel`."""
    rows = len(work.subject)
    mask = np.zeros((rows, len(plan.default_mask)), dtype=np.uint64)
    following = np.zeros(rows, dtype=np.int64)
    for start in range(0, rows, CHUNK):
        part = slice(start, min(start + CHUNK, rows))
        lo, hi = work.new_lo[part.start], work.new_lo[part.stop]
        some = Work(
            work.subject[part],
            work.at[part],
            work.new_lo[part.start : part.stop + 1] - lo,
            work.new[lo:hi],
            work.facts[part],
            work.evaluate,
        )
        found = _chunk(plan, classes, pool, some)
        if work.evaluate:
            mask[part], following[part] = found
    return Outcome(mask, following)


def _chunk(plan: PlanArrays, classes: ClassArrays, pool: Pool, work: Work) -> Outcome:
    events = _joined(pool, work)
    now = work.at[events.row]
    to_come = events.at > now
    pairs = _paired(plan, classes, events, ~to_come)
    _keep(pool, work, events, to_come | _needed(plan, pairs, work.at, len(events.row)))
    if not work.evaluate:
        return Outcome(np.zeros((0, 0), dtype=np.uint64), ints([]))
    future = np.full(len(work.subject), NEVER, dtype=np.int64)
    ahead = np.flatnonzero(to_come)[::-1]
    future[events.row[ahead]] = events.at[ahead]
    return _evaluated(plan, _anchors(plan, pairs, len(work.subject)), work, future)


def _joined(pool: Pool, work: Work) -> _Events:
    counts = pool.blocks[work.subject, COUNT]
    events = pool.events[ranges(pool.blocks[work.subject, START], counts)]
    row = np.repeat(np.arange(len(counts)), counts)
    if len(work.new):
        row = np.concatenate((row, np.repeat(np.arange(len(counts)), np.diff(work.new_lo))))
        events = np.concatenate((events, work.new))
        order = np.lexsort((events[:, AT], row))
        row, events = row[order], events[order]
    return _Events(row, *np.ascontiguousarray(events.T))


def _paired(plan: PlanArrays, classes: ClassArrays, events: _Events, past: Flags) -> _Pairs:
    newest_first = np.flatnonzero(past)[::-1]
    cls = events.cls[newest_first]
    counts = classes.lo[cls + 1] - classes.lo[cls]
    met = classes.filters[ranges(classes.lo[cls], counts)]
    by_filter = np.argsort(met.astype(np.int16), kind="stable")
    event = np.repeat(newest_first, counts)[by_filter]
    met = met[by_filter]
    row, at, value = events.row[event], events.at[event], events.value[event]
    first = np.ones(len(event), dtype=np.bool_)
    first[1:] = (met[1:] != met[:-1]) | (row[1:] != row[:-1])
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(event)))
    rank = np.arange(len(event)) - np.repeat(starts, lengths) + 1
    running = np.cumsum(value) - value
    before = running - np.repeat(running[starts], lengths)
    oldest = np.ones(len(event), dtype=np.bool_)
    oldest[:-1] = first[1:]
    filter_lo = np.searchsorted(met, np.arange(len(plan.filters) + 1))
    return _Pairs(event, row, at, rank, before, value, oldest, filter_lo)


def _needed(plan: PlanArrays, pairs: _Pairs, now: Ints, events: int) -> Flags:
    """Events that an anchor can still need; the same condition as `loop.count_event`."""
    met = np.repeat(np.arange(len(plan.filters)), np.diff(pairs.filter_lo))
    at, current = pairs.at, now[pairs.row]
    wanted = (pairs.rank <= plan.filters[met, KEEP_COUNT]) & (at + plan.filters[met, KEEP_COUNT_MS] > current)
    wanted |= (
        (pairs.value > 0)
        & (pairs.before < plan.filters[met, KEEP_SUM])
        & (at + plan.filters[met, KEEP_SUM_MS] > current)
    )
    wanted |= pairs.oldest & (plan.filters[met, OLDEST] >= 0)
    kept = np.zeros(events, dtype=np.bool_)
    kept[pairs.event[wanted]] = True
    return kept


def _anchors(plan: PlanArrays, pairs: _Pairs, rows: int) -> Ints:
    """Shape (anchors, rows)."""
    anchors = np.full((len(plan.anchor_x), rows), NONE, dtype=np.int64)
    for one in range(len(plan.filters)):
        part = slice(pairs.filter_lo[one], pairs.filter_lo[one + 1])
        if part.start == part.stop:
            continue
        row, at, rank = pairs.row[part], pairs.at[part], pairs.rank[part]
        for anchor in range(plan.filters[one, COUNT_LO], plan.filters[one, COUNT_HI]):
            here = rank == plan.anchor_x[anchor]
            anchors[anchor, row[here]] = at[here]
        before, value = pairs.before[part], pairs.value[part]
        for anchor in range(plan.filters[one, SUM_LO], plan.filters[one, SUM_HI]):
            x = plan.anchor_x[anchor]
            here = (before < x) & (before + value >= x)
            anchors[anchor, row[here]] = at[here]
        if plan.filters[one, OLDEST] >= 0:
            here = pairs.oldest[part]
            anchors[plan.filters[one, OLDEST], row[here]] = at[here]
    return anchors


def _evaluated(plan: PlanArrays, anchors: Ints, work: Work, future: Ints) -> Outcome:
    nodes, rows = len(plan.nodes), len(work.subject)
    truth = np.zeros((nodes, rows), dtype=np.bool_)
    flip = np.full((nodes, rows), NEVER, dtype=np.int64)
    for node in range(nodes):
        _node(plan, node, anchors, work, (truth, flip))
    mask = np.tile(plan.default_mask, (rows, 1))
    following = future
    for node in range(nodes):
        for audience in plan.root[plan.root_lo[node] : plan.root_lo[node + 1]]:
            bit = np.uint64(1 << int(audience & 63))
            column = mask[:, audience >> 6]
            mask[:, audience >> 6] = np.where(truth[node], column | bit, column & ~bit)
            following = np.minimum(following, flip[node])
    return Outcome(mask, following)


def _node(plan: PlanArrays, node: int, anchors: Ints, work: Work, state: tuple[Flags, Ints]) -> None:
    truth, flip = state
    op, first, second, window = plan.nodes[node].tolist()
    if op in (WITHIN, UNFOLLOWED):
        end = anchors[first] + window
        truth[node] = end > work.at
        if op == WITHIN:
            truth[node] &= anchors[first] != NONE
        else:
            truth[node] &= anchors[first] > anchors[second]
        flip[node] = np.where(truth[node], end, NEVER)
    elif op in (ALL, SOME):
        children = plan.children[first:second]
        below, instants = truth[children], flip[children]
        if op == ALL:
            truth[node], rare = below.all(axis=0), ~below
            turned = ~truth[node]
        else:
            truth[node], rare = below.any(axis=0), below
            turned = truth[node]
        latest = np.where(rare, instants, -NEVER).max(axis=0)
        flip[node] = np.where(turned, latest, instants.min(axis=0))
    elif op == NOT:
        truth[node], flip[node] = ~truth[first], flip[first]
    elif op == OLDER:
        due = anchors[first] + window
        there = anchors[first] != NONE
        truth[node] = there & (due <= work.at)
        flip[node] = np.where(there & (due > work.at), due, NEVER)
    elif op == FACT:
        fact = work.facts[:, first]
        inside = fact < window
        truth[node] = inside & (plan.fact_table[second + np.where(inside, fact, 0)] != 0)


def _keep(pool: Pool, work: Work, events: _Events, wanted: Flags) -> None:
    kept = np.flatnonzero(wanted)
    counts = np.bincount(events.row[kept], minlength=len(work.subject))
    moving = np.flatnonzero(counts > pool.blocks[work.subject, ROOM])
    rooms = room_for(counts[moving])
    subjects = work.subject[moving]
    pool.blocks[subjects, START] = pool.tail[0] + np.cumsum(rooms) - rooms
    pool.blocks[subjects, ROOM] = rooms
    pool.tail[0] += rooms.sum()
    pool.blocks[work.subject, COUNT] = counts
    places = ranges(pool.blocks[work.subject, START], counts)
    pool.events[places] = np.stack((events.at[kept], events.cls[kept], events.value[kept]), axis=1)
