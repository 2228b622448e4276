"""What was accepted and is not there: sent again a few times, then told. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from vitrin.shop_sync.domain import arrival, schedule, sync
from vitrin.shop_sync.domain.arrival import DOUBTED, RESENDS_MAX, Look
from vitrin.shop_sync.domain.sync import GONE, Facts, Hashes, Lane, Reason, State, Want, settle

ATTEMPT = UUID(int=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = Hashes(b"c1", b"o1"), Hashes(b"c2", b"o1")
ARCHIVED = Reason("item_archived")
NO_TITLE = Reason("missing_title", "title")
ABSENT = Look(present=False, right=False)
RIGHT = Look(present=True, right=True)
OTHER = Look(present=True, right=False, differences=(("price", "9.00", "10.00"),))
WITHIN_S = 900.0
LONG = 99
"""Looks after which everything is overdue."""


def sent(facts: Facts) -> Facts:
    return sync.accepted(sync.taken(facts, ATTEMPT))


def accepted(hashes: Hashes = OLD) -> Facts:
    return sent(sync.desire_present(Facts(want=Want.ABSENT), hashes))


def removed() -> Facts:
    return sent(sync.desire_absent(sync.seen(accepted()), ARCHIVED))


def looked(facts: Facts, look: Look, looks: int = LONG) -> Facts:
    assert arrival.is_open(facts)
    return arrival.looked(facts, look, looks=looks, within_s=WITHIN_S)


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in settle(facts).reasons]


@pytest.mark.parametrize("look", [ABSENT, OTHER])
def test_in_the_platforms_time_nothing_is_sent_again(look: Look) -> None:
    first = next(looks for looks in range(1, 99) if schedule.looked_for_s(looks) >= WITHIN_S)
    early = looked(accepted(), look, looks=first - 1)
    assert settle(early).state is State.ACCEPTED
    assert codes(early) == ["not_shown_yet"]
    assert codes(looked(accepted(), look, looks=arrival.NOT_SHOWN_TRIES - 1)) == []
    assert settle(looked(accepted(), look, looks=first)) == settle(looked(accepted(), look))
    assert settle(looked(accepted(), look, looks=first)).state is State.PENDING


def test_what_is_not_shown_goes_again_whole_and_behind_newer_changes() -> None:
    again = looked(accepted(), ABSENT)
    assert (settle(again).lane, again.resends, again.exposed) == (Lane.BACKLOG, 1, True)
    assert codes(again) == ["sent_again"]
    assert settle(sync.desire_present(again, OLD)).lane is Lane.BACKLOG
    assert sync.desire_present(again, OLD).resends == 1
    assert settle(sync.desire_present(again, NEW)).lane is Lane.CONTENT
    assert settle(sync.desire_absent(again, ARCHIVED)).state is State.PENDING
    assert settle(sync.seen(sent(again))).state is State.LIVE


def resent(facts: Facts, look: Look) -> Facts:
    """Until nothing is sent again."""
    for time in range(RESENDS_MAX):
        facts = looked(facts, look)
        assert facts.resends == time + 1
        facts = sent(facts)
    return facts


def test_after_the_last_time_it_is_told_and_a_late_look_heals_it() -> None:
    told = looked(resent(accepted(), ABSENT), ABSENT)
    assert settle(told).state is State.REJECTED
    assert codes(told) == ["accepted_not_shown"]
    assert looked(told, ABSENT) == told
    healed = looked(told, RIGHT)
    assert settle(healed).state is State.LIVE
    assert healed.resends == 0
    changed = sync.desire_present(told, NEW)
    assert (settle(changed).state, changed.resends) == (State.PENDING, 0)


def test_each_time_waits_twice_as_long() -> None:
    facts = accepted()
    for times in (1, 2, 4, 8):
        due = next(looks for looks in range(1, 99) if schedule.looked_for_s(looks) >= times * WITHIN_S)
        assert settle(looked(facts, ABSENT, looks=due - 1)).state is State.ACCEPTED
        after = looked(facts, ABSENT, looks=due)
        assert settle(after).state is (State.PENDING if times < 8 else State.REJECTED)
        facts = sent(after) if times < 8 else after


def test_what_is_shown_in_another_form_stays_accepted_and_says_how() -> None:
    told = looked(resent(accepted(), OTHER), OTHER)
    assert settle(told).state is State.ACCEPTED
    assert codes(told) == ["shown_differently"]
    assert settle(told).reasons[0].field == "price"
    assert "sent '9.00', shown '10.00'" in settle(told).reasons[0].message
    assert looked(told, OTHER) == told
    assert settle(looked(told, RIGHT)).state is State.LIVE


def test_what_a_look_showed_right_is_never_sent_again() -> None:
    live = looked(accepted(), RIGHT)
    assert settle(looked(live, OTHER)).state is State.LIVE
    reviewed = looked(accepted(), replace(RIGHT, problems=(Reason("review_rejected"),)))
    assert codes(reviewed) == ["review_rejected"]
    assert settle(looked(reviewed, ABSENT)).state is State.REJECTED


def test_a_newer_change_goes_its_own_way() -> None:
    facts = sync.desire_present(accepted(), NEW)
    after = looked(facts, ABSENT)
    assert (after.resends, after.desired, settle(after).lane) == (0, NEW, Lane.CONTENT)
    leaving = looked(sync.desire_absent(accepted(), ARCHIVED), ABSENT)
    assert leaving.desired == GONE
    assert settle(leaving).state is State.PENDING


def test_a_removal_that_was_accepted_and_not_done_goes_again() -> None:
    assert settle(removed()).state is State.REMOVED
    assert settle(looked(removed(), OTHER, looks=3)).state is State.REMOVED
    again = looked(removed(), OTHER)
    assert settle(again).state is State.PENDING
    assert again.exposed
    assert not arrival.is_open(again)
    told = looked(resent(removed(), OTHER), OTHER)
    assert settle(told).state is State.REJECTED
    assert codes(told) == ["still_shown"]
    assert looked(told, OTHER) == told
    healed = looked(told, ABSENT)
    assert settle(healed) == settle(removed())
    assert settle(sync.desire_present(told, OLD)).state is State.PENDING


def test_an_item_that_is_invalid_now_is_not_sent_whole() -> None:
    broken = sync.hold(accepted(), (NO_TITLE,), OLD.offer)
    lost = looked(broken, ABSENT)
    assert settle(lost).state is State.INVALID
    assert (lost.confirmed, lost.desired, lost.exposed) == (None, None, True)
    assert settle(sync.desire_present(lost, OLD)).lane is Lane.CONTENT
    priced = looked(broken, OTHER)
    assert settle(priced).lane is Lane.OFFER
    assert priced.confirmed == Hashes(OLD.content, DOUBTED)
    done = resent(broken, OTHER)
    assert done.confirmed == OLD
    assert settle(looked(done, OTHER)).state is State.INVALID
    assert looked(broken, replace(OTHER, offer_right=True)) == broken
    silent = sync.hold(accepted(), (NO_TITLE,))
    assert looked(silent, OTHER) == silent
    assert looked(silent, ABSENT).confirmed is None


def test_how_long_it_was_looked_for() -> None:
    assert [round(schedule.looked_for_s(looks), 1) for looks in (0, 1, 2, 4)] == [0.0, 0.1, 0.3, 1.5]
    assert schedule.looked_for_s(13) == pytest.approx(709.5)
    assert schedule.looked_for_s(1_000) == pytest.approx(409.5 + 988 * 300)


def test_when_the_next_look_is() -> None:
    facts = accepted()
    assert arrival.next_look(facts, NOW, looks=3, within_s=WITHIN_S) == NOW + timedelta(seconds=0.8)
    last = resent(facts, ABSENT)
    assert arrival.next_look(last, NOW, looks=3, within_s=WITHIN_S) == NOW + timedelta(seconds=0.8)
    told = looked(last, ABSENT)
    assert arrival.gave_up(last, told)
    assert not arrival.gave_up(told, told)
    assert arrival.next_look(told, NOW, looks=LONG, within_s=WITHIN_S) == NOW + timedelta(hours=1)
