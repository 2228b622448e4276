"""What does not move though it should, and why. Pure.

A channel that is paused, stopped or waiting for its owner stands still on purpose: nothing of it is stuck. What waits
behind other work of a channel that moves, or for a platform that fails, has not moved either, but its reason is known;
`UNEXPLAINED` is what somebody has to look at, and `REPAIRABLE` what the watchdog sets going again by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from vitrin.kit.ids import BrandId, ChannelId


class Kind(StrEnum):
    ITEM = "item"
    """Waits to be sent."""
    FLIGHT = "flight"
    """An item in flight with a call that nobody knows any more."""
    SUSPECT = "suspect"
    """An item of a hunt that nobody knows any more."""
    LOOK = "look"
    """An accepted item that should have been looked at."""
    ATTEMPT = "attempt"
    """A call whose outcome should have been asked for."""
    CLAIM = "claim"
    """A worker's claim that ran out, and nobody took the channel again."""


class Cause(StrEnum):
    LOST = "lost"
    """What it waits for is gone."""
    NOT_DUE = "not_due"
    """Nobody will come: the channel has no time at which it is due."""
    UNCLAIMED = "unclaimed"
    """The channel is due, and no worker takes it: too few, too busy, or none."""
    SILENT = "silent"
    """A worker holds the channel, and nothing happens."""
    PLATFORM = "platform"
    """The platform fails or refuses calls; Vitrin waits and tries again."""
    QUEUED = "queued"
    """The channel moves; others go first."""


REPAIRABLE: Final = frozenset({Cause.LOST, Cause.NOT_DUE})
UNEXPLAINED: Final = frozenset({Cause.LOST, Cause.NOT_DUE, Cause.UNCLAIMED, Cause.SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One channel: how many things have not moved since the cutoff, and what its work row says."""

    brand_id: BrandId
    channel_id: ChannelId
    platform: str
    may_work: bool
    due_at: datetime | None
    send_after: datetime | None
    failures: int
    claimed: bool
    claimed_until: datetime | None
    last_call_at: datetime | None
    items: int
    flights: int
    suspects: int
    looks: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Finding:
    channel_id: ChannelId
    kind: Kind
    cause: Cause
    count: int


def findings(standing: Standing, *, now: datetime, after: timedelta, stopped: bool) -> list[Finding]:
    """`stopped`: a switch holds back everything outgoing of the channel."""
    if not standing.may_work or stopped:
        return []
    cutoff = now - after
    found = []
    lost_claim = standing.claimed and standing.claimed_until is not None and standing.claimed_until < cutoff
    if lost_claim:
        found.append(Finding(standing.channel_id, Kind.CLAIM, Cause.LOST, 1))
    for kind, count in ((Kind.FLIGHT, standing.flights), (Kind.SUSPECT, standing.suspects)):
        if count:
            found.append(Finding(standing.channel_id, kind, Cause.LOST, count))
    waiting = ((Kind.ITEM, standing.items), (Kind.LOOK, standing.looks), (Kind.ATTEMPT, standing.attempts))
    for kind, count in waiting:
        if count:
            found.append(Finding(standing.channel_id, kind, _cause(standing, now=now, cutoff=cutoff), count))
    return found


def _cause(standing: Standing, *, now: datetime, cutoff: datetime) -> Cause:
    alive = standing.claimed and standing.claimed_until is not None and standing.claimed_until >= now
    if standing.due_at is None and not alive:
        return Cause.NOT_DUE
    if standing.failures:
        return Cause.PLATFORM
    if standing.last_call_at is not None and standing.last_call_at >= cutoff:
        return Cause.QUEUED
    if standing.send_after is not None and standing.send_after >= cutoff:
        return Cause.QUEUED
    return Cause.SILENT if alive else Cause.UNCLAIMED


def stuck(found: Iterable[Finding]) -> int:
    """How much of it somebody has to look at."""
    return sum(finding.count for finding in found if finding.cause in UNEXPLAINED)
