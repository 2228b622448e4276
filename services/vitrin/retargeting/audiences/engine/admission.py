"""Which arrived events the engine counts: not repeated, not too late, with a value that can be. Pure.

The recompute that checks the engine must admit by itself, since what was refused is not in the log of accepted events.
"""

from typing import Final, NamedTuple

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import Flags
from vitrin.retargeting.audiences.engine.columns import Batch
from vitrin.retargeting.audiences.language import words

LATE_MS_MAX: Final = 2 * words.DAY_MS
"""An event whose time lies further behind the service clock at its arrival is quarantined."""
AT_MS_MAX: Final = 1 << 48
"""Year 10889: times plus windows stay far from the end of 64 bits."""
VALUE_MINOR_MAX: Final = words.SUM_MINOR_MAX


class Admitted(NamedTuple):
    """Per event whether it counts, and for which reason not (each event has one reason at most)."""

    accepted: Flags
    repeated: Flags
    late: Flags
    bad_value: Flags
    """Negative, or above VALUE_MINOR_MAX. Zero is a value: a free order is an order, and adds nothing to a sum."""
    bad_time: Flags


def admit(batch: Batch, clock: int, first: Flags) -> Admitted:
    """`first`: per event whether its id was not accepted before, in this batch or ever (the unique key says so)."""
    repeated = ~first
    bad_time = first & ((batch.at < 0) | (batch.at > AT_MS_MAX))
    bad_value = first & ~bad_time & ((batch.value < 0) | (batch.value > VALUE_MINOR_MAX))
    late = first & ~bad_time & ~bad_value & (clock - batch.at > LATE_MS_MAX)
    accepted = first & ~bad_time & ~bad_value & ~late
    return Admitted(accepted, repeated, late, bad_value, bad_time)


def accepted_of(batch: Batch, admitted: Admitted) -> Batch:
    return batch.take(np.flatnonzero(admitted.accepted))
