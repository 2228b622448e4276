"""The engine of one brand's audiences. Time is an argument and never goes back; what was applied is never applied
twice.

At every instant t of its clock, an audience's members are those subjects with an accepted event for which the rule is
true at t over the events that were applied, whatever their order (`tests/retargeting/audiences/reference.py` says it in
plain Python). Changes carry the instant at which they came to be: a due instant, or the instant of the batch.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine import state
from vitrin.retargeting.audiences.engine.arrays import NEVER, Flags, Ints, Words, ints
from vitrin.retargeting.audiences.engine.changes import NO_CHANGES, Changes, between, joined
from vitrin.retargeting.audiences.engine.columns import Batch
from vitrin.retargeting.audiences.engine.filters import Classes
from vitrin.retargeting.audiences.engine.kernels import Loop, kernel
from vitrin.retargeting.audiences.engine.plan import FACT_COLUMNS, Plan
from vitrin.retargeting.audiences.engine.work import Outcome, Work, free_needed

SETTLE_SUBJECTS: Final = 50_000


class ClockWentBack(ValueError):
    """An instant before the engine's clock."""

    def __init__(self, at: int, clock: int) -> None:
        super().__init__(
            f"instant {at} is before the engine's clock {clock}; rebuild from the log to look back"
        )


class Engine:
    """Not for several threads at once. `clock` and `position` belong into the transaction that stores the changes."""

    def __init__(self, plan: Plan, *, clock: int, loop: Loop = "auto") -> None:
        self.plan = plan
        self.clock = clock
        self.position = -1
        """The highest arrival sequence that was applied or loaded."""
        self.subjects = state.Subjects(plan.mask_words, len(FACT_COLUMNS))
        self.pool = state.empty_pool()
        self.classes = Classes(self._filter_words(), self._summing())
        self._kernel = kernel(loop)
        self._settled = 0

    # Events and time ------------------------------------------------------------------------------------------------

    def advance(self, to: int) -> Changes:
        """Moves the clock; every subject is evaluated at its own due instants. Raises ClockWentBack."""
        if to < self.clock:
            raise ClockWentBack(to, self.clock)
        found = []
        while len(due := self.subjects.due(to)):
            found.append(self._evaluate(due, self.subjects.next[due]))
        self.clock = to
        return joined(found)

    def apply(self, batch: Batch, at: int) -> Changes:
        """Advances to `at`, then the events join. Events up to `position` were applied before and are skipped."""
        passed = self.advance(at)
        return joined((passed, self._join(self._fresh(batch), evaluate=True)))

    def set_facts(self, subjects: Ints, values: Mapping[str, Sequence[int] | Ints], at: int) -> Changes:
        """Facts per subject: `market` as the dictionary's number, a purpose as its place in `words.CHOICES`."""
        passed = self.advance(at)
        self._reserve(subjects)
        for name, column in values.items():
            self.subjects.facts[subjects, FACT_COLUMNS.index(name)] = np.asarray(column, dtype=np.int32)
        touched = np.unique(subjects)
        known = touched[self.subjects.known[touched]]
        return joined((passed, self._evaluate(known, np.full(len(known), at))))

    # Identity and erasure -------------------------------------------------------------------------------------------

    def merge(self, into: int, absorbed: int, at: int) -> Changes:
        """The events of `absorbed` become those of `into`. Facts of the whole are the caller's to set beside it."""
        passed = self.advance(at)
        self._reserve(ints([into, absorbed]))
        start, count, _ = self.pool.blocks[absorbed].tolist()
        moved = self.pool.events[start : start + count].copy()
        was_known = bool(self.subjects.known[absorbed])
        gone = self._forget(ints([absorbed]), at)
        self.subjects.known[into] |= was_known
        if not self.subjects.known[into]:
            return joined((passed, gone))
        return joined((passed, gone, self._run(ints([into]), ints([at]), ints([0, count]), moved)))

    def rebuild(self, subjects: Ints, events: Batch, at: int) -> Changes:
        """What `subjects` have becomes exactly `events` (all of theirs from the log): after an un-merge, for repair."""
        passed = self.advance(at)
        self._reserve(subjects)
        before = self.subjects.mask[subjects].copy()
        self._forget(subjects, at)
        self._join(events, evaluate=True)
        return joined(
            (passed, between(before, self.subjects.mask[subjects], subjects, np.full(len(subjects), at)))
        )

    def erase(self, subjects: Ints, at: int) -> Changes:
        """As if they had never been: events, facts, memberships. Their rows in the log are the caller's to remove."""
        passed = self.advance(at)
        self._reserve(subjects)
        gone = self._forget(np.unique(subjects), at)
        self.subjects.facts[subjects] = 0
        return joined((passed, gone))

    # Backfill: another engine catches up beside this one --------------------------------------------------------------

    def successor(self, plan: Plan, *, loop: Loop = "auto") -> "Engine":
        """An empty engine for changed rules: `load` the log into it, `settle` it, then `handover` to it."""
        other = Engine(plan, clock=self.clock, loop=loop)
        other._reserve(ints([self.subjects.size - 1]))
        other.subjects.facts[: self.subjects.size] = self.subjects.facts[: self.subjects.size]
        return other

    def load(self, batch: Batch) -> None:
        """Events of the log, in any order of subjects; nothing is evaluated. Yield between batches."""
        self._join(batch, evaluate=False)
        self._settled = 0

    def settle(self, limit: int = SETTLE_SUBJECTS) -> float:
        """Evaluates up to `limit` loaded subjects at the clock; answers the share that is done (1.0: all)."""
        end = min(self._settled + limit, self.subjects.size)
        some = np.arange(self._settled, end)
        some = some[self.subjects.known[some]]
        self._evaluate(some, np.full(len(some), self.clock))
        self._settled = end
        return end / self.subjects.size if self.subjects.size else 1.0

    # Answers --------------------------------------------------------------------------------------------------------

    def members(self, audience: str) -> Ints:
        """Subjects in it now, ascending."""
        return np.flatnonzero(self.is_member(audience))

    def is_member(self, audience: str) -> Flags:
        bit = self.plan.audiences.index(audience)
        column = self.subjects.mask[: self.subjects.size, bit >> 6] >> np.uint64(bit & 63)
        found: Flags = (column & np.uint64(1)).astype(np.bool_)
        return found

    def next_due(self) -> int:
        """The earliest instant at which time alone may change something; NEVER if there is none."""
        return self.subjects.next_due()

    def events_kept(self) -> int:
        return int(self.pool.blocks[:, state.COUNT].sum())

    def bytes_used(self) -> int:
        arrays = (
            *self.pool,
            self.subjects.known,
            self.subjects.facts,
            self.subjects.mask,
            self.subjects.next,
        )
        return sum(array.nbytes for array in arrays)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _filter_words(self) -> int:
        return max(1, -(-len(self.plan.filters) // 64))

    def _summing(self) -> Flags:
        return np.array([one.currency is not None for one in self.plan.filters], dtype=np.bool_)

    def _fresh(self, batch: Batch) -> Batch:
        seen = int(np.searchsorted(batch.seq, self.position, side="right"))
        return batch.take(np.arange(seen, batch.rows)) if seen else batch

    def _reserve(self, subjects: Ints) -> None:
        if len(subjects):
            self.subjects.reserve(int(subjects.max()) + 1)
            self.pool = state.with_subjects(self.pool, len(self.subjects.known))

    def _join(self, batch: Batch, *, evaluate: bool) -> Changes:
        if not batch.rows:
            return NO_CHANGES
        self.position = max(self.position, int(batch.seq.max()))
        self._reserve(batch.subject)
        cls = self.classes.of(self.plan.matcher.bits(batch))
        fresh = ~self.subjects.known[batch.subject]
        concerned = np.flatnonzero((cls != 0) | fresh)
        self.subjects.known[batch.subject[fresh]] = True
        rows = np.flatnonzero(cls)
        rows = rows[np.lexsort((batch.at[rows], batch.subject[rows]))]
        subjects = np.unique(batch.subject[concerned])
        new_lo = np.searchsorted(batch.subject[rows], np.append(subjects, NEVER))
        value = np.where(self.classes.has_sum[cls[rows]], batch.value[rows], 0)
        new = np.stack((batch.at[rows], cls[rows], value), axis=1)
        return self._run(subjects, np.full(len(subjects), self.clock), new_lo, new, evaluate=evaluate)

    def _evaluate(self, subjects: Ints, times: Ints) -> Changes:
        if not len(subjects):
            return NO_CHANGES
        none = np.zeros((0, 3), dtype=np.int64)
        return self._run(subjects, times, np.zeros(len(subjects) + 1, dtype=np.int64), none)

    def _run(self, subjects: Ints, times: Ints, new_lo: Ints, new: Ints, *, evaluate: bool = True) -> Changes:
        facts = self.subjects.facts[subjects].astype(np.int64)
        work = Work(subjects, times, new_lo, new, facts, evaluate)
        self.pool = state.with_free(self.pool, free_needed(self.pool, work))
        outcome: Outcome = self._kernel(self.plan.arrays, self.classes.arrays(), self.pool, work)
        if not evaluate:
            return NO_CHANGES
        if not (outcome.next > times).all():  # a loop that is wrong must not make `advance` endless
            raise RuntimeError("the inner loop answered an instant that is not ahead")
        changes = between(self.subjects.mask[subjects], outcome.mask, subjects, times)
        self.subjects.mask[subjects] = outcome.mask
        self.subjects.schedule(subjects, outcome.next)
        return changes

    def _forget(self, subjects: Ints, at: int) -> Changes:
        none: Words = np.zeros((len(subjects), self.plan.mask_words), dtype=np.uint64)
        changes = between(self.subjects.mask[subjects], none, subjects, np.full(len(subjects), at))
        self.subjects.mask[subjects] = none
        self.subjects.known[subjects] = False
        self.subjects.schedule(subjects, np.full(len(subjects), NEVER))
        self.pool.blocks[subjects, state.COUNT] = 0
        return changes


def handover(old: Engine, new: Engine) -> Changes:
    """What changes when `new` takes over at the same clock and position: indices of the audiences are those of the new
    plan, or -1 - index in the old plan for the end of memberships in audiences that are gone."""
    size = max(old.subjects.size, new.subjects.size)
    found = []
    for number, audience in enumerate(new.plan.audiences):
        before = (
            _flags(old, audience, size) if audience in old.plan.audiences else np.zeros(size, dtype=np.bool_)
        )
        found.append(_turned(before, _flags(new, audience, size), number, new.clock))
    for number, audience in enumerate(old.plan.audiences):
        if audience not in new.plan.audiences:
            nobody = np.zeros(size, dtype=np.bool_)
            found.append(_turned(_flags(old, audience, size), nobody, -1 - number, new.clock))
    return joined(found)


def _flags(engine: Engine, audience: str, size: int) -> Flags:
    found = engine.is_member(audience)
    return np.concatenate((found, np.zeros(size - len(found), dtype=np.bool_)))


def _turned(before: Flags, after: Flags, audience: int, at: int) -> Changes:
    subjects = np.flatnonzero(before != after)
    column: NDArray[np.int32] = np.full(len(subjects), audience, dtype=np.int32)
    return Changes(np.full(len(subjects), at), subjects, column, after[subjects])
