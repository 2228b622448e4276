"""Consents of the sandbox: the apps that ask, the codes and tokens that they get, and when those end.

The rules are those of the platforms' OAuth pages: a code is used once, within ten minutes, by the app and with the
redirect address it was given to (and with the verifier of its challenge); a token has the scopes that were ticked.
"""

import base64
from dataclasses import dataclass, field, replace
from hashlib import sha256
from secrets import token_urlsafe

from vitrin.sandbox.accounts import Account, TokenState
from vitrin.sandbox.changes import Changes

CODE_LIFETIME_MS = 600_000
CODES_MAX = 1_000
TOKENS_MAX = 10_000
"""Kept at once; the oldest go first."""
HOUSE_APPS = {
    "meta": ("990000000000001", "sandbox-secret-of-the-meta-app"),
    "pinterest": ("1490001", "sandbox-secret-of-the-pinterest-app"),
    "shopify": ("5a4d0b0c5a4d0b0c5a4d0b0c5a4d0b0c", "shpss_sandbox-secret-of-the-shopify-app"),
}
"""The app that every sandbox knows, by platform: id and secret. Others are registered by command."""


@dataclass(slots=True)
class Code:
    """An authorisation code, before it was exchanged."""

    platform: str
    app_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    account_number: int
    challenge: str | None
    ends_ms: int


@dataclass(slots=True)
class Issued:
    """An access token by consent. `account` is the consenting account as this token sees it."""

    platform: str
    app_id: str
    account: Account
    scopes: tuple[str, ...]
    issued_ms: int
    ends_ms: int


@dataclass(slots=True)
class Refresh:
    """A refresh token."""

    platform: str
    app_id: str
    account_number: int
    scopes: tuple[str, ...]
    ends_ms: int


@dataclass(slots=True)
class Lifetimes:
    """How long tokens live from now on, in seconds; None: the platform's own time."""

    access_s: int | None = None
    refresh_s: int | None = None
    extends: bool = True
    """Whether exchanging a long-lived token again gives one that lives longer."""


@dataclass(slots=True)
class GrantBook:
    """Everything that was consented to."""

    changes: Changes
    apps: dict[tuple[str, str], str] = field(
        default_factory=lambda: {(name, app[0]): app[1] for name, app in HOUSE_APPS.items()}
    )
    lifetimes: dict[str, Lifetimes] = field(
        default_factory=lambda: {name: Lifetimes() for name in HOUSE_APPS}
    )
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[tuple[str, str], Issued] = field(default_factory=dict)
    refreshes: dict[str, Refresh] = field(default_factory=dict)

    def app_secret(self, platform: str, app_id: str) -> str | None:
        """None for an app that nobody registered."""
        return self.apps.get((platform, app_id))

    def register(self, platform: str, app_id: str, secret: str) -> None:
        """A brand's own app."""
        self.apps[platform, app_id] = secret
        self.changes.note()

    def give_code(self, code: Code) -> str:
        """The code's text."""
        text = token_urlsafe(24)
        self.codes[text] = code
        while len(self.codes) > CODES_MAX:
            del self.codes[next(iter(self.codes))]
        return text

    def take_code(
        self, text: str, *, platform: str, app_id: str, redirect_uri: str, verifier: str | None, now_ms: int
    ) -> Code | None:
        """The code, which is used up by any try; None when it is not this app's, not from here, or too old."""
        code = self.codes.pop(text, None)
        if code is None or (code.platform, code.app_id, code.redirect_uri) != (
            platform,
            app_id,
            redirect_uri,
        ):
            return None
        if now_ms >= code.ends_ms or (code.challenge is not None and code.challenge != _challenge(verifier)):
            return None
        return code

    def issue(
        self,
        account: Account,
        *,
        app_id: str,
        scopes: tuple[str, ...],
        prefix: str,
        now_ms: int,
        lifetime_s: int,
    ) -> Issued:
        """A fresh token of the account."""
        token = prefix + token_urlsafe(30).replace("-", "x").replace("_", "y")
        seen = replace(
            account,
            access_token=token,
            token_state=TokenState.VALID,
            scopes=list(scopes),
            app_secret_of_token=self.apps[account.platform, app_id],
        )
        # The lists are the account's own, so that a catalog made later is seen by this token too.
        seen.catalog_ids, seen.external_ids = account.catalog_ids, account.external_ids
        issued = Issued(account.platform, app_id, seen, scopes, now_ms, now_ms + lifetime_s * 1000)
        self.keep(issued)
        return issued

    def keep(self, issued: Issued) -> None:
        """Take a token, fresh or from a file."""
        self.tokens[issued.platform, issued.account.access_token] = issued
        while len(self.tokens) > TOKENS_MAX:
            del self.tokens[next(iter(self.tokens))]
        self.changes.note()

    def give_refresh(self, refresh: Refresh, *, prefix: str) -> str:
        """The refresh token's text."""
        text = prefix + token_urlsafe(30)
        self.refreshes[text] = refresh
        while len(self.refreshes) > TOKENS_MAX:
            del self.refreshes[next(iter(self.refreshes))]
        self.changes.note()
        return text

    def account_of(self, platform: str, token: str, *, now_ms: int) -> Account | None:
        """As `AccountBook.by_token`; a token after its end says that it expired."""
        issued = self.tokens.get((platform, token))
        if issued is None:
            return None
        if issued.account.token_state is TokenState.VALID and now_ms >= issued.ends_ms:
            issued.account.token_state = TokenState.EXPIRED
        return issued.account


def _challenge(verifier: str | None) -> str:
    return base64.urlsafe_b64encode(sha256((verifier or "").encode()).digest()).rstrip(b"=").decode()
