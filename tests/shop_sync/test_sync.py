"""States of an item on a channel follow from its facts."""

import random
from dataclasses import replace
from uuid import UUID

import pytest

from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.sync import Facts, Hashes, InFlight, Lane, Reason, State, Want, settle

ATTEMPT = UUID(int=1)
OLD = Hashes(b"c1", b"o1")
NEW_OFFER = Hashes(b"c1", b"o2")
NEW_CONTENT = Hashes(b"c2", b"o1")
ARCHIVED = Reason("item_archived", "status", "archived", "activate")
TOO_LONG = Reason("title_too_long", "title", "long", "shorten")
FRESH = Facts(want=Want.ABSENT)


def live(hashes: Hashes = OLD) -> Facts:
    return sync.accepted(sync.taken(sync.desire_present(FRESH, hashes), ATTEMPT), seen=True)


def test_the_happy_way() -> None:
    facts = sync.desire_present(FRESH, OLD)
    assert settle(facts).state is State.PENDING
    assert settle(facts).lane is Lane.CONTENT
    facts = sync.taken(facts, ATTEMPT)
    assert settle(facts).state is State.SENT
    assert settle(facts).lane is None
    facts = sync.accepted(facts)
    assert settle(facts).state is State.ACCEPTED
    assert settle(sync.seen(facts)).state is State.LIVE


def test_a_first_sync_waits_behind_changes() -> None:
    assert settle(sync.desire_present(FRESH, OLD, backlog=True)).lane is Lane.BACKLOG
    assert settle(sync.desire_present(FRESH, OLD)).lane is Lane.CONTENT
    assert settle(sync.desire_present(live(), NEW_OFFER)).lane is Lane.OFFER
    assert settle(sync.desire_present(live(), NEW_CONTENT)).lane is Lane.CONTENT


def test_the_fast_lane_serves_only_what_was_accepted() -> None:
    flying = sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT)
    refused = sync.refused(sync.desire_present(flying, NEW_OFFER), (TOO_LONG,))
    assert settle(refused).lane is Lane.CONTENT


def test_a_verdict_belongs_to_the_hash_it_was_sent_with() -> None:
    flying = sync.desire_present(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), NEW_OFFER)
    assert settle(flying).state is State.SENT
    done = sync.accepted(flying)
    assert done.confirmed == OLD
    assert settle(done) == sync.Settled(State.PENDING, (), Lane.OFFER)


def test_a_refusal_ends_until_the_item_changes() -> None:
    refused = sync.refused(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), (TOO_LONG,))
    assert settle(refused) == sync.Settled(State.REJECTED, (TOO_LONG,))
    assert settle(sync.desire_present(refused, OLD)).state is State.REJECTED
    assert settle(sync.desire_present(refused, NEW_CONTENT)).state is State.PENDING


def test_going_back_to_what_is_confirmed_needs_no_send() -> None:
    refused = sync.refused(sync.taken(sync.desire_present(live(), NEW_CONTENT), ATTEMPT), (TOO_LONG,))
    assert settle(refused).state is State.REJECTED
    assert settle(sync.desire_present(refused, OLD)).state is State.LIVE


def test_archived_items_are_taken_down_only_if_they_may_be_there() -> None:
    assert settle(sync.desire_absent(FRESH, ARCHIVED)).state is State.EXCLUDED
    leaving = sync.desire_absent(live(), ARCHIVED)
    assert settle(leaving) == sync.Settled(State.PENDING, (ARCHIVED,), Lane.CONTENT)
    gone = sync.accepted(sync.taken(leaving, ATTEMPT))
    assert settle(gone) == sync.Settled(State.REMOVED, (ARCHIVED,))
    assert settle(sync.desire_present(gone, OLD)).state is State.PENDING


def test_archived_while_the_first_send_flies() -> None:
    flying = sync.desire_absent(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), ARCHIVED)
    assert settle(sync.accepted(flying)).state is State.PENDING
    assert settle(sync.refused(flying, (TOO_LONG,))).state is State.EXCLUDED


def test_an_unknown_send_may_be_there_and_is_taken_down() -> None:
    flying = sync.unknown(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), Reason("outcome_unknown"))
    assert settle(flying).state is State.UNKNOWN
    assert settle(sync.requeue(flying)).state is State.PENDING
    assert settle(sync.desire_absent(sync.requeue(flying), ARCHIVED)).state is State.PENDING


def test_invalid_items_stay_as_they_were_accepted() -> None:
    broken = sync.hold(live(), (TOO_LONG,))
    assert settle(broken) == sync.Settled(State.INVALID, (TOO_LONG,))
    assert broken.confirmed == OLD
    assert settle(sync.desire_present(broken, OLD)).state is State.LIVE


def test_price_and_stock_follow_an_item_that_turned_invalid() -> None:
    broken = sync.hold(live(), (TOO_LONG,), b"sold out")
    assert settle(broken) == sync.Settled(State.PENDING, (TOO_LONG,), Lane.OFFER)
    told = sync.accepted(sync.taken(broken, ATTEMPT))
    assert settle(told) == sync.Settled(State.INVALID, (TOO_LONG,))
    assert told.confirmed == Hashes(OLD.content, b"sold out")
    assert settle(sync.hold(live(), (TOO_LONG,), OLD.offer)).state is State.INVALID
    assert settle(sync.hold(FRESH, (TOO_LONG,), b"sold out")).state is State.INVALID
    assert settle(sync.desire_present(told, OLD)).lane is Lane.OFFER


def test_price_and_stock_follow_what_arrived_after_the_item_had_turned_invalid() -> None:
    """Found by the simulation (seed 435): the content that is there now, not the one that was there before."""
    flying = sync.taken(sync.desire_present(live(), NEW_CONTENT), ATTEMPT)
    done = sync.accepted(sync.hold(flying, (TOO_LONG,), b"o1"))
    assert settle(done) == sync.Settled(State.INVALID, (TOO_LONG,))
    cheaper = sync.accepted(sync.hold(flying, (TOO_LONG,), b"o2"))
    assert settle(cheaper).lane is Lane.OFFER
    assert cheaper.desired == Hashes(b"c2", b"o2")
    assert not sync.may_follow(cheaper)


def test_what_turns_invalid_stays_in_its_hunt_only_while_the_same_is_desired() -> None:
    """Killed mutants: a hunt forgotten, a hunt kept for something else, a place in the backlog."""
    hunted = replace(sync.hold(live(), (TOO_LONG,), b"o2"), hunt_id=ATTEMPT)
    assert settle(hunted).lane is Lane.SUSPECT
    assert sync.hold(hunted, (TOO_LONG,), b"o2").hunt_id == ATTEMPT
    assert sync.hold(hunted, (TOO_LONG,), b"o3").hunt_id is None
    assert sync.hold(hunted, (TOO_LONG,)).hunt_id is None
    waiting = sync.desire_present(FRESH, OLD, backlog=True)
    assert waiting.backlog
    assert not sync.hold(waiting, (TOO_LONG,)).backlog
    assert not sync.desire_absent(waiting, ARCHIVED).backlog


def test_a_hunt_goes_on_only_while_the_same_is_desired() -> None:
    hunted = replace(sync.desire_present(FRESH, OLD), hunt_id=ATTEMPT)
    assert sync.desire_present(hunted, OLD).hunt_id == ATTEMPT
    assert sync.desire_present(hunted, NEW_OFFER).hunt_id is None
    assert sync.desire_absent(hunted, ARCHIVED).hunt_id is None
    stored = Hashes(sync.GONE.content, sync.GONE.offer)  # what comes from the database is equal, not the same
    leaving = replace(sync.desire_absent(live(), ARCHIVED), desired=stored, hunt_id=ATTEMPT)
    assert sync.desire_absent(leaving, ARCHIVED).hunt_id == ATTEMPT


def test_a_review_hides_what_was_accepted_and_may_change_its_mind() -> None:
    hidden = sync.disapproved(live(), (TOO_LONG,))
    assert settle(hidden) == sync.Settled(State.REJECTED, (TOO_LONG,))
    assert not hidden.seen
    assert settle(sync.seen(hidden)) == sync.Settled(State.LIVE, ())
    assert (sync.seen(hidden).refused, sync.seen(hidden).refusal) == (None, ())
    nothing_there = sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT)
    assert sync.disapproved(nothing_there, (TOO_LONG,)) == nothing_there
    assert sync.seen(nothing_there) == nothing_there
    refused = sync.refused(sync.taken(sync.desire_present(live(), NEW_CONTENT), ATTEMPT), (TOO_LONG,))
    assert sync.seen(refused).refused == NEW_CONTENT
    assert settle(sync.seen(refused)) == sync.Settled(State.REJECTED, (TOO_LONG,))


def test_nothing_follows_what_was_taken_down_meanwhile() -> None:
    flying = sync.taken(sync.desire_absent(live(), ARCHIVED), ATTEMPT)
    done = sync.accepted(sync.hold(flying, (TOO_LONG,), b"o2"))
    assert settle(done) == sync.Settled(State.INVALID, (TOO_LONG,))
    assert done.desired is None
    assert not sync.may_follow(done)


def test_what_turned_invalid_on_its_first_way_is_decided_anew_when_it_arrived() -> None:
    """Found by the simulation (seed 5): its offer had nothing to follow then."""
    flying = sync.hold(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), (TOO_LONG,), b"o2")
    assert not sync.may_follow(flying)
    assert sync.may_follow(sync.accepted(flying))
    assert not sync.may_follow(sync.refused(flying, (TOO_LONG,)))
    assert not sync.may_follow(live())


def test_a_refused_removal_is_not_repeated_for_ever() -> None:
    leaving = sync.taken(sync.desire_absent(live(), ARCHIVED), ATTEMPT)
    refused = sync.refused(leaving, (Reason("denied"),))
    assert settle(refused).state is State.REJECTED
    assert refused.exposed


def test_a_refused_resend_does_not_hide_what_may_still_be_there() -> None:
    """Sent, answer lost, sent again, refused: the platform may hold the first, so a deletion must reach it."""
    lost = sync.unknown(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT), Reason("outcome_unknown"))
    refused = sync.refused(sync.taken(sync.requeue(lost), ATTEMPT), (TOO_LONG,))
    assert settle(refused).state is State.REJECTED
    assert settle(sync.desire_absent(refused, ARCHIVED)) == sync.Settled(
        State.PENDING, (ARCHIVED,), Lane.CONTENT
    )
    throttled = sync.requeue(sync.taken(sync.desire_present(FRESH, OLD), ATTEMPT))
    assert settle(sync.desire_absent(throttled, ARCHIVED)).state is State.EXCLUDED


NOT_THERE = Reason("not_on_platform", "id", "not found", "")


def test_a_removal_of_what_is_not_there_is_done() -> None:
    gone = sync.missing(sync.taken(sync.desire_absent(live(), ARCHIVED), ATTEMPT), (NOT_THERE,))
    assert settle(gone).state is State.REMOVED
    assert not gone.exposed


def test_a_price_of_what_is_not_there_sends_the_whole_item() -> None:
    flying = sync.taken(sync.desire_present(live(), NEW_OFFER), ATTEMPT)
    again = sync.missing(flying, (NOT_THERE,))
    assert settle(again) == sync.Settled(State.PENDING, (NOT_THERE,), Lane.CONTENT)
    refused = sync.missing(sync.taken(again, ATTEMPT), (NOT_THERE,))
    assert settle(refused) == sync.Settled(State.REJECTED, (NOT_THERE,))
    held = sync.taken(sync.hold(live(), (TOO_LONG,), b"sold out"), ATTEMPT)
    assert settle(sync.missing(held, (NOT_THERE,))) == sync.Settled(State.INVALID, (TOO_LONG,))


def test_only_pending_items_are_taken() -> None:
    with pytest.raises(ValueError, match="pending"):
        sync.taken(live(), ATTEMPT)


def test_random_histories_end_live_with_the_newest_hash() -> None:
    """Whatever happened before: when the platform accepts from now on, it ends with the newest desire."""
    for seed in range(2000):
        chance = random.Random(seed)
        facts = FRESH
        for _ in range(chance.randrange(1, 25)):
            facts = _step(facts, chance)
        facts = sync.desire_present(facts, Hashes(b"end", bytes([seed % 256])))
        for _ in range(4):
            if facts.in_flight:
                facts = sync.accepted(facts)
            elif settle(facts).lane is not None:
                facts = sync.taken(facts, ATTEMPT)
        assert settle(sync.seen(facts)).state is State.LIVE, seed
        assert facts.confirmed == facts.desired


def _step(facts: Facts, chance: random.Random) -> Facts:
    hashes = Hashes(bytes([chance.randrange(3)]), bytes([chance.randrange(3)]))
    if facts.in_flight and chance.random() < 0.5:
        verdicts = [
            lambda: sync.accepted(facts),
            lambda: sync.refused(facts, (TOO_LONG,)),
            lambda: sync.unknown(facts, Reason("outcome_unknown")),
            lambda: sync.requeue(facts),
        ]
        return chance.choice(verdicts)()
    if settle(facts).lane is not None and chance.random() < 0.5:
        return sync.taken(facts, ATTEMPT)
    changes = [
        lambda: sync.desire_present(facts, hashes),
        lambda: sync.desire_absent(facts, ARCHIVED),
        lambda: sync.hold(facts, (TOO_LONG,)),
        lambda: sync.seen(facts),
        lambda: sync.not_seen(facts, Reason("not_shown_yet")),
    ]
    return chance.choice(changes)()


def test_reasons_survive_storage() -> None:
    assert sync.from_json(sync.as_json((ARCHIVED, TOO_LONG))) == (ARCHIVED, TOO_LONG)


def test_late_verdicts_change_nothing() -> None:
    facts = live()
    assert sync.accepted(facts) == facts
    assert sync.refused(facts, (TOO_LONG,)) == facts
    assert sync.unknown(facts, TOO_LONG) == facts
    assert sync.not_seen(facts, TOO_LONG) == facts
    assert replace(facts, in_flight=InFlight(ATTEMPT, OLD)).in_flight is not None
