"""To which channel a notification goes, and when: rules, digest, quiet hours. Pure: the moment is an argument.

Local times are those of the channel's zone. A time that the clocks skip in spring comes as much later as they skip; one
that comes twice in autumn is the first of the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal

from vitrin.notify.domain.register import SEVERITIES, Severity

Digest = Literal["immediate", "hourly", "daily"]
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """`kinds` empty: every kind, later ones too."""

    kinds: tuple[str, ...] = ()
    severity_min: Severity = "info"

    def takes(self, kind: str, severity: Severity) -> bool:
        enough = SEVERITIES.index(severity) >= SEVERITIES.index(self.severity_min)
        return enough and (not self.kinds or kind in self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """A channel's choice. `daily_at` with the digest `daily`; `quiet` from and until, over midnight where it ends
    before it begins."""

    rules: tuple[Rule, ...] = (Rule(),)
    digest: Digest = "immediate"
    daily_at: time | None = None
    quiet: tuple[time, time] | None = None
    zone: tzinfo = UTC
    resolved: bool = True


def wants(rules: Sequence[Rule], kind: str, severity: Severity) -> bool:
    """One rule that takes it is enough."""
    return any(rule.takes(kind, severity) for rule in rules)


def due_at(routing: Routing, *, severity: Severity, now: datetime) -> datetime:
    """When it goes out: at once when critical, else with the next digest and never within quiet hours."""
    if severity == "critical":
        return now
    moment = now
    if routing.digest == "hourly":
        moment = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    elif routing.digest == "daily" and routing.daily_at is not None:
        moment = next_at(now, routing.daily_at, routing.zone)
    return after_quiet(routing, severity=severity, moment=moment)


def after_quiet(routing: Routing, *, severity: Severity, moment: datetime) -> datetime:
    """The end of the quiet hours that `moment` lies in, else `moment`; for a later try too."""
    if severity == "critical" or routing.quiet is None:
        return moment
    begin, end = routing.quiet
    today = moment.astimezone(routing.zone).date()
    for day in (today - _DAY, today):
        first = local(day, begin, routing.zone)
        last = local(day if end > begin else day + _DAY, end, routing.zone)
        if first <= moment < last:
            return last
    return moment


def next_at(now: datetime, at: time, zone: tzinfo) -> datetime:
    """The first such local time after `now`."""
    today = now.astimezone(zone).date()
    moments = (local(today + days * _DAY, at, zone) for days in (-1, 0, 1, 2))
    return next(moment for moment in moments if moment > now)


def local(day: date, at: time, zone: tzinfo) -> datetime:
    """In UTC."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
