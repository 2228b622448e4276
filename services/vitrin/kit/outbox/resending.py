"""What a new incarnation of a topic must be given. Pure: the moment is an argument.

    a marker that is young enough   what was sent after it; everybody has read the rest
    no such marker                  what was sent in the last day, and the owner's whole state (`republish`)
    ... and no state source         every kept row

A marker older than the outbox keeps rows says nothing about rows that were dropped since. Without a marker a consumer
may be behind by any amount, so only the whole state makes it complete; the day before it is what a compacted topic
owes every reader in full (`min_compaction_lag_ms`), with its actors and times. A job of that day stands for another:
its own rows are among those that are sent again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

KEPT: Final = timedelta(days=6)
"""One day less than OUTBOX_KEEP_DAYS: rows are dropped by the day."""
IN_FULL: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Resending:
    """`after` None: every kept row. `state`: the owner's whole state too."""

    after: datetime | None
    state: bool


def resending(*, now: datetime, drained_at: datetime | None, has_state: bool) -> Resending:
    if drained_at is not None and drained_at >= now - KEPT:
        return Resending(after=drained_at, state=False)
    if has_state:
        return Resending(after=now - IN_FULL, state=True)
    return Resending(after=drained_at, state=False)
