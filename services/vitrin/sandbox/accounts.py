"""Accounts on the platforms: a token and the ids it may use. The first of each platform is always the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

LOG_NAMES = {"meta": "business_id", "pinterest": "ad_account_id", "shopify": "shop", "woocommerce": "store"}


class TokenState(StrEnum):
    """What a platform thinks of an access token; a limited one lacks the permission for catalogs."""

    VALID = "valid"
    EXPIRED = "expired"
    REMOVED = "removed"
    LIMITED = "limited"


@dataclass(slots=True)
class Account:
    """One tenant of one platform. ``has_feed`` marks a Pinterest account with a feed data source."""

    platform: str
    number: int
    access_token: str
    external_ids: dict[str, str]
    catalog_ids: list[str]
    has_feed: bool = False
    token_state: TokenState = TokenState.VALID
    scopes: list[str] | None = None
    """Of a token by consent; None: everything, as the ready accounts' tokens."""
    app_secret_of_token: str = ""
    """Of the app that the token was given to, where it is not the account's own."""

    def may(self, *scopes: str) -> bool:
        """Whether the token has one of the scopes."""
        return self.scopes is None or not {*scopes}.isdisjoint(self.scopes)

    @property
    def name(self) -> str:
        """What the page calls it."""
        return f"Sandbox shop {self.number}"

    @property
    def names(self) -> frozenset[str]:
        """Everything by which a command may name the account."""
        return frozenset({self.name, *self.external_ids.values(), *self.catalog_ids})

    @property
    def log_name(self) -> str:
        """How the request log names the account: Meta's business, Pinterest's ad account."""
        return self.external_ids[LOG_NAMES[self.platform]]

    @property
    def app_secret(self) -> str:
        """The secret of the account's app, 32 hexadecimal digits; Meta's appsecret_proof is made with it."""
        return self.app_secret_of_token or _digest(f"{self.platform}-secret-{self.number}", size=16)


def _digest(text: str, *, size: int = 12) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()


def meta_account(number: int) -> Account:
    """Meta's n-th account: business, catalog and app ids are numeric strings of 15 digits."""
    ids = {
        "business_id": str(100_000_000_000_000 + number),
        "catalog_id": str(200_000_000_000_000 + number),
        "app_id": str(300_000_000_000_000 + number),
        "pixel_id": str(500_000_000_000_000 + number),
        "ad_account_id": str(700_000_000_000_000 + number),
    }
    token = f"EAASandbox{number}x{_digest(f'meta-{number}')}"
    return Account("meta", number, token, ids, [ids["catalog_id"]])


def pinterest_account(number: int) -> Account:
    """Pinterest's n-th account; an ad account id has at most 18 digits (OpenAPI 5.23, ``query_ad_account_id``)."""
    ids = {
        "ad_account_id": str(549_700_000_000 + number),
        "catalog_id": str(2_680_000_000_000 + number),
        "user_id": str(2_783_136_121_000_000_000 + number),
        "tag_id": str(2_617_000_000_000 + number),
    }
    token = f"pina_SANDBOX{number}x{_digest(f'pinterest-{number}')}"
    return Account("pinterest", number, token, ids, [ids["catalog_id"]])


MAKERS = {"meta": meta_account, "pinterest": pinterest_account}


@dataclass(slots=True)
class AccountBook:
    """All accounts, found by token."""

    by_platform: dict[str, list[Account]] = field(default_factory=lambda: {name: [] for name in MAKERS})
    consented: Callable[[str, str], Account | None] = lambda _platform, _token: None
    """Finds the account of a token that was given by consent (see `grants`)."""
    _by_token: dict[tuple[str, str], Account] = field(default_factory=dict)

    def add(self, platform: str, *, has_feed: bool = False) -> Account:
        """Create the platform's next account."""
        accounts = self.by_platform[platform]
        account = MAKERS[platform](len(accounts) + 1)
        account.has_feed = has_feed
        accounts.append(account)
        self._by_token[platform, account.access_token] = account
        return account

    def restore(self, account: Account) -> None:
        """Take an account back as it was; a platform's accounts come in the order of their creation."""
        # A state file of an older sandbox lacks the ids that came later.
        made = MAKERS[account.platform](account.number)
        account.external_ids = {**made.external_ids, **account.external_ids}
        self.by_platform[account.platform].append(account)
        self._by_token[account.platform, account.access_token] = account

    def by_token(self, platform: str, access_token: str) -> Account | None:
        """The token's account whatever the token's state, or None for a token that never was."""
        return self._by_token.get((platform, access_token)) or self.consented(platform, access_token)
