"""Batches by count and bytes, and what to do with a batch that was refused as a whole."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def fill(sizes_bytes: Sequence[int], *, items_max: int, bytes_max: int) -> int:
    """How many of the first records fit into one call. At least one: a record too big alone must get its refusal."""
    total = 0
    for index, size in enumerate(sizes_bytes[:items_max]):
        total += size
        if total > bytes_max and index > 0:
            return index
    return min(len(sizes_bytes), items_max)


def halves(batch: Sequence[T]) -> tuple[Sequence[T], ...]:
    """The two halves of a batch that was refused as a whole; nothing for one record, which is guilty itself."""
    if len(batch) < 2:
        return ()
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def grown(items_max: int | None, *, through: int, able: int) -> int | None:
    """The limit of a batch after one of `through` items came through: twice as much where it was as long as allowed
    (a shorter one proves nothing), None for none once the platform's own, `able`, is reached."""
    if items_max is None or through < items_max:
        return items_max
    return items_max * 2 if items_max * 2 < able else None
