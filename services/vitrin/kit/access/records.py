"""Brand and key as they stand in events, in the replica's rows, and in memory."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from vitrin.kit.clock import from_us
from vitrin.kit.ids import BrandId, KeyId
from vitrin.protos.accounts.v1 import events_pb2

Kind = Literal["secret", "publishable"]
Mode = Literal["live", "test"]
_KINDS: dict[int, Kind] = {
    events_pb2.KEY_KIND_SECRET: "secret",
    events_pb2.KEY_KIND_PUBLISHABLE: "publishable",
}
_MODES: dict[int, Mode] = {events_pb2.KEY_MODE_LIVE: "live", events_pb2.KEY_MODE_TEST: "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    key_id: KeyId
    brand_id: BrandId
    kind: Kind
    mode: Mode
    secret_hash: bytes = field(repr=False)
    scopes: frozenset[str]
    role: str
    revoked_at: datetime | None
    expires_at: datetime | None
    member_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandDefaults:
    """What other services need of a brand: the defaults for what a request leaves out."""

    brand_id: BrandId
    name: str
    slug: str
    storefront_url: str
    default_currency: str
    default_market: str
    language: str
    time_zone: str
    has_live_connection: bool
    approval_needs_other_person: bool


def brand_row(message: events_pb2.BrandChanged) -> dict[str, Any]:
    """Columns of `access_brands`. ValueError when an id is none."""
    return {
        "brand_id": UUID(message.brand_id),
        "version": message.version,
        "name": message.name,
        "slug": message.slug,
        "storefront_url": message.storefront_url,
        "default_currency": message.default_currency,
        "default_market": message.default_market,
        "language": message.language,
        "time_zone": message.time_zone,
        "has_live_connection": message.has_live_connection,
        "deleted": message.deleted,
        "approval_needs_other_person": message.approval_needs_other_person,
    }


def key_row(message: events_pb2.ApiKeyChanged) -> dict[str, Any]:
    """Columns of `access_keys`. ValueError when an id, kind or mode is none."""
    if message.kind not in _KINDS or message.mode not in _MODES:
        raise ValueError(f"key {message.key_id}: kind {message.kind} and mode {message.mode} are unknown")
    return {
        "key_id": message.key_id,
        "brand_id": UUID(message.brand_id),
        "version": message.version,
        "kind": _KINDS[message.kind],
        "mode": _MODES[message.mode],
        "secret_hash": message.secret_hash,
        "scopes": sorted(message.scopes),
        "role": message.role,
        "revoked_at": from_us(message.revoked_at_us),
        "expires_at": from_us(message.expires_at_us),
        "member_id": message.member_id,
    }


def key_record(row: Any) -> KeyRecord:
    """From a row, or from anything with the same attributes."""
    return KeyRecord(
        key_id=KeyId(row.key_id),
        brand_id=BrandId(row.brand_id),
        kind=row.kind,
        mode=row.mode,
        secret_hash=bytes(row.secret_hash),
        scopes=frozenset(row.scopes),
        role=row.role,
        revoked_at=row.revoked_at,
        expires_at=row.expires_at,
        member_id=str(row.member_id or ""),
    )


def defaults_record(row: Any) -> BrandDefaults:
    return BrandDefaults(
        brand_id=BrandId(row.brand_id),
        name=row.name,
        slug=row.slug,
        storefront_url=row.storefront_url,
        default_currency=row.default_currency,
        default_market=row.default_market,
        language=row.language,
        time_zone=row.time_zone,
        has_live_connection=row.has_live_connection,
        approval_needs_other_person=row.approval_needs_other_person,
    )
