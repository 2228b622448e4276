"""The ledger's decisions one by one, and a simulated network that answers at random."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vitrin.retargeting.consent.domain import Answer, Reason
from vitrin.retargeting.conversions.domain import (
    FINAL,
    NOT_READY_EACH,
    RETRY_LAST,
    SAFETY,
    Entry,
    Event,
    Mode,
    Outcome,
    Rules,
    State,
    admit,
    answered,
    backoff,
    consent_changed,
    replayed,
    take,
)

T = datetime(2024, 3, 1, tzinfo=UTC)
META = Rules(age_max=timedelta(days=7), dedupe=timedelta(hours=48))
YES, NO = Answer(True, Reason.GRANTED), Answer(False, Reason.NOT_ASKED)
WITHDRAWN = Answer(False, Reason.WITHDRAWN)
ORDER = Event("purchase", T, value=1999, currency="EUR")
HOUR = timedelta(hours=1)


def made(event: Event = ORDER, *, mode: Mode = Mode.LIVE, consent: Answer = YES, now: datetime = T) -> Entry:
    entry = admit(event, mode=mode, rules=META, consent=consent, now=now)
    assert entry is not None
    return entry


def taken(entry: Entry, now: datetime, *, consent: Answer = YES, mode: Mode = Mode.LIVE) -> Entry:
    return take(entry, ORDER, mode=mode, rules=META, consent=consent, now=now)


def told(entry: Entry, outcome: Outcome, now: datetime, *, reason: str = "") -> Entry:
    return answered(entry, outcome, rules=META, now=now, sent_at=now, jitter=0.0, reason=reason)


def test_a_mode_that_is_off_keeps_no_ledger() -> None:
    assert admit(ORDER, mode=Mode.OFF, rules=META, consent=YES, now=T) is None


@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (replace(ORDER, value=None), State.REFUSED, "no_value"),
        (replace(ORDER, currency=None), State.REFUSED, "no_value"),
        (replace(ORDER, value=-1), State.REFUSED, "negative_value"),
        (Event("view_item", T, value=5), State.REFUSED, "no_currency"),
        (Event("view_item", T), State.DUE, "consent"),
        (replace(ORDER, occurred_at=T - timedelta(days=7)), State.EXPIRED, "too_old_at_arrival"),
        (replace(ORDER, occurred_at=T - timedelta(days=7) + SAFETY), State.DUE, "consent"),
    ],
)
def test_what_a_network_would_refuse_is_not_sent(event: Event, state: State, reason: str) -> None:
    entry = made(event)
    assert (entry.state, entry.reason) == (state, reason)


def test_a_held_event_goes_with_the_yes_or_never() -> None:
    held = made(consent=NO)
    assert (held.state, held.next_at) == (State.HELD, T + META.age_max - SAFETY)
    late = held.next_at
    assert late is not None

    def said(answer: Answer) -> Entry:
        return consent_changed(held, ORDER, mode=Mode.LIVE, rules=META, consent=answer, now=T + HOUR)

    assert said(YES).state is State.DUE
    assert (said(WITHDRAWN).state, said(WITHDRAWN).reason) == (State.SUPPRESSED, "withdrawn")
    assert said(NO) == replace(held, changed_at=T + HOUR)
    expired = taken(held, late + timedelta(seconds=1), consent=NO)
    assert (expired.state, expired.reason) == (State.EXPIRED, "no_consent_in_time")


def test_consent_is_asked_again_at_the_last_moment() -> None:
    assert taken(made(), T, consent=WITHDRAWN).state is State.SUPPRESSED
    assert taken(made(), T, consent=NO).state is State.HELD
    flying = taken(made(), T)
    assert flying.state is State.IN_FLIGHT
    assert consent_changed(flying, ORDER, mode=Mode.LIVE, rules=META, consent=WITHDRAWN, now=T) is flying


def test_shadow_does_everything_but_the_send() -> None:
    assert made(mode=Mode.SHADOW).state is State.SHADOWED
    held = made(mode=Mode.SHADOW, consent=NO)
    granted = consent_changed(held, ORDER, mode=Mode.SHADOW, rules=META, consent=YES, now=T + HOUR)
    assert granted.state is State.SHADOWED
    assert taken(made(), T, mode=Mode.SHADOW).state is State.SHADOWED
    assert taken(made(), T, mode=Mode.OFF).reason == "switched_off"


def test_an_unknown_outcome_is_repeated_only_while_the_network_knows_the_id() -> None:
    entry, now, sent = made(), T, 0
    while entry.state is not State.REFUSED:
        entry = told(taken(entry, now), Outcome.UNKNOWN, now)
        sent += 1
        assert entry.first_sent_at == T
        assert entry.next_at is not None
        now = entry.next_at
        entry = taken(entry, now) if now - T > META.dedupe - SAFETY else entry
    assert entry.reason == "unknown_outcome"
    assert META.dedupe - SAFETY < now - T <= META.dedupe - SAFETY + RETRY_LAST
    assert sent == entry.attempts


def test_who_withdraws_after_an_unknown_outcome_is_not_told_again() -> None:
    entry = told(taken(made(), T), Outcome.UNKNOWN, T)
    after = consent_changed(entry, ORDER, mode=Mode.LIVE, rules=META, consent=WITHDRAWN, now=T + HOUR)
    assert (after.state, after.first_sent_at) == (State.SUPPRESSED, T)


def test_a_network_that_is_not_ready_is_waited_for_a_day() -> None:
    entry, now = made(), T
    while entry.state not in FINAL:
        entry = told(taken(entry, now), Outcome.NOT_READY, now, reason="new_conversion_action")
        now = entry.next_at or now
    assert (entry.state, entry.reason) == (State.REFUSED, "not_ready_in_time")
    assert META.ready_within < entry.changed_at - T <= META.ready_within + NOT_READY_EACH
    ready = told(taken(told(taken(made(), T), Outcome.NOT_READY, T), T + HOUR), Outcome.ACCEPTED, T + HOUR)
    assert ready.state is State.ACCEPTED


def test_what_never_left_is_no_attempt_and_waits_as_long_as_told() -> None:
    entry = answered(
        taken(made(), T), Outcome.NOT_SENT, rules=META, now=T, sent_at=T, jitter=0.0, retry_after=HOUR
    )
    assert (entry.state, entry.attempts, entry.next_at, entry.first_sent_at) == (State.DUE, 0, T + HOUR, None)
    assert taken(entry, T + HOUR / 2) is entry
    with pytest.raises(ValueError, match="no answer"):
        told(entry, Outcome.ACCEPTED, T)


def test_a_replay_gives_another_chance_to_what_cannot_have_arrived() -> None:
    def again(entry: Entry, *, consent: Answer = YES, now: datetime = T + HOUR) -> Entry:
        return replayed(entry, ORDER, mode=Mode.LIVE, rules=META, consent=consent, now=now)

    accepted = told(taken(made(), T), Outcome.ACCEPTED, T)
    refused = told(taken(made(), T), Outcome.REFUSED, T, reason="2804009")
    doubtful = replace(refused, first_sent_at=T)
    shadowed = made(mode=Mode.SHADOW)
    withdrawn = taken(made(), T, consent=WITHDRAWN)
    assert again(accepted) is accepted
    assert again(doubtful) is doubtful
    assert again(withdrawn, consent=WITHDRAWN) is withdrawn
    assert (again(refused).state, again(refused).attempts) == (State.DUE, 1)
    assert again(shadowed).state is State.DUE
    assert again(shadowed, now=T + timedelta(days=8)).state is State.EXPIRED


def test_waits_grow_and_end() -> None:
    waits = [backoff(number) for number in range(1, 15)]
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_LAST


@pytest.mark.parametrize("seed", range(200))
def test_a_network_that_answers_at_random_never_counts_one_twice(seed: int) -> None:
    """The network takes some of what it does not answer; it recognises an id for 48 hours. Processes die in flight."""
    rng = random.Random(seed)
    now, entry, consent = T, made(), YES
    counted: list[datetime] = []
    for _ in range(400):
        if entry.state in FINAL:
            break
        if rng.random() < 0.02:
            consent = rng.choice([YES, NO, WITHDRAWN])
            entry = consent_changed(entry, ORDER, mode=Mode.LIVE, rules=META, consent=consent, now=now)
        entry = taken(entry, now, consent=consent)
        if entry.state is State.IN_FLIGHT:
            assert consent.allowed
            outcome = rng.choices(list(Outcome), weights=[1, 1, 8, 8, 30])[0]
            arrived = outcome is Outcome.ACCEPTED or (outcome is Outcome.UNKNOWN and rng.random() < 0.5)
            if arrived and not (counted and now - counted[-1] < META.dedupe):
                counted.append(now)
            entry = answered(
                entry,
                outcome,
                rules=META,
                now=now,
                sent_at=now,
                jitter=rng.random(),
                retry_after=HOUR * rng.random(),
            )
        if rng.random() < 0.1:
            now += timedelta(hours=rng.randint(1, 60))
        else:
            now = max(now, entry.next_at or now)
    assert entry.state in FINAL
    assert len(counted) <= 1
    assert entry.state is not State.ACCEPTED or counted
    assert entry.next_at is None
