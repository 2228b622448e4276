"""What accounts publishes: the full state of what changed, with its version, never a secret."""

from datetime import datetime
from typing import Any

from vitrin.events.envelope import Event
from vitrin.kit.access.outgoing import HOUSE, switch_key
from vitrin.kit.clock import to_us
from vitrin.protos.accounts.v1 import events_pb2

_KINDS = {"secret": events_pb2.KEY_KIND_SECRET, "publishable": events_pb2.KEY_KIND_PUBLISHABLE}
_MODES = {"live": events_pb2.KEY_MODE_LIVE, "test": events_pb2.KEY_MODE_TEST}
_CONNECTION_MODES = {
    "sandbox": events_pb2.CONNECTION_MODE_SANDBOX,
    "live": events_pb2.CONNECTION_MODE_LIVE,
}


def brand_message(row: Any) -> events_pb2.BrandChanged:
    return events_pb2.BrandChanged(
        brand_id=str(row.brand_id),
        version=row.version,
        name=row.name,
        slug=row.slug,
        storefront_url=row.storefront_url,
        default_currency=row.default_currency,
        default_market=row.default_market,
        language=row.language,
        time_zone=row.time_zone,
        has_live_connection=row.has_live_connection,
        approval_needs_other_person=row.approval_needs_other_person,
        deleted=row.deleted_at is not None,
    )


def key_message(row: Any) -> events_pb2.ApiKeyChanged:
    return events_pb2.ApiKeyChanged(
        key_id=row.key_id,
        brand_id=str(row.brand_id),
        version=row.version,
        kind=_KINDS[row.kind],
        mode=_MODES[row.mode],
        secret_hash=bytes(row.secret_hash),
        scopes=sorted(row.scopes),
        role=row.role,
        revoked_at_us=to_us(row.revoked_at),
        expires_at_us=to_us(row.expires_at),
        member_id=str(row.member_id or ""),
    )


def connection_message(row: Any) -> events_pb2.ConnectionChanged:
    return events_pb2.ConnectionChanged(
        connection_id=str(row.connection_id),
        brand_id=str(row.brand_id),
        version=row.version,
        platform=row.platform,
        mode=_CONNECTION_MODES[row.mode],
        base_url=row.base_url,
        external_ids=row.external_ids,
        state=row.state,
        market=row.market,
        language=row.language,
        currency=row.currency,
        id_template=row.id_template,
        deleted=row.deleted_at is not None,
        last_error=row.last_error,
    )


def outgoing_message(row: Any) -> events_pb2.OutgoingChanged:
    return events_pb2.OutgoingChanged(
        brand_id="" if row.brand_id == HOUSE else str(row.brand_id),
        platform=row.platform,
        version=row.version,
        stopped=row.stopped,
        reason=row.reason,
        actor=row.changed_by,
        changed_at_us=to_us(row.changed_at),
    )


def brand_changed(row: Any, *, at: datetime) -> Event:
    return Event.of(
        key=str(row.brand_id),
        type="accounts.brand_changed",
        brand_id=row.brand_id,
        message=brand_message(row),
        occurred_at=at,
        received_at=at,
    )


def api_key_changed(row: Any, *, at: datetime) -> Event:
    return Event.of(
        key=row.key_id,
        type="accounts.api_key_changed",
        brand_id=row.brand_id,
        message=key_message(row),
        occurred_at=at,
        received_at=at,
    )


def connection_changed(row: Any, *, at: datetime) -> Event:
    return Event.of(
        key=str(row.connection_id),
        type="accounts.connection_changed",
        brand_id=row.brand_id,
        message=connection_message(row),
        occurred_at=at,
        received_at=at,
    )


def outgoing_changed(row: Any, *, at: datetime) -> Event:
    return Event.of(
        key=switch_key(row.brand_id, row.platform),
        type="accounts.outgoing_changed",
        brand_id=row.brand_id,
        message=outgoing_message(row),
        occurred_at=at,
        received_at=at,
    )
