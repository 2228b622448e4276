"""Whether something may be done with a person's data now: a pure function of what was said, by whom, when.

- A **statement** says yes or no to one purpose, with its proof. The latest by the person's own moment decides, wherever
  in the profile it was said; of two at one moment the no.
- **Regions**: where nobody was asked, an opt-in region means no and an opt-out region means yes. A region that is not
  known is opt-in.
- **Global Privacy Control** on an event is a no to ads for that event, and a statement like any other for what follows,
  unless the person said yes on the same shop afterwards.
- **Sending** asks twice: the event itself must have been allowed when it happened (a later yes does not reach back, a
  held event has its own yes), and the person must allow it now.
- **Erased** people are suppressed: nothing said later by the same identifiers opens anything, until the person gives a
  new consent of their own (`StatementSource.RETURN`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from vitrin.retargeting.domain.vocabulary import Purpose


class Regime(StrEnum):
    """What silence means."""

    OPT_IN = "opt_in"
    OPT_OUT = "opt_out"


class StatementSource(StrEnum):
    """How we know."""

    SITE = "site"
    """The shop's own banner, or the pixel's."""
    TCF = "tcf"
    SHOP = "shop"
    """Shopify's Customer Privacy API, WordPress' Consent API."""
    NOT_REQUIRED = "not_required"
    GPC = "gpc"
    API = "api"
    IMPORT = "import"
    RETURN = "return"
    """A person who was erased has come back and was asked anew."""


class Reason(StrEnum):
    """Why the answer is what it is."""

    GRANTED = "granted"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    """Denied after a yes."""
    NOT_ASKED = "not_asked"
    NOT_REQUIRED = "not_required"
    GPC = "gpc"
    ERASED = "erased"
    NOT_ALLOWED_THEN = "not_allowed_then"


_EEA: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
OPT_OUT_COUNTRIES: Final = frozenset({"US"})
"""Countries whose law lets one begin without asking, for advertising by the shop itself; all others are opt-in here,
the stricter reading (a brand may state another regime per country, and answers for it). Not legal advice."""
ASKED_BEFORE: Final = frozenset([*_EEA.split(), "GB", "CH"])
"""Countries where a brand cannot state opt-out: ePrivacy directive 5(3), UK PECR, Swiss practice."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`said_at` is the person's moment, `number` the order of arrival. `proof` as the source gives it (a TC string, a
    form's name and version)."""

    purpose: Purpose
    granted: bool
    said_at: datetime
    number: int
    source: StatementSource
    proof: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, why, and the statement that decided, if one did."""

    allowed: bool
    reason: Reason
    by: Statement | None = None


def regime_of(country: str, stated: Mapping[str, Regime] | None = None) -> Regime:
    """What silence means in a country (ISO 3166-1 alpha-2; empty: not known)."""
    if country in ASKED_BEFORE:
        return Regime.OPT_IN
    if stated is not None and country in stated:
        return stated[country]
    return Regime.OPT_OUT if country in OPT_OUT_COUNTRIES else Regime.OPT_IN


def now(
    purpose: Purpose,
    statements: Iterable[Statement],
    *,
    regime: Regime,
    erased_at: datetime | None = None,
) -> Answer:
    """Whether the person of these statements allows a purpose now."""
    about = sorted(
        (one for one in statements if one.purpose is purpose),
        key=lambda one: (one.said_at, not one.granted, one.number),
    )
    if erased_at is not None:
        about = [one for one in about if one.said_at > erased_at]
        returned = next((place for place, one in enumerate(about) if _returns(one)), None)
        if returned is None:
            return Answer(False, Reason.ERASED)
        about = about[returned:]
    if not about:
        return (
            Answer(True, Reason.NOT_REQUIRED) if regime is Regime.OPT_OUT else Answer(False, Reason.NOT_ASKED)
        )
    last = about[-1]
    if last.granted:
        return Answer(True, Reason.GRANTED, last)
    if last.source is StatementSource.GPC:
        return Answer(False, Reason.GPC, last)
    withdrawn = any(one.granted for one in about)
    return Answer(False, Reason.WITHDRAWN if withdrawn else Reason.DENIED, last)


def _returns(one: Statement) -> bool:
    return one.granted and one.source is StatementSource.RETURN


def may_send(then: Answer, today: Answer) -> Answer:
    """Whether an event may go to a network: allowed when it happened, and allowed now."""
    if not today.allowed:
        return today
    if not then.allowed:
        return Answer(False, Reason.NOT_ALLOWED_THEN, then.by)
    return today


def said_by_event(
    purpose: Purpose, granted: bool | None, *, gpc: bool, regime: Regime, statement: Statement | None = None
) -> Answer:
    """What held for one event when it happened. `granted` None: the event says nothing."""
    if gpc and purpose is Purpose.ADS:
        return Answer(False, Reason.GPC, statement)
    if granted is None:
        return (
            Answer(True, Reason.NOT_REQUIRED) if regime is Regime.OPT_OUT else Answer(False, Reason.NOT_ASKED)
        )
    return Answer(granted, Reason.GRANTED if granted else Reason.DENIED, statement)
