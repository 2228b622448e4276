"""Consent: the latest word decides, silence means what the region says, and erased stays erased."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from vitrin.retargeting.consent.domain import (
    ASKED_BEFORE,
    Answer,
    Reason,
    Regime,
    Statement,
    StatementSource,
    may_send,
    now,
    regime_of,
    said_by_event,
)
from vitrin.retargeting.domain.vocabulary import Purpose

T = datetime(2024, 3, 1, tzinfo=UTC)


def said(
    granted: bool, minute: int, *, number: int = 0, source: StatementSource = StatementSource.SITE
) -> Statement:
    return Statement(Purpose.ADS, granted, T + timedelta(minutes=minute), number, source)


@pytest.mark.parametrize(
    ("statements", "allowed", "reason"),
    [
        ([], False, Reason.NOT_ASKED),
        ([said(True, 1)], True, Reason.GRANTED),
        ([said(False, 1)], False, Reason.DENIED),
        ([said(True, 1), said(False, 2)], False, Reason.WITHDRAWN),
        ([said(True, 1), said(False, 2), said(True, 3)], True, Reason.GRANTED),
        ([said(True, 1), said(False, 1)], False, Reason.WITHDRAWN),
        ([said(False, 2, source=StatementSource.GPC)], False, Reason.GPC),
        ([said(False, 1, source=StatementSource.GPC), said(True, 2)], True, Reason.GRANTED),
    ],
)
def test_the_latest_word_decides_in_whatever_order_it_arrives(
    statements: list[Statement], allowed: bool, reason: Reason
) -> None:
    for order in permutations(statements):
        answer = now(Purpose.ADS, order, regime=Regime.OPT_IN)
        assert (answer.allowed, answer.reason) == (allowed, reason)
    assert now(Purpose.ANALYTICS, statements, regime=Regime.OPT_IN).reason is Reason.NOT_ASKED


def test_silence_means_what_the_region_says() -> None:
    assert now(Purpose.ADS, [], regime=regime_of("US")) == Answer(True, Reason.NOT_REQUIRED)
    assert now(Purpose.ADS, [], regime=regime_of("DE")) == Answer(False, Reason.NOT_ASKED)
    assert now(Purpose.ADS, [], regime=regime_of("")) == Answer(False, Reason.NOT_ASKED)
    stated = dict.fromkeys(["BR", *ASKED_BEFORE], Regime.OPT_OUT)
    assert regime_of("BR", stated) is Regime.OPT_OUT
    assert {regime_of(country, stated) for country in ASKED_BEFORE} == {Regime.OPT_IN}


def test_who_was_erased_comes_back_only_by_a_consent_of_their_own() -> None:
    erased = T + timedelta(minutes=5)
    imported = said(True, 9, source=StatementSource.IMPORT)
    back = said(True, 10, source=StatementSource.RETURN)

    def ask(*statements: Statement) -> Reason:
        return now(Purpose.ADS, statements, regime=Regime.OPT_OUT, erased_at=erased).reason

    assert ask() is Reason.ERASED
    assert ask(said(True, 1), imported, said(True, 11)) is Reason.ERASED
    assert ask(said(True, 1, source=StatementSource.RETURN)) is Reason.ERASED, "of before the erasure"
    assert ask(back) is Reason.GRANTED
    assert ask(imported, back, said(False, 12)) is Reason.WITHDRAWN


def test_an_event_needs_its_own_yes_and_todays() -> None:
    yes = now(Purpose.ADS, [said(True, 5)], regime=Regime.OPT_IN)
    no = now(Purpose.ADS, [said(True, 5), said(False, 6)], regime=Regime.OPT_IN)

    def then(granted: bool | None, *, gpc: bool = False, regime: Regime = Regime.OPT_IN) -> Answer:
        return said_by_event(Purpose.ADS, granted, gpc=gpc, regime=regime)

    assert may_send(then(True), yes).allowed
    assert may_send(then(True), no).reason is Reason.WITHDRAWN
    assert may_send(then(False), yes).reason is Reason.NOT_ALLOWED_THEN
    assert may_send(then(None), yes).reason is Reason.NOT_ALLOWED_THEN
    assert may_send(then(None, regime=Regime.OPT_OUT), yes).allowed
    assert may_send(then(True, gpc=True), yes).reason is Reason.NOT_ALLOWED_THEN
    assert said_by_event(Purpose.ANALYTICS, True, gpc=True, regime=Regime.OPT_IN).allowed
