"""What the engine keeps per subject: its events that anchors need, its facts, its mask, its next instant.

Events lie in one pool, ascending per subject, in blocks with some room; a block that has no room moves to the end. Next
instants have a minimum per block of subjects, so finding who is due reads only blocks where somebody is (ADR 30: an
hour wheel holds stale entries and must be rebuilt after a restart; this does neither).
"""

from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine.arrays import NEVER, Flags, Ints, Words, ints, ranges

BLOCK: Final = 256
"""Subjects that share one minimum."""
_T = TypeVar("_T", bound=np.generic)


AT, CLS, VALUE = range(3)
"""Columns of an event: its time, its class, its value where a sum needs it."""
START, COUNT, ROOM = range(3)
"""Columns of a subject's block: where it begins in the pool, how many events are in it, how many fit."""


class Pool(NamedTuple):
    """What lies together is read together: a row per event and a row per block."""

    events: Ints
    blocks: Ints
    tail: Ints
    """One number: where the free end begins."""


def empty_pool() -> Pool:
    return Pool(np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), ints([0]))


def with_subjects(pool: Pool, subjects: int) -> Pool:
    return pool._replace(blocks=_grown(pool.blocks, subjects, 0))


def with_free(pool: Pool, free: int) -> Pool:
    """The same pool with at least `free` places at its end: blocks moved together, or more memory."""
    if len(pool.events) - int(pool.tail[0]) >= free:
        return pool
    packed, count = packed_events(pool, len(pool.blocks))
    used = len(packed)
    events = np.zeros((max(int(1.5 * used) + free, 1024), 3), dtype=np.int64)
    events[:used] = packed
    return Pool(events, np.stack((np.cumsum(count) - count, count, count), axis=1), ints([used]))


def packed_events(pool: Pool, subjects: int) -> tuple[Ints, Ints]:
    """Events of the first subjects without gaps, and how many each has."""
    count = pool.blocks[:subjects, COUNT].copy()
    return pool.events[ranges(pool.blocks[:subjects, START], count)], count


class Subjects:
    """Per subject: known (has an accepted event), facts, mask, next instant."""

    def __init__(self, mask_words: int, facts: int) -> None:
        self.size = 0
        self.known: Flags = np.zeros(0, dtype=np.bool_)
        self.facts: NDArray[np.int32] = np.zeros((0, facts), dtype=np.int32)
        self.mask: Words = np.zeros((0, mask_words), dtype=np.uint64)
        self.next: Ints = ints([])
        self._least: Ints = ints([])

    def reserve(self, subjects: int) -> None:
        """Makes place for subject numbers below `subjects`."""
        if subjects <= self.size:
            return
        self.size = subjects
        if subjects <= len(self.known):
            return
        room = -(-max(subjects, int(1.5 * len(self.known))) // BLOCK) * BLOCK
        self.known = _grown(self.known, room, False)
        self.facts = _grown(self.facts, room, 0)
        self.mask = _grown(self.mask, room, 0)
        self.next = _grown(self.next, room, NEVER)
        self._least = _grown(self._least, room // BLOCK, NEVER)

    def schedule(self, subjects: Ints, instants: Ints) -> None:
        self.next[subjects] = instants
        touched = np.zeros(len(self._least), dtype=np.bool_)
        touched[subjects // BLOCK] = True
        blocks = np.flatnonzero(touched)
        if 2 * len(blocks) > len(self._least):
            self._least = self.next.reshape(-1, BLOCK).min(axis=1)
        else:
            self._least[blocks] = self.next.reshape(-1, BLOCK)[blocks].min(axis=1)

    def due(self, until: int) -> Ints:
        """Whose next instant is not after `until`, ascending."""
        blocks = np.flatnonzero(self._least <= until)
        rows, places = np.nonzero(self.next.reshape(-1, BLOCK)[blocks] <= until)
        return blocks[rows] * BLOCK + places

    def next_due(self) -> int:
        return int(self._least.min()) if len(self._least) else NEVER


def _grown(column: NDArray[_T], rows: int, fill: int | bool) -> NDArray[_T]:
    if len(column) >= rows:
        return column
    grown = np.full((rows, *column.shape[1:]), fill, dtype=column.dtype)
    grown[: len(column)] = column
    return grown
