"""Why is this subject in that audience, or not? A tree with the truth of every condition and the events behind it.

It computes by itself, from events and not from the engine's anchors, so that it also checks them (a test compares).
With the engine's state it answers for now and for later; for an instant that has passed, give it the subject's rows
of the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import NEVER
from vitrin.retargeting.audiences.engine.bounds import key
from vitrin.retargeting.audiences.engine.columns import Batch, Dictionary
from vitrin.retargeting.audiences.engine.engine import ClockWentBack, Engine
from vitrin.retargeting.audiences.engine.plan import FACT_COLUMNS, Plan
from vitrin.retargeting.audiences.engine.state import AT, CLS, COUNT, START, VALUE
from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.canonical import node_key
from vitrin.retargeting.audiences.language.nodes import (
    All,
    Consent,
    Count,
    FirstOlder,
    InAudience,
    Market,
    Match,
    Node,
    Not,
    Some,
    Sum,
    Top,
    Unfollowed,
)

EVENTS_MAX: Final = 20
"""Events named per condition, the newest."""


@dataclass(frozen=True, slots=True)
class Because:
    """An event that decides: `seq` is its arrival in the log, None where only the engine's state was asked."""

    at: int
    value: int
    seq: int | None


@dataclass(frozen=True, slots=True)
class Why:
    condition: str
    """all, any, not, or the canonical JSON of the condition."""
    true: bool
    flips_at: int | None
    """The earliest instant at which time alone can turn it; None if only an event or a fact can."""
    since: int | None = None
    """The anchor: when the deciding event was."""
    events: tuple[Because, ...] = ()
    bound: int | None = None
    """Of a top condition: the bound in force."""
    below: tuple["Why", ...] = ()


@dataclass(frozen=True, slots=True)
class _Met:
    at: int
    value: int
    seq: int | None
    filters: frozenset[int]


def why(engine: Engine, audience: str, subject: int, dictionary: Dictionary, at: int | None = None) -> Why:
    """From the engine's state. Raises ClockWentBack for an instant before its clock, KeyError for no such audience."""
    instant = engine.clock if at is None else at
    if instant < engine.clock:
        raise ClockWentBack(instant, engine.clock)
    if subject >= engine.subjects.size:
        return _Teller(engine.plan, [], {}, instant, dictionary).tell(engine.plan.rules[audience].who)
    start, count = engine.pool.blocks[subject, START], engine.pool.blocks[subject, COUNT]
    classes = engine.classes.arrays()
    met = [
        _Met(
            row[AT],
            row[VALUE],
            None,
            frozenset(classes.filters[classes.lo[row[CLS]] : classes.lo[row[CLS] + 1]].tolist()),
        )
        for row in engine.pool.events[start : start + count].tolist()
    ]
    facts = dict(zip(FACT_COLUMNS, engine.subjects.facts[subject].tolist(), strict=True))
    return _Teller(engine.plan, _past(met, instant), facts, instant, dictionary).tell(
        engine.plan.rules[audience].who
    )


def why_from_log(
    plan: Plan, audience: str, log: Batch, facts: Mapping[str, int], *, at: int, dictionary: Dictionary
) -> Why:
    """`log`: all rows of one subject that had arrived by then."""
    bits = np.unpackbits(plan.matcher.bits(log).astype("<u8").view(np.uint8), axis=1, bitorder="little")
    met = [
        _Met(
            int(log.at[row]),
            int(log.value[row]),
            int(log.seq[row]),
            frozenset(np.flatnonzero(bits[row]).tolist()),
        )
        for row in range(log.rows)
    ]
    return _Teller(plan, _past(met, at), facts, at, dictionary).tell(plan.rules[audience].who)


def next_arrival(engine: Engine, subject: int) -> int | None:
    """The time of the subject's earliest event that is still to come."""
    start, count = engine.pool.blocks[subject, START], engine.pool.blocks[subject, COUNT]
    ahead = engine.pool.events[start : start + count, AT]
    ahead = ahead[ahead > engine.clock]
    return int(ahead.min()) if len(ahead) else None


def _past(met: Iterable[_Met], at: int) -> list[_Met]:
    """Newest first."""
    return sorted((one for one in met if one.at <= at), key=lambda one: -one.at)


@dataclass(frozen=True, slots=True)
class _Teller:
    plan: Plan
    past: Sequence[_Met]
    """Newest first."""
    facts: Mapping[str, int]
    at: int
    dictionary: Dictionary

    def tell(self, node: Node) -> Why:
        match node:
            case All() | Some():
                return self._group(node)
            case Not():
                child = self.tell(node.child)
                return Why("not", not child.true, child.flips_at, below=(child,))
            case InAudience():
                inner = self.tell(self.plan.rules[node.audience].who)
                return Why(node_key(node), inner.true, inner.flips_at, below=(inner,))
            case Market():
                numbers = [self.dictionary.id("market", text) for text in node.markets]
                return Why(node_key(node), self.facts.get("market", 0) in numbers, None)
            case Consent():
                choice = words.CHOICES[self.facts.get(node.purpose, 0)]
                return Why(node_key(node), choice == node.choice, None)
            case Top():
                return self._top(node)
            case _:
                return self._event(node)

    def _group(self, node: All | Some) -> Why:
        below = tuple(self.tell(child) for child in node.children)
        name, rare = ("all", False) if isinstance(node, All) else ("any", True)
        deciding = [child for child in below if child.true is rare]
        instants = [NEVER if child.flips_at is None else child.flips_at for child in deciding or below]
        flip = max(instants) if deciding else min(instants)
        return Why(name, rare if deciding else not rare, None if flip == NEVER else flip, below=below)

    def _top(self, node: Top) -> Why:
        bound = self.plan.bounds.get(key(node))
        if bound is None:
            return Why(node_key(node), False, None)
        if node.by == "sum":
            found = self._event(Sum(node.match, node.currency or "", bound, node.within_ms))
        elif node.by == "count":
            found = self._event(Count(node.match, bound, node.within_ms))
        else:
            found = self._event(Count(node.match, 1, min(bound, node.within_ms)))
        return replace(found, condition=node_key(node), bound=bound)

    def _event(self, node: Count | Sum | FirstOlder | Unfollowed) -> Why:
        match node:
            case Count():
                met = self._of(node.match, None)[: node.at_least]
                reached = len(met) == node.at_least
                return self._within(node, met, reached, node.within_ms)
            case Sum():
                total, run = 0, []
                for one in self._of(node.match, node.currency):
                    if total >= node.at_least:
                        break
                    total += one.value
                    run.append(one)
                return self._within(
                    node, [one for one in run if one.value], total >= node.at_least, node.within_ms
                )
            case FirstOlder():
                met = self._of(node.match, None)
                if not met:
                    return Why(node_key(node), False, None)
                due, oldest = met[-1].at + node.age_ms, _because(met[-1:])
                return Why(node_key(node), due <= self.at, due if due > self.at else None, met[-1].at, oldest)
            case Unfollowed():
                mine, later = self._of(node.match, None)[:1], self._of(node.later, None)[:1]
                free = bool(mine) and not (later and later[0].at >= mine[0].at)
                found = self._within(node, mine, free, node.within_ms)
                return found if free else replace(found, events=_because([*mine, *later]))

    def _within(self, node: Node, met: Sequence[_Met], reached: bool, within_ms: int) -> Why:
        if not reached:
            return Why(node_key(node), False, None, events=_because(met))
        anchor = met[-1].at
        alive = anchor + within_ms > self.at
        return Why(node_key(node), alive, anchor + within_ms if alive else None, anchor, _because(met))

    def _of(self, wanted: Match, currency: str | None) -> list[_Met]:
        name = node_key(wanted)
        numbers = [
            number
            for number, one in enumerate(self.plan.filters)
            if one.currency == currency and node_key(one.match) == name
        ]
        return [one for one in self.past if numbers and numbers[0] in one.filters]


def _because(met: Sequence[_Met]) -> tuple[Because, ...]:
    return tuple(Because(one.at, one.value, one.seq) for one in met[:EVENTS_MAX])
