"""The ledger of one event at one network: a state, why, and when it goes on. Pure.

    made --> held (no consent yet) --> due --> in flight --> accepted
                 |                      ^          |-------> refused (a dead letter, with its reason)
                 |                      |          |-------> waiting ("not ready yet") --> due
                 |                      '----------'         (not sent, or an outcome that nobody knows)
                 '--> suppressed (withdrawn, erased)
    any of them, when it is too old for the network --> expired
    shadow mode: everything but the send --> shadowed

An event is told to a network once: what was accepted never goes again. An outcome that nobody knows is repeated under
the same event id, and only while the network still recognises a repeat (`Rules.dedupe`); afterwards it is refused as
`unknown_outcome`, since a purchase counted twice costs more than one that is missing. A process that dies with a line
in flight leaves an outcome that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from vitrin.retargeting.consent.domain import Answer, Reason

RETRY_FIRST: Final = timedelta(seconds=5)
RETRY_LAST: Final = timedelta(minutes=30)
DOUBLINGS_MAX: Final = 20
NOT_READY_EACH: Final = timedelta(minutes=15)
"""Between two tries of what a network was not ready for (a new conversion action: PostHog 27712 saw six hours)."""
SAFETY: Final = timedelta(minutes=5)
"""Clocks and the way to the network: nothing is sent that close to a limit."""


class Mode(StrEnum):
    """Of a network's data set, set by the brand."""

    OFF = "off"
    SHADOW = "shadow"
    TEST = "test"
    LIVE = "live"


class State(StrEnum):
    """Of an event at a network."""

    HELD = "held"
    DUE = "due"
    IN_FLIGHT = "in_flight"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    EXPIRED = "expired"
    SHADOWED = "shadowed"
    SUPPRESSED = "suppressed"


FINAL: Final = frozenset({State.ACCEPTED, State.REFUSED, State.EXPIRED, State.SHADOWED, State.SUPPRESSED})
_FORGETS: Final = frozenset(
    {Reason.WITHDRAWN, Reason.ERASED, Reason.DENIED, Reason.GPC, Reason.NOT_ALLOWED_THEN}
)
"""Answers that no later yes reaches back over."""


class Outcome(StrEnum):
    """What a network said of one event."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_READY = "not_ready"
    NOT_SENT = "not_sent"
    """Turned away before it left, or a batch that was refused for another's sake."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rules:
    """Of a network, from its contract: how old an event may be, how long it recognises a repeat by its id, and how long
    we wait for it to become ready."""

    age_max: timedelta
    dedupe: timedelta
    ready_within: timedelta = timedelta(hours=24)
    value_needed: frozenset[str] = frozenset({"purchase"})
    """Names that must have value and currency."""


@dataclass(frozen=True, slots=True)
class Event:
    """What the ledger needs of an event. `value` in minor units of `currency`."""

    name: str
    occurred_at: datetime
    value: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `next_at`: when it goes on by itself; `first_sent_at`: the first time that it may have
    arrived; `waiting_since`: the first time that the network was not ready; `attempts`: calls that left the house."""

    state: State
    reason: str
    changed_at: datetime
    next_at: datetime | None = None
    first_sent_at: datetime | None = None
    waiting_since: datetime | None = None
    attempts: int = 0


def admit(event: Event, *, mode: Mode, rules: Rules, consent: Answer, now: datetime) -> Entry | None:
    """The first line for an event that the network may be told of; None where the mode is off."""
    if mode is Mode.OFF:
        return None
    fault = fault_of(event, rules)
    if fault is not None:
        return Entry(State.REFUSED, fault, now)
    if _too_old(event, rules, now):
        return Entry(State.EXPIRED, "too_old_at_arrival", now)
    return _by_consent(
        Entry(State.DUE, "made", now, next_at=now), event, rules=rules, consent=consent, mode=mode, now=now
    )


def fault_of(event: Event, rules: Rules) -> str | None:
    """What is wrong with it whatever the network would say."""
    if event.value is not None and event.value < 0:
        return "negative_value"
    if event.name in rules.value_needed and (event.value is None or event.currency is None):
        return "no_value"
    if event.value is not None and event.currency is None:
        return "no_currency"
    return None


def _too_old(event: Event, rules: Rules, now: datetime) -> bool:
    return now - event.occurred_at > rules.age_max - SAFETY


def _by_consent(
    entry: Entry, event: Event, *, rules: Rules, consent: Answer, mode: Mode, now: datetime
) -> Entry:
    if consent.allowed:
        if mode is Mode.SHADOW:
            return replace(entry, state=State.SHADOWED, reason="shadow", changed_at=now, next_at=None)
        return replace(entry, state=State.DUE, reason="consent", changed_at=now, next_at=now)
    if consent.reason in _FORGETS:
        return replace(entry, state=State.SUPPRESSED, reason=consent.reason, changed_at=now, next_at=None)
    ends = event.occurred_at + rules.age_max - SAFETY
    return replace(entry, state=State.HELD, reason=consent.reason, changed_at=now, next_at=ends)


def consent_changed(
    entry: Entry, event: Event, *, mode: Mode, rules: Rules, consent: Answer, now: datetime
) -> Entry:
    """What a new word of the person does to a line that is not finished. One in flight is decided by its answer."""
    if entry.state in FINAL or entry.state is State.IN_FLIGHT:
        return entry
    if consent.allowed and entry.state is not State.HELD:
        return entry
    if not consent.allowed and entry.first_sent_at is not None:
        return replace(entry, state=State.SUPPRESSED, reason=consent.reason, changed_at=now, next_at=None)
    return _by_consent(entry, event, rules=rules, consent=consent, mode=mode, now=now)


def take(entry: Entry, event: Event, *, mode: Mode, rules: Rules, consent: Answer, now: datetime) -> Entry:
    """What becomes of a line whose time has come: in flight, if it may still go; the last look before the call."""
    if (
        entry.state not in (State.DUE, State.WAITING, State.HELD)
        or entry.next_at is None
        or entry.next_at > now
    ):
        return entry
    if _too_old(event, rules, now):
        reason = "no_consent_in_time" if entry.state is State.HELD else "too_old"
        return replace(entry, state=State.EXPIRED, reason=reason, changed_at=now, next_at=None)
    if mode is Mode.OFF:
        return replace(entry, state=State.SUPPRESSED, reason="switched_off", changed_at=now, next_at=None)
    if not consent.allowed:
        return _by_consent(entry, event, rules=rules, consent=consent, mode=mode, now=now)
    if mode is Mode.SHADOW:
        return _by_consent(entry, event, rules=rules, consent=consent, mode=mode, now=now)
    if entry.first_sent_at is not None and now - entry.first_sent_at > rules.dedupe - SAFETY:
        return replace(entry, state=State.REFUSED, reason="unknown_outcome", changed_at=now, next_at=None)
    return replace(entry, state=State.IN_FLIGHT, reason="sending", changed_at=now, next_at=None)


def answered(
    entry: Entry,
    outcome: Outcome,
    *,
    rules: Rules,
    now: datetime,
    sent_at: datetime,
    jitter: float,
    reason: str = "",
    retry_after: timedelta = timedelta(0),
) -> Entry:
    """What a network's answer does to a line in flight. `jitter` in [0, 1). Raises ValueError for one that is not."""
    if entry.state is not State.IN_FLIGHT:
        raise ValueError(f"a line that is {entry.state} has no answer to come")
    left = replace(entry, changed_at=now, next_at=None)
    if outcome is not Outcome.NOT_SENT:
        left = replace(left, attempts=entry.attempts + 1)
    match outcome:
        case Outcome.ACCEPTED:
            return replace(
                left, state=State.ACCEPTED, reason=reason, first_sent_at=entry.first_sent_at or sent_at
            )
        case Outcome.REFUSED:
            return replace(left, state=State.REFUSED, reason=reason or "refused")
        case Outcome.NOT_READY:
            return _not_ready(left, rules, now, jitter, reason)
        case Outcome.NOT_SENT:
            wait = max(retry_after, RETRY_FIRST) * (1 + jitter / 2)
            return replace(left, state=State.DUE, reason=reason or "not_sent", next_at=now + wait)
        case Outcome.UNKNOWN:
            wait = max(retry_after, backoff(left.attempts)) * (1 + jitter / 2)
            first = entry.first_sent_at or sent_at
            return replace(
                left, state=State.DUE, reason=reason or "no_answer", next_at=now + wait, first_sent_at=first
            )


def _not_ready(left: Entry, rules: Rules, now: datetime, jitter: float, reason: str) -> Entry:
    since = left.waiting_since or now
    if now - since > rules.ready_within:
        return replace(left, state=State.REFUSED, reason="not_ready_in_time")
    wait = NOT_READY_EACH * (1 + jitter / 2)
    return replace(
        left, state=State.WAITING, reason=reason or "not_ready", next_at=now + wait, waiting_since=since
    )


def replayed(
    entry: Entry, event: Event, *, mode: Mode, rules: Rules, consent: Answer, now: datetime
) -> Entry:
    """A range of time is told again: what arrived, or may have, stays as it is; the rest gets another chance."""
    if entry.state not in FINAL or entry.state is State.ACCEPTED or entry.first_sent_at is not None:
        return entry
    if entry.state is State.SUPPRESSED and not consent.allowed:
        return entry
    again = admit(event, mode=mode, rules=rules, consent=consent, now=now)
    return entry if again is None else replace(again, attempts=entry.attempts)


def backoff(attempts: int) -> timedelta:
    """Before the next try after so many."""
    doublings = min(max(attempts - 1, 0), DOUBLINGS_MAX)
    return min(RETRY_LAST, RETRY_FIRST * (1 << doublings))
