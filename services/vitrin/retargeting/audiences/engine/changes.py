"""Changes of membership, as columns for the change log."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine.arrays import Flags, Ints, Words, ints


class Changes(NamedTuple):
    """Per subject and audience in ascending time. `at` is system time: the instant of the service clock."""

    at: Ints
    subject: Ints
    audience: NDArray[np.int32]
    """Index in `Plan.audiences`."""
    member: Flags

    @property
    def rows(self) -> int:
        return len(self.at)


class Interval(NamedTuple):
    """A membership; `until` is None while it lasts."""

    audience: str
    since: int
    until: int | None


NO_CHANGES = Changes(ints([]), ints([]), np.array([], dtype=np.int32), np.array([], dtype=np.bool_))


def joined(parts: Iterable[Changes]) -> Changes:
    found = [part for part in parts if part.rows]
    if len(found) <= 1:
        return found[0] if found else NO_CHANGES
    return Changes(
        np.concatenate([part.at for part in found]),
        np.concatenate([part.subject for part in found]),
        np.concatenate([part.audience for part in found]),
        np.concatenate([part.member for part in found]),
    )


def between(before: Words, after: Words, subjects: Ints, times: Ints) -> Changes:
    """What differs between two masks of the same subjects."""
    turned = before ^ after
    rows = np.flatnonzero(turned.any(axis=1))
    if not len(rows):
        return NO_CHANGES
    bits = np.unpackbits(turned[rows].astype("<u8").view(np.uint8), axis=1, bitorder="little")
    row, audience = np.nonzero(bits)
    where = rows[row]
    word, bit = audience >> 6, (audience & 63).astype(np.uint64)
    member = (after[where, word] >> bit) & np.uint64(1)
    return Changes(times[where], subjects[where], audience.astype(np.int32), member.astype(np.bool_))


def intervals(changes: Changes, audiences: Sequence[str]) -> dict[int, list[Interval]]:
    """The change log as memberships with since and until, per subject and audience, oldest first."""
    found: dict[int, list[Interval]] = {}
    open_since: dict[tuple[int, int], int] = {}
    for at, subject, audience, member in zip(*(column.tolist() for column in changes), strict=True):
        if member:
            open_since[subject, audience] = at
        else:
            since = open_since.pop((subject, audience))
            found.setdefault(subject, []).append(Interval(audiences[audience], since, at))
    for (subject, audience), since in open_since.items():
        found.setdefault(subject, []).append(Interval(audiences[audience], since, None))
    return found
