"""What the removal guard remembers of a channel: what left lately and what is charged for it; and a brand's policy.

Whoever changes windows, charges or requests of a channel holds the lock of its window (`lock_window`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain.guard import Base, Charge, Kind, Left, Policy, Window
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.repository.bulk import Insert, arrays

Pair = tuple[ChannelId, str]
KEYS: Final = {"channel_ids": "uuid", "item_ids": "text"}
_POLICY: Final = text("select percent, at_least, guarded from removal_policies where brand_id = :brand_id")
_SAVE_POLICY: Final = text(
    "insert into removal_policies (brand_id, percent, at_least, guarded, updated_at, updated_by)"
    " values (:brand_id, :percent, :at_least, :guarded, :now, :actor) on conflict (brand_id) do update set"
    " percent = excluded.percent, at_least = excluded.at_least, guarded = excluded.guarded,"
    " updated_at = excluded.updated_at, updated_by = excluded.updated_by"
)
_HOLD_POLICY: Final = text("select pg_advisory_xact_lock(hashtextextended(:key, 0))")
_CHARGES: Final = text(
    "select channel_id, item_id, slot, kind from removal_charges"
    " where brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (channel_id, item_id) in (select * from {arrays(KEYS)}) and slot >= :since"
)
_ATTRIBUTES: Final = text(
    "select channel_id, item_id, attributes, sent_attributes from channel_items"
    " where brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (channel_id, item_id) in (select * from {arrays(KEYS)})"
)
_COUNT_SHOWN: Final = text(
    "select count(*) from (select 1 from channel_items where brand_id = :brand_id and channel_id = :channel_id"
    " and exposed and want <> 'absent' limit :up_to) as shown"
)
_ENSURE_WINDOW: Final = text(
    "insert into removal_windows (brand_id, channel_id) values (:brand_id, :channel_id) on conflict do nothing"
)
_LOCK_WINDOW: Final = text(
    "select slots, base_items, base_complete, base_at from removal_windows"
    " where brand_id = :brand_id and channel_id = :channel_id for update"
)
_SAVE_WINDOW: Final = text(
    "update removal_windows set slots = cast(:slots as jsonb), base_items = :base_items,"
    " base_complete = :base_complete, base_at = :base_at where brand_id = :brand_id and channel_id = :channel_id"
)
_CHARGE: Final = {
    "brand_id": "uuid",
    "channel_id": "uuid",
    "item_id": "text",
    "slot": "bigint",
    "kind": "text",
}
_SAVE_CHARGES: Final = Insert(
    "removal_charges",
    _CHARGE,
    "on conflict (brand_id, channel_id, item_id) do update set slot = excluded.slot, kind = excluded.kind",
)
_DROP_CHARGES: Final = text(
    "delete from removal_charges where brand_id = :brand_id and channel_id = :channel_id"
    " and (slot < :since or item_id = any(cast(:item_ids as text[])))"
)
_AUDIT: Final = text(
    "insert into audit_entries (audit_id, brand_id, at, actor, action, subject, before, after) values"
    " (:audit_id, :brand_id, :at, :actor, :action, :subject, cast(:before as jsonb), cast(:after as jsonb))"
)


def pairs_of(brands: Sequence[BrandId], pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "brand_ids": list(brands),
        "channel_ids": [channel for channel, _ in pairs],
        "item_ids": [item for _, item in pairs],
    }


def _key(channel: Channel) -> dict[str, Any]:
    return {"brand_id": channel.brand_id, "channel_id": channel.channel_id}


async def policy(tx: ReadSession, brand: BrandId) -> Policy:
    """The brand's own, else the default."""
    row = await tx.one_or_none(_POLICY, {"brand_id": brand})
    if row is None:
        return Policy()
    return Policy(row.percent, row.at_least, frozenset(Kind(kind) for kind in row.guarded))


async def hold_policy(tx: WriteSession, brand: BrandId) -> None:
    """One change of a brand's policy at a time, also of the one that is not there yet."""
    await tx.execute(_HOLD_POLICY, {"key": f"removal-policy:{brand}"})


async def save_policy(tx: WriteSession, brand: BrandId, new: Policy, *, now: datetime, actor: str) -> None:
    params = {"brand_id": brand, "percent": new.percent, "at_least": new.at_least, "now": now, "actor": actor}
    await tx.execute(_SAVE_POLICY, params | {"guarded": sorted(kind.value for kind in new.guarded)})


async def charges(
    tx: ReadSession, brands: Sequence[BrandId], pairs: Sequence[Pair], *, since: int
) -> dict[Pair, Charge]:
    if not pairs:
        return {}
    rows = await tx.all(_CHARGES, pairs_of(brands, pairs) | {"since": since})
    return {(row.channel_id, row.item_id): Charge(row.slot, Kind(row.kind)) for row in rows}


class Attributes(NamedTuple):
    """All attributes of an item: as they are wanted now, and as they were last sent. Empty: never."""

    wanted: Mapping[str, object] = {}
    sent: Mapping[str, object] = {}


async def attributes(
    tx: ReadSession, brands: Sequence[BrandId], pairs: Sequence[Pair]
) -> Mapping[Pair, Attributes]:
    if not pairs:
        return {}
    rows = await tx.all(_ATTRIBUTES, pairs_of(brands, pairs))
    return {
        (row.channel_id, row.item_id): Attributes(_full(row.attributes), _full(row.sent_attributes))
        for row in rows
    }


def _full(stored: bytes | None) -> Mapping[str, object]:
    found: Mapping[str, object] = json.loads(bytes(stored))["full"] if stored else {}
    return found


async def count_shown(tx: ReadSession, channel: Channel, *, up_to: int) -> int:
    """Items that the channel shows and that are not on their way out; counted no further than `up_to`."""
    return int(await tx.scalar(_COUNT_SHOWN, _key(channel) | {"up_to": up_to}))


async def lock_window(tx: WriteSession, brand: BrandId, channel: ChannelId) -> Window:
    params = {"brand_id": brand, "channel_id": channel}
    await tx.execute(_ENSURE_WINDOW, params)
    row = await tx.one_or_none(_LOCK_WINDOW, params)
    assert row is not None
    slots = {int(slot): Left(*left) for slot, left in row.slots.items()}
    base = None if row.base_at is None else Base(row.base_items, row.base_complete, row.base_at)
    return Window(slots, base)


async def save_window(tx: WriteSession, channel: Channel, window: Window) -> None:
    base = window.base
    params = {
        "slots": json.dumps({str(slot): list(left) for slot, left in window.slots.items()}),
        "base_items": base.items if base else None,
        "base_complete": base.complete if base else False,
        "base_at": base.at if base else None,
    }
    await tx.execute(_SAVE_WINDOW, _key(channel) | params)


async def save_charges(
    tx: WriteSession,
    channel: Channel,
    new: Mapping[str, Charge],
    *,
    returned: Iterable[str],
    since: int,
) -> None:
    """Charge these items, take the charge from those that came back, and forget what no longer counts."""
    await tx.execute(_DROP_CHARGES, _key(channel) | {"since": since, "item_ids": sorted(returned)})
    rows = [
        (channel.brand_id, channel.channel_id, item, slot, kind.value) for item, (slot, kind) in new.items()
    ]
    if rows:
        await _SAVE_CHARGES.rows(tx, rows)


async def audit(
    tx: WriteSession,
    brand: BrandId,
    *,
    audit_id: UUID,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    params = {"audit_id": audit_id, "brand_id": brand, "at": at, "actor": actor, "action": action}
    states = {"subject": subject, "before": json.dumps(before), "after": json.dumps(after)}
    await tx.execute(_AUDIT, params | states)
