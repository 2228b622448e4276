"""Rules of consents and of tokens that come from them: how long a consent may take, when a token is renewed. Pure."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal

from vitrin.accounts.domain import LEASE_S

CHOOSE_ASSETS: Final = "choose_assets"
"""State of a connection whose consent is there and whose catalog is not chosen yet. Nobody else sees it."""
ATTEMPT_LIFETIME: Final = timedelta(minutes=15)
ATTEMPT_KEPT: Final = timedelta(days=1)
"""How long the outcome of an attempt can be read."""
ATTEMPTS_OPEN_MAX: Final = 20
"""Consents of a brand that are under way at once."""
CHOOSE_WITHIN: Final = timedelta(days=7)
"""A connection without a choice is dropped after this time, its token with it."""
CLAIM: Final = timedelta(seconds=60)
"""Longer than a call to a platform may take here (see `settings`): nobody else refreshes meanwhile."""
RETRY_FIRST: Final = timedelta(seconds=30)
RETRY_MAX: Final = timedelta(hours=1)
RECOVERY_FIRST: Final = timedelta(minutes=1)
RECOVERY_MAX: Final = timedelta(days=1)
ENDING_WITHIN: Final = timedelta(days=3)
"""What ends sooner than this, and nobody renews, is alerted."""
FAILING_AFTER: Final = 3
"""Renewals that went wrong in a row, from which on it is no passing matter."""
LEAD_SHARE: Final = 4
"""A token is renewed in the last quarter of its life."""

EXTENSION_MIN: Final = timedelta(minutes=10)
TRAVEL_MAX: Final = timedelta(minutes=1)

CALLBACK: Final = "/v1/oauth/callback"
BEGIN: Final = "/v1/oauth/begin"
_COOKIE: Final = "vitrin_consent"

Renewal = Literal["automatic", "by_consent", "by_hand", "not_needed"]


@dataclass(frozen=True, slots=True)
class BrowserMark:
    """The cookie that a browser gets where a consent begins and shows where it ends; one per consent, since a browser
    may have several. Its value is made of the state, which stays unknown to whoever sees it."""

    name: str
    value: str
    path: str
    secure: bool

    def is_shown(self, cookies: Mapping[str, str]) -> bool:
        return hmac.compare_digest(cookies.get(self.name, "").encode(), self.value.encode())


def browser_mark(state: str, redirect_uri: str) -> BrowserMark:
    """Under https no other host can set it (`__Host-`, which demands the path /); without, which is this machine only,
    it goes to the callback alone."""
    secure = redirect_uri.startswith("https://")
    digest = sha256(b"vitrin browser of a consent " + state.encode("utf-8", "surrogatepass")).digest()
    value = urlsafe_b64encode(digest).rstrip(b"=").decode()
    name = f"{'__Host-' if secure else ''}{_COOKIE}_{value[:8]}"
    return BrowserMark(name, value, "/" if secure else CALLBACK, secure)


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a token goes on. automatic: Vitrin renews it at `renews_at`; by_consent: somebody has to connect again before
    it ends; by_hand: it was pasted and has an end; not_needed: it has none."""

    renewal: Renewal
    renews_at: datetime | None


def due_at(issued_at: datetime, expires_at: datetime | None) -> datetime | None:
    """When a token is renewed: in the last quarter of its life, and two leases before its end where it lives long
    enough for that, so that a lease of ten minutes is always of a token that outlives it. None: it never ends."""
    if expires_at is None:
        return None
    life = expires_at - issued_at
    lead = max(life / LEAD_SHARE, min(timedelta(seconds=2 * LEASE_S), life / 2))
    return expires_at - lead


def retry_at(now: datetime, failures: int) -> datetime:
    """After the `failures`-th failure in a row: 30 s, doubled up to an hour."""
    return now + min(RETRY_FIRST * int(2 ** min(failures - 1, 20)), RETRY_MAX)


def recovery_at(now: datetime, recoveries: int) -> datetime:
    """When a token is renewed that the platform refused before its end: at once; after a renewal that was refused
    again, a minute later, doubled up to a day, since a platform may refuse every token."""
    if recoveries == 0:
        return now
    return now + min(RECOVERY_FIRST * int(2 ** min(recoveries - 1, 20)), RECOVERY_MAX)


def after_no_extension(now: datetime, expires_at: datetime | None) -> datetime | None:
    """The platform gave no token that lives longer: asked again after a quarter of the time that is left."""
    if expires_at is None or expires_at <= now:
        return None
    return now + max((expires_at - now) / LEAD_SHARE, timedelta(minutes=1))


def lives_longer(*, before: datetime | None, after: datetime | None, same_token: bool) -> bool:
    """Whether a renewal brought something. Lifetimes come in whole seconds and travel, so a token that is the same as
    before must end clearly later, and another one may end a little earlier."""
    if before is None or after is None:
        return after is None or not same_token
    return after > before + EXTENSION_MIN if same_token else after > before - TRAVEL_MAX


def forecast(
    *, expires_at: datetime | None, by_consent: bool, renews: bool, renews_at: datetime | None
) -> Forecast:
    """`by_consent`: the token came by consent; `renews`: the platform gives a new one without a person."""
    if expires_at is None:
        return Forecast("not_needed", None)
    if not by_consent:
        return Forecast("by_hand", None)
    if renews and renews_at is not None:
        return Forecast("automatic", renews_at)
    return Forecast("by_consent", None)
