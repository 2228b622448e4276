"""What was accepted and is not there: when it is sent again, and when that has an end. Pure.

A platform may accept and then forget, or show something else. What a look shows right is never sent again. What it does
not show within the platform's time is sent again, at most RESENDS_MAX times, each time after twice as long; behind all
newer changes, as part of the backlog. Then it is told: what is not there at all (or not gone) is `rejected` with cause
and fix, what is there in another form stays `accepted` with the difference. A look that shows it right later ends that.

An item that is invalid now cannot be sent as a whole: of it only price and stock go again, and what is not there is
not counted upon any more.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from vitrin.shop_sync.domain import schedule, sync
from vitrin.shop_sync.domain.sync import GONE, Facts, Hashes, Reason, Want
from vitrin.shop_sync.domain.words import (
    ACCEPTED_NOT_SHOWN,
    NOT_SHOWN_YET,
    SHOWN_DIFFERENTLY,
    STILL_SHOWN,
    sent_again,
    shown_differently,
)

RESENDS_MAX: Final = 3
NOT_SHOWN_TRIES: Final = 5
"""Looks before somebody who asks is told that it takes its time."""
GIVEN_UP: Final = frozenset({ACCEPTED_NOT_SHOWN.code, STILL_SHOWN.code, SHOWN_DIFFERENTLY})
GIVEN_UP_LOOK: Final = timedelta(hours=1)
DOUBTED: Final = bytes(16)
"""The digest of a price and stock that the platform does not show."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look showed of an item. `right`: just as it was sent. `problems`: why the platform's review hides it.
    `offer_right`: price and stock at least are. `differences`: field, sent and shown, of what is there in another
    form."""

    present: bool
    right: bool
    offer_right: bool = False
    problems: tuple[Reason, ...] = ()
    differences: tuple[tuple[str, str, str], ...] = ()


def is_open(facts: Facts) -> bool:
    """A look has something to tell: of what was accepted, or removed."""
    if facts.in_flight is not None:
        return False
    return facts.confirmed is not None or (facts.want is Want.ABSENT and not _waits_to_go(facts))


def is_right(facts: Facts, look: Look) -> bool:
    """It is there as it was accepted, or gone as it was removed."""
    if facts.confirmed is None:
        return not look.present
    return look.right and not look.problems


def due_after_s(within_s: float, resends: int) -> float:
    """How long after an acceptance it has to be shown."""
    return within_s * float(2**resends)


def is_overdue(facts: Facts, *, looks: int, within_s: float) -> bool:
    """`looks`: how often it was looked at since it was accepted, this time included."""
    return schedule.looked_for_s(looks) >= due_after_s(within_s, facts.resends)


def looked(facts: Facts, look: Look, *, looks: int, within_s: float) -> Facts:
    """The facts after a look at what `is_open`."""
    overdue = is_overdue(facts, looks=looks, within_s=within_s)
    if facts.confirmed is None:
        return _gone(facts, look, overdue=overdue)
    if is_right(facts, look):
        return sync.seen(facts)
    if look.problems:
        return sync.disapproved(facts, look.problems)
    if overdue and not facts.seen:
        if facts.want is Want.HOLD:
            return _held(facts, look)
        if facts.desired == facts.confirmed != facts.refused:
            return _again(facts, look)
    return not_seen(facts, looks=looks)


def not_seen(facts: Facts, *, looks: int) -> Facts:
    """Nobody saw it yet (or nobody could look)."""
    if looks < NOT_SHOWN_TRIES or facts.note or facts.refused == facts.confirmed:
        return facts
    return sync.not_seen(facts, NOT_SHOWN_YET)


def gave_up(before: Facts, after: Facts) -> bool:
    """It was just told that nothing more is sent."""
    return not _told(before) and _told(after)


def _told(facts: Facts) -> bool:
    return any(reason.code in GIVEN_UP for reason in (*facts.note, *facts.refusal))


def next_look(facts: Facts, now: datetime, *, looks: int, within_s: float) -> datetime:
    """After a look that did not show it right; rarely where nothing more will be sent (a review may take its time)."""
    reviewed = facts.refused is not None and facts.refused == facts.confirmed and not _told(facts)
    if not reviewed and is_overdue(facts, looks=looks, within_s=within_s):
        return now + GIVEN_UP_LOOK
    return schedule.next_read_back(now, looks)


def _waits_to_go(facts: Facts) -> bool:
    return facts.exposed and facts.refused != GONE


def _again(facts: Facts, look: Look) -> Facts:
    if facts.resends < RESENDS_MAX:
        note = sent_again(facts.resends + 1, RESENDS_MAX)
        return replace(
            facts, confirmed=None, seen=False, backlog=True, note=(note,), resends=facts.resends + 1
        )
    if look.present:
        return replace(facts, note=(shown_differently(look.differences),))
    return replace(facts, refused=facts.confirmed, refusal=(ACCEPTED_NOT_SHOWN,), note=())


def _held(facts: Facts, look: Look) -> Facts:
    if not look.present and facts.desired in (None, facts.confirmed):
        return replace(facts, confirmed=None, desired=None, seen=False)
    if look.offer_right or facts.desired != facts.confirmed or facts.confirmed is None:
        return facts
    if facts.resends >= RESENDS_MAX:
        return facts
    doubted = Hashes(facts.confirmed.content, DOUBTED)
    return replace(facts, confirmed=doubted, seen=False, resends=facts.resends + 1)


def _gone(facts: Facts, look: Look, *, overdue: bool) -> Facts:
    given_up = facts.refused == GONE
    if not look.present:
        facts = replace(facts, exposed=False, removed=True, seen=True, note=(), resends=0)
        return replace(facts, refused=None, refusal=()) if given_up else facts
    if not overdue or given_up:
        return facts
    there = replace(facts, exposed=True, removed=False, seen=False)
    if facts.resends < RESENDS_MAX:
        return replace(there, note=(sent_again(facts.resends + 1, RESENDS_MAX),), resends=facts.resends + 1)
    return replace(there, refused=GONE, refusal=(STILL_SHOWN,))
