"""Types and constants of the engine's arrays. Times are int64 milliseconds since 1970."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]
AnyArray = NDArray[Any]

NONE: Final = -(1 << 62)
"""An anchor that is not there."""
NEVER: Final = 1 << 62
"""Nothing can flip by time alone."""


def ints(values: Any) -> Ints:
    return np.asarray(values, dtype=np.int64)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """starts[0], starts[0] + 1, ... counts[0] of them, then those of the next."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    found: Ints = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - counts), counts)
    return found


def words_for(bits: int) -> int:
    """64-bit words that hold so many bits; one at least."""
    return max(1, -(-bits // 64))
