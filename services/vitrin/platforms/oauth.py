"""What every platform's consent has in common: a URL to send somebody to, a code for tokens, assets to choose from.

I/O methods raise `PlatformFailure` and nothing else. No secret and no token is ever part of a URL, since URLs are
logged: they travel in headers and form bodies. A call that changes something at the platform (an exchange, a refresh)
is sent once; whoever has no answer starts again with a new consent, or refreshes again.
"""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import quote_plus, urlencode

from vitrin.kit.http_client import Call, PlatformHttp, Rate
from vitrin.kit.logs import MASK
from vitrin.platforms.base import FailureKind, PlatformFailure

RATE: Final = Rate(endpoint="oauth", calls=600, per_s=60.0)
"""Per brand; chosen by us: no platform publishes a limit for its token endpoint (unverified). Somebody waits for the
ten or so calls that list assets."""
REPLY_BYTES_MAX: Final = 2 * 1024 * 1024
ASSET_PAGES_MAX: Final = 10
"""Pages that are read of one list of assets; what lies behind them is not offered."""


LIFETIME_S_MAX: Final = 10 * 365 * 24 * 3600
"""What a platform names beyond is nonsense, or for ever; it must stay a date."""
SECRET_FIELDS: Final = ("client_secret", "code", "code_verifier", "fb_exchange_token", "refresh_token")
VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """A permission, what Vitrin needs it for, and whether a connection can do without it."""

    name: str
    purpose: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """The app that asks: the house's or a brand's own."""

    app_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a token endpoint gave. Lifetimes in seconds; None: the platform named no end.

    `scopes` None: the answer does not say, ask `granted_scopes`."""

    access_token: str = field(repr=False)
    expires_in_s: int | None
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_in_s: int | None = None
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Something that a token can reach. `kind` is the name of the external id that choosing it sets.

    `implies`: further external ids that follow from the choice, such as the business that owns a catalog."""

    kind: str
    id: str
    name: str
    implies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The parameters of one consent."""

    app_id: str
    redirect_uri: str
    state: str
    scopes: Sequence[str]
    challenge: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How to call the platform for one brand: its transport and where it is (a sandbox or the platform's own)."""

    http: PlatformHttp
    base_url: str
    brand: str = ""

    def call(
        self,
        platform: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Call:
        """A GET is safe to repeat; anything else is sent once."""
        sent = dict(headers or {})
        if form is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
        return Call(
            platform=platform,
            account=self.brand or "house",
            rate=RATE,
            method=method,
            url=f"{self.base_url.rstrip('/')}/{path}",
            safe=method == "GET",
            brand=self.brand,
            params=params or {},
            headers=sent,
            content=urlencode(form).encode() if form is not None else None,
            reply_bytes_max=REPLY_BYTES_MAX,
        )


class OAuthFlow(Protocol):
    """One platform's consent."""

    @property
    def platform(self) -> str: ...

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What is asked for, the required ones first."""
        ...

    @property
    def pkce(self) -> bool:
        """Whether the platform takes a code challenge (S256)."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """External ids that must be known before somebody can be asked: those that lead to the dialog. None for
        platforms with one dialog for all."""
        ...

    def consent_url(self, external_ids: Mapping[str, str]) -> str:
        """The platform's own dialog, without parameters. Raises ChannelMisconfigured for `needs` that are missing or
        wrong. Pure."""
        ...

    def authorize_url(self, consent_url: str, wanted: Authorization) -> str:
        """Where to send the person who consents. Pure."""
        ...

    def callback_problem(
        self, answer: Mapping[str, str], external_ids: Mapping[str, str], secret: str
    ) -> str | None:
        """Why the callback is not what the platform sent for this consent, in words; None: nothing speaks against it.

        `answer` is the whole query, decoded; `external_ids` those of the attempt; `secret` that of the app. Platforms
        that sign nothing here have only the state to show for it. Pure, in constant time where a secret is involved."""
        ...

    async def exchange(
        self, reach: Reach, app: AppCredentials, *, code: str, redirect_uri: str, verifier: str | None
    ) -> Tokens:
        """The longest-lived tokens that the code is good for."""
        ...

    def can_refresh(self, *, expired: bool, has_refresh_token: bool) -> bool:
        """Whether a new token can be had without a person. Pure."""
        ...

    async def refresh(
        self, reach: Reach, app: AppCredentials, *, access_token: str, refresh_token: str | None
    ) -> Tokens:
        """A token that lives longer than the one before, or the same once more where the platform gives no other."""
        ...

    async def granted_scopes(self, reach: Reach, access_token: str) -> frozenset[str]:
        """What the person really ticked."""
        ...

    async def assets(self, reach: Reach, access_token: str, scopes: Collection[str]) -> list[Asset]:
        """Everything to choose from, as far as the granted scopes let see it."""
        ...


def challenge_of(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def missing(flow: OAuthFlow, granted: Collection[str]) -> list[Scope]:
    """Scopes of the flow that were not granted, the required ones first."""
    return [scope for scope in flow.scopes if scope.name not in granted]


def unique(found: Sequence[Asset]) -> list[Asset]:
    """Without those that have no id; what is reached on two ways stands where it was found first."""
    first: dict[tuple[str, str], Asset] = {}
    for one in found:
        if one.id:
            first.setdefault((one.kind, one.id), one)
    return list(first.values())


def text_of(answer: Mapping[str, Any], name: str) -> str:
    """A text of an answer, "" where there is none."""
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def without(failure: PlatformFailure, secrets: Collection[str]) -> PlatformFailure:
    """The same failure, without the secrets of the call that the platform may repeat in its words."""
    said = failure.message
    for secret in sorted({*secrets, *map(quote_plus, secrets)} - {""}, key=len, reverse=True):
        said = said.replace(secret, MASK)
    return PlatformFailure(
        failure.kind,
        code=failure.code,
        message=said,
        fix=failure.fix,
        platform_code=failure.platform_code,
        retry_after_s=failure.retry_after_s,
        fields=failure.fields,
    )


def secrets_of(form: Mapping[str, str]) -> list[str]:
    return [form[name] for name in SECRET_FIELDS if name in form]


def token_of(answer: Mapping[str, Any], name: str) -> str:
    """A token of an answer, "" where there is none. PlatformFailure for one that no header could carry."""
    token = text_of(answer, name)
    if token and not VISIBLE.fullmatch(token):
        raise PlatformFailure(
            FailureKind.UNKNOWN_OUTCOME,
            code="unreadable_answer",
            message=f"The platform's {name} is not visible ASCII",
        )
    return token


def lifetime_of(answer: Mapping[str, Any], name: str) -> int | None:
    """A lifetime in seconds, at most LIFETIME_S_MAX; 0 and nonsense mean that no end is named."""
    value = answer.get(name)
    named = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return min(value, LIFETIME_S_MAX) if named and value is not None else None
