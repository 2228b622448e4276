"""Rules of accounts: who may do what, what a brand and a connection may say, how long a token is lent. Pure."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit

from vitrin.kit.access.scopes import PUBLISHABLE_SCOPES, SCOPES
from vitrin.kit.errors import FieldError

Role = Literal["owner", "editor", "approver", "billing", "viewer"]
KeyKind = Literal["secret", "publishable"]
KeyMode = Literal["live", "test"]
ConnectionMode = Literal["sandbox", "live"]

ROLE_SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "owner": SCOPES,
    "editor": SCOPES - {"accounts:write", "sync:approve"},
    "approver": frozenset(
        {
            *("accounts:read", "catalog:read", "sync:read", "sync:write", "sync:approve", "webhooks:read"),
            *("notifications:read", "notifications:write", "events:read"),
        }
    ),
    "billing": frozenset({"accounts:read"}),
    "viewer": frozenset(
        {"accounts:read", "catalog:read", "sync:read", "webhooks:read", "notifications:read", "events:read"}
    ),
}
OWNER_SCOPE: Final = "accounts:write"
"""With the role owner: may create and revoke keys."""
REPORTABLE_STATES: Final = ("active", "token_expired", "refused", "uninstalled")
"""uninstalled: the shop took our app out; it stays so until somebody connects it again."""
LEASE_S: Final = 600
LEASE_S_MAX: Final = 24 * 3600
URL_LENGTH_MAX: Final = 2_048
EXTERNAL_ID_LENGTH_MAX: Final = 128
LAST_ERROR_LENGTH_MAX: Final = 500
_EXTERNAL_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{EXTERNAL_ID_LENGTH_MAX}}}")
SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")


def slug_error(slug: str) -> FieldError | None:
    if SLUG.fullmatch(slug) and "--" not in slug:
        return None
    return FieldError(
        "slug",
        "slug_invalid",
        "A slug has 1 to 63 characters a-z, 0-9 and single hyphens inside.",
        "For example 'north-and-pine'.",
    )


def url_error(field: str, url: str) -> FieldError | None:
    """An absolute http(s) address without credentials."""
    fix = "For example 'https://shop.example.com'."
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return FieldError(field, "url_invalid", "This is not an address.", fix)
    if len(url) > URL_LENGTH_MAX:
        return FieldError(field, "url_too_long", f"An address has at most {URL_LENGTH_MAX} characters.", fix)
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\x00-\x1f\\]", url):
        return FieldError(field, "url_invalid", "The address must begin with https:// and a host.", fix)
    if parts.username is not None or parts.password is not None:
        return FieldError(field, "url_has_credentials", "The address must not carry a user or password.", fix)
    return None


def scopes_of_new_key(*, kind: KeyKind, role: str, asked: Collection[str] | None) -> frozenset[str]:
    """What is asked for, or everything that the role (or the kind) allows."""
    allowed = PUBLISHABLE_SCOPES if kind == "publishable" else ROLE_SCOPES[role]
    return allowed if asked is None else frozenset(asked)


def scope_errors(*, kind: KeyKind, role: str, scopes: Collection[str]) -> list[FieldError]:
    allowed = PUBLISHABLE_SCOPES if kind == "publishable" else ROLE_SCOPES[role]
    holder = "a publishable key" if kind == "publishable" else f"the role {role!r}"
    fix = f"Choose from: {', '.join(sorted(allowed))}."
    errors = []
    for scope in sorted(scopes):
        if scope not in SCOPES:
            errors.append(FieldError("scopes", "scope_unknown", f"There is no scope {scope[:40]!r}.", fix))
        elif scope not in allowed:
            errors.append(
                FieldError("scopes", "scope_not_allowed", f"{holder} cannot have the scope {scope!r}.", fix)
            )
    if not scopes:
        errors.append(FieldError("scopes", "scopes_empty", "A key without scopes can do nothing.", fix))
    return errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a key may do, for comparing two of them."""

    mode: KeyMode
    role: str
    scopes: frozenset[str]
    expires_at: datetime | None


def excess(creator: Power, new: Power) -> str | None:
    """Why the new key would have more power than its creator; None when it would not."""
    if creator.mode == "test" and new.mode == "live":
        return "a test key can only create test keys"
    if not ROLE_SCOPES[new.role] <= ROLE_SCOPES[creator.role]:
        return f"the role {new.role!r} is above {creator.role!r}"
    missing = new.scopes - creator.scopes
    if missing:
        return f"the creating key itself has no {', '.join(sorted(missing))}"
    if creator.expires_at is not None and (new.expires_at is None or new.expires_at > creator.expires_at):
        return "the creating key expires earlier; give the new one an 'expires_at' that is not later"
    return None


INVITATION_S: Final = 7 * 24 * 3600
OVERLAP_S_DEFAULT: Final = 24 * 3600
OVERLAP_S_OF_ITSELF: Final = 300
"""At least, for a key that rotates itself: when the answer is lost, the old key can still revoke the new one."""
HEIR_LIVES: Final = timedelta(seconds=OVERLAP_S_DEFAULT)
"""A key that is rotated away or ends sooner does not keep a brand from being locked out."""
OVERLAP_S_MAX: Final = 7 * 24 * 3600


def successor_end(
    *,
    asked: datetime | None,
    created_at: datetime,
    ends: datetime | None,
    caller_ends: datetime | None,
    now: datetime,
) -> datetime | None:
    """When the key that replaces another one expires: as asked, else after as long a life as the old one was made for;
    no later by itself than the key that asks."""
    if asked is not None:
        return asked
    own = None if ends is None else now + (ends - created_at)
    return min((end for end in (own, caller_ends) if end is not None), default=None)


def overlap_end(*, ends: datetime | None, overlap_s: int, now: datetime) -> datetime:
    """When the replaced key dies: after the overlap, or earlier if it would have anyhow."""
    last = now + timedelta(seconds=overlap_s)
    return last if ends is None else min(ends, last)


def heir_modes(mode: KeyMode) -> tuple[KeyMode, ...]:
    """Modes of an owner key that could replace one of this mode: a test key cannot make live ones."""
    return ("live",) if mode == "live" else ("live", "test")


def manages(*, kind: KeyKind, role: str, scopes: Collection[str]) -> bool:
    """A key that can make new keys for its brand, and so keeps it from being locked out."""
    return kind == "secret" and role == "owner" and OWNER_SCOPE in scopes


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def base_url_error(mode: ConnectionMode, base_url: str | None, hosts: Collection[str]) -> FieldError | None:
    """A live connection always speaks to the platform itself; a sandbox is on loopback or on the allow-list."""
    if base_url is None:
        return None
    if mode == "live":
        return FieldError(
            "base_url",
            "base_url_on_live",
            "A live connection always uses the platform's own address.",
            "Leave 'base_url' out, or use mode 'sandbox'.",
        )
    wrong = url_error("base_url", base_url)
    if wrong is not None:
        return wrong
    host = urlsplit(base_url).hostname or ""
    if is_loopback(host) or host in hosts:
        return None
    return FieldError(
        "base_url",
        "base_url_not_allowed",
        "A sandbox must be on this machine or on a host that the operator allows.",
        "Use http://127.0.0.1:<port>/..., or add the host to ACCOUNTS_SANDBOX_HOSTS.",
    )


def sandbox_base_url(sandbox_url: str, platform_url: str) -> str:
    """The sandbox speaks for every platform, under the platform's host as the first segment of the path."""
    parts = urlsplit(platform_url)
    return f"{sandbox_url.rstrip('/')}/{parts.netloc}{parts.path}".rstrip("/")


def external_id_errors(
    external_ids: Mapping[str, str], *, required: Collection[str], optional: Collection[str]
) -> list[FieldError]:
    known = ", ".join([*required, *optional])
    errors = [
        FieldError(
            f"external_ids.{name}",
            "external_id_missing",
            f"This platform needs {name!r}.",
            f"Ids of this platform: {known}.",
        )
        for name in required
        if not external_ids.get(name)
    ]
    for name, value in external_ids.items():
        field = f"external_ids.{name[:40]}"
        if name not in required and name not in optional:
            errors.append(
                FieldError(
                    field, "external_id_unknown", "This platform has no such id.", f"Its ids: {known}."
                )
            )
        elif value and not _EXTERNAL_ID.fullmatch(value):
            message = f"An id has at most {EXTERNAL_ID_LENGTH_MAX} visible ASCII characters and no spaces."
            errors.append(FieldError(field, "external_id_invalid", message, "Copy it from the platform."))
    return errors


def effective_state(state: str, expires_at: datetime | None, now: datetime) -> str:
    """An active connection whose token has run out is `token_expired`, whether anybody has noticed or not."""
    if state == "active" and expires_at is not None and expires_at <= now:
        return "token_expired"
    return state


@dataclass(frozen=True, slots=True)
class Lease:
    """Either a token until `until`, or why there is none."""

    outcome: Literal["granted", "expired", "too_short", "refused", "not_chosen"]
    until: datetime | None = None


def decide_lease(*, state: str, expires_at: datetime | None, min_valid_s: int, now: datetime) -> Lease:
    """A lease is ten minutes (LEASE_S), or longer when asked for, and never longer than the token lives.

    min_valid_s = 0 takes what is there: a token in its last ten minutes is lent with its true end, since there
    is no newer one. min_valid_s > 0 is a condition: what lives shorter is refused, but stays `active` for others.
    """
    if state in ("refused", "uninstalled"):
        return Lease("refused")
    if state == "choose_assets":
        return Lease("not_chosen")
    if effective_state(state, expires_at, now) == "token_expired":
        return Lease("expired")
    wanted = now + timedelta(seconds=min(max(min_valid_s, LEASE_S), LEASE_S_MAX))
    if expires_at is None:
        return Lease("granted", wanted)
    if min_valid_s > 0 and expires_at < now + timedelta(seconds=min_valid_s):
        return Lease("too_short")
    return Lease("granted", min(wanted, expires_at))
