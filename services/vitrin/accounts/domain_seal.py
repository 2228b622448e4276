"""Rules of the keys of personal data: which days get one, when one goes, when nothing can hold it any more. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

ASKED_MAX: Final = 500
SUBJECT_LENGTH_MAX: Final = 300
SWEEP_SLACK: Final = timedelta(days=1)
"""How late the loop that destroys keys of days may be in a receipt's date; an alert says when it is later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRules:
    lease: timedelta
    day_kept: timedelta
    backup_kept: timedelta


@dataclass(frozen=True, slots=True)
class Ends:
    """Of a key that is destroyed now: when no process and when nothing at all can hold it."""

    leases: datetime
    last: datetime


def ends(destroyed_at: datetime, *, newest_day: date | None, rules: SealRules) -> Ends:
    """`newest_day`: of the brand's living keys of days. What was sealed before the person was known is under one of
    them, and opens until that is gone too."""
    leases = destroyed_at + rules.lease
    last = max(leases, destroyed_at + rules.backup_kept)
    if newest_day is not None:
        last = max(last, day_ends(newest_day, rules) + SWEEP_SLACK + max(rules.backup_kept, rules.lease))
    return Ends(leases, last)


def day_ends(day: date, rules: SealRules) -> datetime:
    """When the key of the day is destroyed: its last use is then older than everything that keeps what it sealed."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) + rules.day_kept


def days_over_before(now: datetime, rules: SealRules) -> date:
    """Keys of days before this one are to be destroyed."""
    return (now - rules.day_kept).astimezone(UTC).date()


def gets_key(day: date, now: datetime) -> bool:
    """Clocks of two machines differ around midnight; a day that is over gets no new key."""
    return abs((day - now.astimezone(UTC).date()).days) <= 1


def came_back(destroyed_at: datetime, happened_at: datetime | None) -> bool:
    """Whether the person did something after the erasure."""
    return happened_at is not None and happened_at > destroyed_at
