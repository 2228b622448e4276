"""When a delivery is tried again, when an endpoint rests, and when it is given up. Pure: time and chance are arguments.

A delivery gets twelve tries within 24 hours: the pauses below, each up to a fifth shorter or longer, so that what
failed together does not come back together. A receiver may ask for more time (`Retry-After`, up to an hour).

An endpoint that fails again and again rests between tries, whatever its deliveries' own times are: its backlog does not
knock a thousand times at a closed door, and costs nobody a try. After `disable_after` of nothing but failures, on
several days of it, it is disabled.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

PAUSES_S: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 10_800, 14_400, 18_000, 21_600)
"""After the first, second, ... failed try: in all 78,155 s, less than 21.8 h, and with the longest jitter 26.1 h;
what would come later than TRY_FOR comes at its end."""
TRY_FOR: Final = timedelta(hours=24)
JITTER: Final = 0.2
RETRY_AFTER_MAX: Final = timedelta(hours=1)
WAIT_MAX: Final = timedelta(days=7)
"""A delivery that could not be tried at all (behind others of its object, or of its endpoint) is given up then."""
REST_FROM: Final = 5
"""Failures in a row of an endpoint, from which on it rests."""
REST_FIRST: Final = timedelta(seconds=2)
REST_MAX: Final = timedelta(minutes=5)
DISABLE_FAILURES_MIN: Final = 10
DISABLE_DAYS_MIN: Final = 3
"""Days (UTC) on which it failed: one bad day of an endpoint that hears little is none of them all."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Pauses in seconds between tries, and the time they may take in all. The house has one, tests others."""

    pauses_s: tuple[float, ...] = PAUSES_S
    try_for: timedelta = TRY_FOR
    rest_from: int = REST_FROM
    rest_first: timedelta = REST_FIRST
    rest_max: timedelta = REST_MAX

    def next_try(
        self, *, tries: int, first_at: datetime, now: datetime, chance: float, asked: timedelta | None = None
    ) -> datetime | None:
        """After `tries` failed ones (1 or more), the first of them at `first_at`; None: given up. `chance`: 0 to 1.
        `asked`: what the receiver's Retry-After says."""
        end = first_at + self.try_for
        if tries > len(self.pauses_s) or now >= end:
            return None
        pause = timedelta(seconds=self.pauses_s[tries - 1] * (1 - JITTER + 2 * JITTER * chance))
        if asked is not None:
            pause = max(pause, min(asked, RETRY_AFTER_MAX))
        return min(now + pause, end)

    def rest(self, failures: int) -> timedelta:
        """Pause of an endpoint after so many failures in a row: none at first, then doubled up to `rest_max`."""
        if failures < self.rest_from:
            return timedelta()
        return min(self.rest_max, self.rest_first * (1 << min(failures - self.rest_from, 20)))


def is_dead(
    *,
    failures: int,
    failing_days: int,
    failing_since: datetime | None,
    now: datetime,
    disable_after: timedelta,
) -> bool:
    """Nothing but failures for so long, and not just one old day of them and a new one."""
    return (
        failing_since is not None
        and failures >= DISABLE_FAILURES_MIN
        and failing_days >= max(1, min(DISABLE_DAYS_MIN, disable_after.days))
        and now - failing_since >= disable_after
    )
