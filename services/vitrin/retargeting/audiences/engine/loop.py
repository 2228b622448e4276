"""The inner loop, subject by subject: compiled by numba where it is installed, else only a test runs it as it is.

Plain Python on arrays and numbers, so that both mean the same; no numba name in here. Two things about its form are
numba's: functions take the arrays they need and not tuples of arrays, and none is called within an inner loop, since
every array that passes a call or leaves a tuple is counted in and out (measured: 1.8 us per subject so, 0.6 us
without).
"""

# ruff: noqa: PLR0912, PLR0917  # one branch per kind of node, and arrays by position: see above

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import NEVER, NONE, Ints, Words
from vitrin.retargeting.audiences.engine.filters import ClassArrays
from vitrin.retargeting.audiences.engine.graph import ALL, FACT, NOT, OLDER, SOME, UNFOLLOWED, WITHIN
from vitrin.retargeting.audiences.engine.plan import (
    COUNT_HI,
    COUNT_LO,
    FIRST,
    KEEP_COUNT,
    KEEP_COUNT_MS,
    KEEP_SUM,
    KEEP_SUM_MS,
    OLDEST,
    OP,
    SECOND,
    SUM_HI,
    SUM_LO,
    WINDOW,
    PlanArrays,
)
from vitrin.retargeting.audiences.engine.state import AT, CLS, COUNT, ROOM, START, VALUE, Pool
from vitrin.retargeting.audiences.engine.work import Outcome, Work

GROUP = 16
"""Nodes that share one flag while those to evaluate are gathered."""
WANTED = 3
"""Column beside an event's own: whether an anchor can still need it."""
COUNTED, SUMMED, LAST, COUNT_NEXT, SUM_NEXT = 0, 1, 2, 3, 4
"""Per filter, of one subject: events and value so far, its oldest event so far, the next anchors to be reached."""
TRUTH, FLIP = 0, 1


def join(events: Ints, start: int, count: int, fresh: Ints, new: int, end: int, own: Ints) -> int:
    """The subject's events and the new ones, ascending, into `own`; how many."""
    old, last, total = start, start + count, 0
    while old < last or new < end:
        if new == end or (old < last and events[old, AT] <= fresh[new, AT]):
            own[total, AT], own[total, CLS], own[total, VALUE] = (
                events[old, AT],
                events[old, CLS],
                events[old, VALUE],
            )
            old += 1
        else:
            own[total, AT], own[total, CLS], own[total, VALUE] = (
                fresh[new, AT],
                fresh[new, CLS],
                fresh[new, VALUE],
            )
            new += 1
        total += 1
    return total


def find_anchors(
    filters: Ints, anchor_x: Ints, class_lo: Ints, class_filters: Ints,
    now: int, total: int, own: Ints, seen: Ints, met: Ints, anchors: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Newest first: sets anchors and what to keep; answers how many filters were met, and the first instant to come."""
    future, mets = NEVER, 0
    for number in range(total - 1, -1, -1):
        at, value = own[number, AT], own[number, VALUE]
        if at > now:
            future = at
            own[number, WANTED] = 1
            continue
        wanted = 0
        cls = own[number, CLS]
        for place in range(class_lo[cls], class_lo[cls + 1]):
            one = class_filters[place]
            if seen[one, COUNTED] == 0:
                met[mets] = one
                mets += 1
            counted = seen[one, COUNTED] + 1
            seen[one, COUNTED] = counted
            seen[one, LAST] = number
            if counted <= filters[one, KEEP_COUNT] and at + filters[one, KEEP_COUNT_MS] > now:
                wanted = 1
            pending = seen[one, COUNT_NEXT]
            if pending < filters[one, COUNT_HI] and anchor_x[pending] == counted:
                anchors[pending] = at
                seen[one, COUNT_NEXT] = pending + 1
            if value > 0 and seen[one, SUMMED] < filters[one, KEEP_SUM]:
                if at + filters[one, KEEP_SUM_MS] > now:
                    wanted = 1
                summed = seen[one, SUMMED] + value
                seen[one, SUMMED] = summed
                pending = seen[one, SUM_NEXT]
                while pending < filters[one, SUM_HI] and anchor_x[pending] <= summed:
                    anchors[pending] = at
                    pending += 1
                seen[one, SUM_NEXT] = pending
        own[number, WANTED] = wanted
    for place in range(mets):
        one = met[place]
        if filters[one, OLDEST] >= 0:
            anchors[filters[one, OLDEST]] = own[seen[one, LAST], AT]
            own[seen[one, LAST], WANTED] = 1
    return mets, future


def mark(
    filters: Ints, anchor_ms: Ints, above_lo: Ints, above: Ints,
    now: int, anchors: Ints, seen: Ints, met: Ints, mets: int, todo: Ints, groups: Ints,
) -> None:  # fmt: skip
    """Flags the nodes above every anchor that is there and has not run out, and above facts."""
    facts = len(above_lo) - 2
    for place in range(above_lo[facts], above_lo[facts + 1]):
        todo[above[place]] = 1
        groups[above[place] // GROUP] = 1
    for number in range(mets):
        one = met[number]
        for kind in range(3):
            if kind == 0:
                low, high = filters[one, COUNT_LO], seen[one, COUNT_NEXT]
            elif kind == 1:
                low, high = filters[one, SUM_LO], seen[one, SUM_NEXT]
            else:
                low = filters[one, OLDEST]
                high = low + 1 if low >= 0 else low
            for anchor in range(low, high):
                if anchors[anchor] + anchor_ms[anchor] <= now:
                    continue
                for place in range(above_lo[anchor], above_lo[anchor + 1]):
                    todo[above[place]] = 1
                    groups[above[place] // GROUP] = 1


def evaluate(
    nodes: Ints, children: Ints, fact_table: Ints, now: int, anchors: Ints,
    facts: Ints, row: int, todo: Ints, groups: Ints, state: Ints,
) -> None:  # fmt: skip
    """Truth and next instant of the flagged nodes, children first; the others have their defaults."""
    for group in range(len(groups)):
        if groups[group] == 0:
            continue
        for node in range(group * GROUP, min((group + 1) * GROUP, len(todo))):
            if todo[node] == 0:
                continue
            op, first, second, window = (
                nodes[node, OP],
                nodes[node, FIRST],
                nodes[node, SECOND],
                nodes[node, WINDOW],
            )
            yes, instant = 0, NEVER
            if op == WITHIN:
                if anchors[first] != NONE and anchors[first] + window > now:
                    yes, instant = 1, anchors[first] + window
            elif op in (ALL, SOME):
                # All is false by its false children, any is true by its true ones: these must all turn.
                rare = 0 if op == ALL else 1
                least, most, found = NEVER, -NEVER, 0
                for place in range(first, second):
                    child = children[place]
                    least = min(least, state[child, FLIP])
                    if state[child, TRUTH] == rare:
                        found = 1
                        most = max(most, state[child, FLIP])
                yes = rare if found == 1 else 1 - rare
                instant = most if found == 1 else least
            elif op == NOT:
                yes, instant = 1 - state[first, TRUTH], state[first, FLIP]
            elif op == OLDER:
                if anchors[first] != NONE:
                    due = anchors[first] + window
                    if due <= now:
                        yes = 1
                    else:
                        instant = due
            elif op == UNFOLLOWED:
                if anchors[first] > anchors[second] and anchors[first] + window > now:
                    yes, instant = 1, anchors[first] + window
            elif op == FACT and facts[row, first] < window:
                yes = fact_table[second + facts[row, first]]
            state[node, TRUTH] = yes
            state[node, FLIP] = instant


def collect(
    root_lo: Ints,
    root: Ints,
    default_truth: Ints,
    todo: Ints,
    groups: Ints,
    state: Ints,
    mask: Words,
    row: int,
) -> int:
    """Sets the audiences of flagged nodes in the mask; answers the earliest instant, and clears the flags."""
    following = NEVER
    for group in range(len(groups)):
        if groups[group] == 0:
            continue
        groups[group] = 0
        for node in range(group * GROUP, min((group + 1) * GROUP, len(todo))):
            if todo[node] == 0:
                continue
            todo[node] = 0
            for place in range(root_lo[node], root_lo[node + 1]):
                audience = root[place]
                bit = np.uint64(1) << np.uint64(audience & 63)
                if state[node, TRUTH] == 1:
                    mask[row, audience >> 6] |= bit
                else:
                    mask[row, audience >> 6] &= ~bit
                following = min(following, state[node, FLIP])
            state[node, TRUTH] = default_truth[node]
            state[node, FLIP] = NEVER
    return following


def forget(filters: Ints, seen: Ints, met: Ints, mets: int, anchors: Ints) -> None:
    """Ready for the next subject."""
    for place in range(mets):
        one = met[place]
        for anchor in range(filters[one, COUNT_LO], seen[one, COUNT_NEXT]):
            anchors[anchor] = NONE
        for anchor in range(filters[one, SUM_LO], seen[one, SUM_NEXT]):
            anchors[anchor] = NONE
        if filters[one, OLDEST] >= 0:
            anchors[filters[one, OLDEST]] = NONE
        seen[one, COUNTED] = 0
        seen[one, SUMMED] = 0
        seen[one, COUNT_NEXT] = filters[one, COUNT_LO]
        seen[one, SUM_NEXT] = filters[one, SUM_LO]


def keep(events: Ints, blocks: Ints, tail: Ints, subject: int, total: int, own: Ints) -> None:
    """Writes the wanted events back: into the block if they fit, else to the end of the pool."""
    kept = 0
    for number in range(total):
        kept += own[number, WANTED]
    if kept > blocks[subject, ROOM]:
        blocks[subject, START] = tail[0]
        blocks[subject, ROOM] = kept + (kept >> 1) + 2
        tail[0] += blocks[subject, ROOM]
    place = blocks[subject, START]
    for number in range(total):
        if own[number, WANTED] == 1:
            events[place, AT], events[place, CLS], events[place, VALUE] = (
                own[number, AT],
                own[number, CLS],
                own[number, VALUE],
            )
            place += 1
    blocks[subject, COUNT] = kept


def run(plan: PlanArrays, classes: ClassArrays, pool: Pool, work: Work) -> Outcome:
    """`work.Kernel`."""
    filters, anchor_x, anchor_ms, nodes, children, fact_table = (
        plan.filters, plan.anchor_x, plan.anchor_ms, plan.nodes, plan.children, plan.fact_table
    )  # fmt: skip
    default_truth, above_lo, above, root_lo, root = (
        plan.default_truth, plan.above_lo, plan.above, plan.root_lo, plan.root
    )  # fmt: skip
    class_lo, class_filters = classes.lo, classes.filters
    events, blocks, tail = pool.events, pool.blocks, pool.tail
    subjects, instants, new_lo, fresh, facts = work.subject, work.at, work.new_lo, work.new, work.facts
    rows, longest = len(subjects), 1
    for row in range(rows):
        longest = max(longest, blocks[subjects[row], COUNT] + new_lo[row + 1] - new_lo[row])
    own = np.zeros((longest, 4), dtype=np.int64)
    seen = np.zeros((len(filters), 5), dtype=np.int64)
    met = np.zeros(len(filters), dtype=np.int64)
    for one in range(len(filters)):
        seen[one, COUNT_NEXT], seen[one, SUM_NEXT] = filters[one, COUNT_LO], filters[one, SUM_LO]
    anchors = np.full(len(anchor_x) + 1, NONE, dtype=np.int64)
    todo, groups = np.zeros(len(nodes), dtype=np.int64), np.zeros(len(nodes) // GROUP + 1, dtype=np.int64)
    state = np.zeros((len(nodes), 2), dtype=np.int64)
    for node in range(len(nodes)):
        state[node, TRUTH], state[node, FLIP] = default_truth[node], NEVER
    mask = np.zeros((rows, len(plan.default_mask)), dtype=np.uint64)
    following = np.zeros(rows, dtype=np.int64)
    for row in range(rows):
        subject, now = subjects[row], instants[row]
        total = join(
            events, blocks[subject, START], blocks[subject, COUNT], fresh, new_lo[row], new_lo[row + 1], own
        )
        mets, future = find_anchors(
            filters, anchor_x, class_lo, class_filters, now, total, own, seen, met, anchors
        )
        if work.evaluate:
            for word in range(mask.shape[1]):
                mask[row, word] = plan.default_mask[word]
            mark(filters, anchor_ms, above_lo, above, now, anchors, seen, met, mets, todo, groups)
            evaluate(nodes, children, fact_table, now, anchors, facts, row, todo, groups, state)
            turn = collect(root_lo, root, default_truth, todo, groups, state, mask, row)
            following[row] = min(future, turn)
        forget(filters, seen, met, mets, anchors)
        keep(events, blocks, tail, subject, total, own)
    return Outcome(mask, following)
