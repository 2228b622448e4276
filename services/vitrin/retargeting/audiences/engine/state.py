"""What the engine keeps per subject: its events that anchors need, its facts, its mask, its next instant.

Events lie in one pool, ascending per subject, in blocks with some room; a block that has no room moves to the end. Next
instants have a minimum per block of subjects, so finding who is due reads only blocks where somebody is (ADR 30: an hour
wheel holds stale entries and must be rebuilt after a restart; this does neither).
"""

from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine.arrays import NEVER, Flags, Ints, Words, ints, ranges

BLOCK: Final = 256
"""Subjects that share one minimum."""
_T = TypeVar("_T", bound=np.generic)


class Pool(NamedTuple):
    """Events; `start`, `count`, `room` per subject say where its block is, how many are in it and how many fit."""

    at: Ints
    cls: NDArray[np.int32]
    value: Ints
    start: Ints
    count: Ints
    room: Ints
    tail: Ints
    """One number: where the free end begins."""


def empty_pool(subjects: int) -> Pool:
    zeros = [np.zeros(subjects, dtype=np.int64) for _ in range(3)]
    return Pool(ints([]), np.zeros(0, dtype=np.int32), ints([]), *zeros, ints([0]))


def with_subjects(pool: Pool, subjects: int) -> Pool:
    return pool._replace(
        start=_grown(pool.start, subjects, 0),
        count=_grown(pool.count, subjects, 0),
        room=_grown(pool.room, subjects, 0),
    )


def with_free(pool: Pool, free: int) -> Pool:
    """The same pool with at least `free` places at its end: blocks moved together, or more memory."""
    if len(pool.at) - int(pool.tail[0]) >= free:
        return pool
    used = int(pool.count.sum())
    size = max(int(1.5 * used) + free, 1024)
    index = ranges(pool.start, pool.count)
    counts = pool.count
    start = np.concatenate((ints([0]), np.cumsum(counts)))[:-1]
    columns = []
    for column in (pool.at, pool.cls, pool.value):
        packed = np.zeros(size, dtype=column.dtype)
        packed[:used] = column[index]
        columns.append(packed)
    at, cls, value = columns
    return Pool(at, cls, value, start, counts, counts.copy(), ints([used]))


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
