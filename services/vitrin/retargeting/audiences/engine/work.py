"""What an inner loop is given and what it answers. `loop` and `vectors` do the same, bit for bit (a test compares)."""

from typing import NamedTuple, Protocol

from vitrin.retargeting.audiences.engine.arrays import Ints, Words
from vitrin.retargeting.audiences.engine.filters import ClassArrays
from vitrin.retargeting.audiences.engine.plan import PlanArrays
from vitrin.retargeting.audiences.engine.state import COUNT, Pool


class Work(NamedTuple):
    """Subjects to evaluate, each at its own instant, after the events new[new_lo[i]:new_lo[i + 1]] joined its own."""

    subject: Ints
    at: Ints
    new_lo: Ints
    new: Ints
    """Rows as in the pool, ascending per subject; equal instants in order of arrival."""
    facts: Ints
    """Shape (subjects of the work, facts)."""
    evaluate: bool
    """False: join and prune only; masks and instants of the answer mean nothing."""


class Outcome(NamedTuple):
    mask: Words
    next: Ints


class Kernel(Protocol):
    def __call__(self, plan: PlanArrays, classes: ClassArrays, pool: Pool, work: Work) -> Outcome:
        """Changes `pool` in place; it has room for every block that may move."""
        ...


def room_for(kept: Ints) -> Ints:
    """Places of a block that moves."""
    return kept + (kept >> 1) + 2


def free_needed(pool: Pool, work: Work) -> int:
    """At the end of the pool, if every block moves with nothing pruned."""
    kept = int(pool.blocks[work.subject, COUNT].sum()) + len(work.new)
    return kept + (kept >> 1) + 2 * len(work.subject)
