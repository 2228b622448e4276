"""The inner loop, subject by subject: compiled by numba where it is installed, else only a test runs it as it is.

Plain Python on arrays and numbers, so that both mean the same; no numba name in here.
"""

from typing import NamedTuple

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import NEVER, NONE, Ints, Words
from vitrin.retargeting.audiences.engine.filters import ClassArrays
from vitrin.retargeting.audiences.engine.graph import ALL, FACT, NOT, OLDER, SOME, UNFOLLOWED, WITHIN
from vitrin.retargeting.audiences.engine.plan import PlanArrays
from vitrin.retargeting.audiences.engine.state import Pool
from vitrin.retargeting.audiences.engine.work import Outcome, Work

GROUP = 16
"""Nodes that share one flag while those to evaluate are gathered."""


class Scratch(NamedTuple):
    """Columns that one call uses again for every subject, and leaves as they were."""

    at: Ints
    cls: Ints
    value: Ints
    wanted: Ints
    anchors: Ints
    counted: Ints
    summed: Ints
    last: Ints
    met: Ints
    count_next: Ints
    sum_next: Ints
    todo: Ints
    groups: Ints
    truth: Ints
    flip: Ints


def scratch_for(plan: PlanArrays, longest: int) -> Scratch:
    filters, nodes = len(plan.count_lo), len(plan.op)
    return Scratch(
        np.zeros(longest, dtype=np.int64),
        np.zeros(longest, dtype=np.int64),
        np.zeros(longest, dtype=np.int64),
        np.zeros(longest, dtype=np.int64),
        np.full(len(plan.anchor_x) + 1, NONE, dtype=np.int64),
        np.zeros(filters, dtype=np.int64),
        np.zeros(filters, dtype=np.int64),
        np.zeros(filters, dtype=np.int64),
        np.zeros(filters, dtype=np.int64),
        plan.count_lo.copy(),
        plan.sum_lo.copy(),
        np.zeros(nodes, dtype=np.int64),
        np.zeros(nodes // GROUP + 1, dtype=np.int64),
        plan.default_truth.astype(np.int64),
        np.full(nodes, NEVER, dtype=np.int64),
    )


def join(pool: Pool, subject: int, work: Work, row: int, s: Scratch) -> int:
    """The subject's events and the new ones, ascending, into the scratch columns; how many."""
    start, count = pool.start[subject], pool.count[subject]
    new, end = work.new_lo[row], work.new_lo[row + 1]
    old = 0
    total = 0
    while old < count or new < end:
        if new == end or (old < count and pool.at[start + old] <= work.new_at[new]):
            s.at[total] = pool.at[start + old]
            s.cls[total] = pool.cls[start + old]
            s.value[total] = pool.value[start + old]
            old += 1
        else:
            s.at[total] = work.new_at[new]
            s.cls[total] = work.new_cls[new]
            s.value[total] = work.new_value[new]
            new += 1
        total += 1
    return total


def count_event(plan: PlanArrays, one: int, number: int, now: int, s: Scratch) -> None:
    """Filter `one` meets event `number`, the events come newest first."""
    at = s.at[number]
    s.counted[one] += 1
    s.last[one] = number
    if s.counted[one] <= plan.keep_count[one] and at + plan.keep_count_ms[one] > now:
        s.wanted[number] = 1
    pending = s.count_next[one]
    if pending < plan.count_hi[one] and plan.anchor_x[pending] == s.counted[one]:
        s.anchors[pending] = at
        s.count_next[one] = pending + 1
    if s.value[number] > 0 and s.summed[one] < plan.keep_sum[one]:
        if at + plan.keep_sum_ms[one] > now:
            s.wanted[number] = 1
        s.summed[one] += s.value[number]
        pending = s.sum_next[one]
        while pending < plan.sum_hi[one] and plan.anchor_x[pending] <= s.summed[one]:
            s.anchors[pending] = at
            pending += 1
        s.sum_next[one] = pending


def find_anchors(plan: PlanArrays, classes: ClassArrays, now: int, total: int, s: Scratch) -> tuple[int, int]:
    """Sets anchors and what to keep; answers how many filters were met and the first instant after now."""
    future, mets = NEVER, 0
    for number in range(total - 1, -1, -1):
        if s.at[number] > now:
            future = s.at[number]
            s.wanted[number] = 1
            continue
        s.wanted[number] = 0
        for place in range(classes.lo[s.cls[number]], classes.lo[s.cls[number] + 1]):
            one = classes.filters[place]
            if s.counted[one] == 0:
                s.met[mets] = one
                mets += 1
            count_event(plan, one, number, now, s)
    for place in range(mets):
        one = s.met[place]
        if plan.oldest[one] >= 0:
            s.anchors[plan.oldest[one]] = s.at[s.last[one]]
            s.wanted[s.last[one]] = 1
    return mets, future


def evaluate_nodes(plan: PlanArrays, now: int, facts: Ints, s: Scratch) -> None:
    """Truth and next instant of the nodes flagged in `todo`, children first; the others have their defaults."""
    for group in range(len(s.groups)):
        if s.groups[group] == 0:
            continue
        for node in range(group * GROUP, min((group + 1) * GROUP, len(s.todo))):
            if s.todo[node] == 0:
                continue
            op = plan.op[node]
            first, second, window = plan.first[node], plan.second[node], plan.window[node]
            yes, instant = 0, NEVER
            if op == WITHIN:
                if s.anchors[first] != NONE and s.anchors[first] + window > now:
                    yes, instant = 1, s.anchors[first] + window
            elif op in (ALL, SOME):
                # All is false by its false children, any is true by its true ones: these must all turn.
                rare = 0 if op == ALL else 1
                least, most, found = NEVER, -NEVER, 0
                for place in range(first, second):
                    child = plan.children[place]
                    least = min(least, s.flip[child])
                    if s.truth[child] == rare:
                        found = 1
                        most = max(most, s.flip[child])
                yes = rare if found else 1 - rare
                instant = most if found else least
            elif op == NOT:
                yes, instant = 1 - s.truth[first], s.flip[first]
            elif op == OLDER:
                if s.anchors[first] != NONE:
                    due = s.anchors[first] + window
                    yes, instant = (1, NEVER) if due <= now else (0, due)
            elif op == UNFOLLOWED:
                if s.anchors[first] > s.anchors[second] and s.anchors[first] + window > now:
                    yes, instant = 1, s.anchors[first] + window
            elif op == FACT:
                fact = facts[first]
                yes = int(plan.fact_table[second + fact]) if fact < window else 0
            s.truth[node] = yes
            s.flip[node] = instant


def mark(plan: PlanArrays, anchor: int, s: Scratch) -> None:
    for place in range(plan.above_lo[anchor], plan.above_lo[anchor + 1]):
        node = plan.above[place]
        s.todo[node] = 1
        s.groups[node // GROUP] = 1


def evaluate(plan: PlanArrays, now: int, facts: Ints, mets: int, s: Scratch, mask: Words) -> int:
    """Sets the mask; answers the earliest instant at which time alone can change it. Leaves the nodes as they were."""
    mark(plan, len(plan.anchor_x), s)
    for place in range(mets):
        one = s.met[place]
        for anchor in range(plan.count_lo[one], s.count_next[one]):
            mark(plan, anchor, s)
        for anchor in range(plan.sum_lo[one], s.sum_next[one]):
            mark(plan, anchor, s)
        if plan.oldest[one] >= 0:
            mark(plan, plan.oldest[one], s)
    evaluate_nodes(plan, now, facts, s)
    for word in range(len(mask)):
        mask[word] = plan.default_mask[word]
    following = NEVER
    for group in range(len(s.groups)):
        if s.groups[group] == 0:
            continue
        s.groups[group] = 0
        for node in range(group * GROUP, min((group + 1) * GROUP, len(s.todo))):
            if s.todo[node] == 0:
                continue
            for place in range(plan.root_lo[node], plan.root_lo[node + 1]):
                audience = plan.root[place]
                bit = np.uint64(1) << np.uint64(audience & 63)
                if s.truth[node] == 1:
                    mask[audience >> 6] |= bit
                else:
                    mask[audience >> 6] &= ~bit
                following = min(following, s.flip[node])
            s.todo[node] = 0
            s.truth[node] = plan.default_truth[node]
            s.flip[node] = NEVER
    return following


def forget(plan: PlanArrays, mets: int, s: Scratch) -> None:
    """Ready for the next subject."""
    for place in range(mets):
        one = s.met[place]
        s.counted[one] = 0
        s.summed[one] = 0
        for anchor in range(plan.count_lo[one], s.count_next[one]):
            s.anchors[anchor] = NONE
        for anchor in range(plan.sum_lo[one], s.sum_next[one]):
            s.anchors[anchor] = NONE
        if plan.oldest[one] >= 0:
            s.anchors[plan.oldest[one]] = NONE
        s.count_next[one] = plan.count_lo[one]
        s.sum_next[one] = plan.sum_lo[one]


def keep(pool: Pool, subject: int, total: int, s: Scratch) -> None:
    """Writes the wanted events back: into the block if they fit, else to the end of the pool."""
    kept = 0
    for number in range(total):
        kept += s.wanted[number]
    if kept > pool.room[subject]:
        pool.start[subject] = pool.tail[0]
        pool.room[subject] = kept + (kept >> 1) + 2
        pool.tail[0] += pool.room[subject]
    place = pool.start[subject]
    for number in range(total):
        if s.wanted[number]:
            pool.at[place] = s.at[number]
            pool.cls[place] = s.cls[number]
            pool.value[place] = s.value[number]
            place += 1
    pool.count[subject] = kept


def run(plan: PlanArrays, classes: ClassArrays, pool: Pool, work: Work) -> Outcome:
    """`work.Kernel`."""
    rows = len(work.subject)
    longest = 1
    for row in range(rows):
        longest = max(longest, pool.count[work.subject[row]] + work.new_lo[row + 1] - work.new_lo[row])
    scratch = scratch_for(plan, longest)
    mask = np.zeros((rows, len(plan.default_mask)), dtype=np.uint64)
    following = np.zeros(rows, dtype=np.int64)
    for row in range(rows):
        subject, now = work.subject[row], work.at[row]
        total = join(pool, subject, work, row, scratch)
        mets, future = find_anchors(plan, classes, now, total, scratch)
        if work.evaluate:
            turn = evaluate(plan, now, work.facts[row], mets, scratch, mask[row])
            following[row] = min(future, turn)
        forget(plan, mets, scratch)
        keep(pool, subject, total, scratch)
    return Outcome(mask, following)
