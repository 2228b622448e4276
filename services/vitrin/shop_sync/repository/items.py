"""Items per channel: facts, state and the stored mapping of ids. Rows are locked in key order before they change."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.sync import Facts, InFlight, Lane, Settled, State, Want
from vitrin.shop_sync.domain.values import Channel, ChannelItem, Times, pack, unpack
from vitrin.shop_sync.repository.bulk import Insert, arrays, transpose

_COLUMNS: Final = {
    "brand_id": "uuid",
    "channel_id": "uuid",
    "item_id": "text",
    "platform_item_id": "text",
    "state": "text",
    "reasons": "jsonb",
    "lane": "smallint",
    "version": "bigint",
    "want": "text",
    "causes": "jsonb",
    "desired": "bytea",
    "attempt_id": "uuid",
    "flight": "bytea",
    "flight_unknown": "boolean",
    "confirmed": "bytea",
    "refused": "bytea",
    "seen": "boolean",
    "exposed": "boolean",
    "removed": "boolean",
    "backlog": "boolean",
    "content_version": "bigint",
    "offer_version": "bigint",
    "actor": "text",
    "changed_occurred_at": "timestamptz",
    "changed_received_at": "timestamptz",
    "flight_occurred_at": "timestamptz",
    "flight_received_at": "timestamptz",
    "pending_at": "timestamptz",
    "read_back_at": "timestamptz",
    "read_back_tries": "smallint",
    "hunt_id": "uuid",
    "resends": "smallint",
}
_STORED: Final = _COLUMNS | {"updated_at": "timestamptz", "attributes": "bytea"}
_SELECT: Final = "select " + ", ".join(_COLUMNS) + " from channel_items"
_SELECT_WHOLE: Final = "select " + ", ".join(_COLUMNS) + ", attributes from channel_items"
_KEYS: Final = {"channel_ids": "uuid", "item_ids": "text"}
_UPDATED: Final = ", ".join(f"{name} = excluded.{name}" for name in [*list(_COLUMNS)[3:], "updated_at"])
_SAVE: Final = Insert(
    "channel_items",
    _STORED,
    f"on conflict (brand_id, channel_id, item_id) do update set {_UPDATED},"
    " attributes = coalesce(excluded.attributes, channel_items.attributes), sent_attributes = case"
    " when excluded.attempt_id is not null and excluded.attempt_id is distinct from channel_items.attempt_id"
    " then coalesce(excluded.attributes, channel_items.attributes) else channel_items.sent_attributes end",
)
_LOCK: Final = text(
    f"{_SELECT} where brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (channel_id, item_id) in (select * from {arrays(_KEYS)}) order by channel_id, item_id for update"
)
_LOCK_ATTEMPT: Final = text(
    f"{_SELECT} where attempt_id = :attempt_id and brand_id = :brand_id and item_id > :after"
    " order by channel_id, item_id limit :limit for update"
)
_LOCK_ALL: Final = text(
    f"{_SELECT} where brand_id = :brand_id and channel_id = :channel_id and item_id > :after"
    " and state = any(:states) order by channel_id, item_id limit :limit for update"
)
_STATE: Final = (
    f"{_SELECT.replace(' from ', ', updated_at from ')} where brand_id = :brand_id and version > 0"
    " and (cast(:channel_id as uuid) is null or (channel_id, item_id) > (cast(:channel_id as uuid), :item_id))"
    " order by channel_id, item_id limit :limit"
)
_STATE_READ: Final = text(_STATE)
_STATE_SHARED: Final = text(f"{_STATE} for share")
_LOCK_DUE: Final = text(
    f"{_SELECT_WHOLE} where brand_id = :brand_id and channel_id = :channel_id and lane < 3"
    " and attempt_id is null and platform_item_id is not null and (lane = 0) = :fast"
    " order by lane, pending_at, item_id limit :limit"
    " for update skip locked"
)
_LOCK_HUNT: Final = text(
    f"{_SELECT_WHOLE} where hunt_id = :hunt_id and brand_id = :brand_id and channel_id = :channel_id"
    " order by channel_id, item_id for update"
)
_LOCK_ORPHANS: Final = text(
    f"{_SELECT} where brand_id = :brand_id and channel_id = :channel_id and lane = 3"
    " and not exists (select 1 from hunts h where h.hunt_id = channel_items.hunt_id)"
    " order by channel_id, item_id limit :limit for update"
)
_LEAVE_HUNT: Final = text(
    "update channel_items set hunt_id = null where attempt_id = :attempt_id and brand_id = :brand_id"
)
_ATTRIBUTES: Final = text(
    "select item_id, attributes from channel_items where brand_id = :brand_id and channel_id = :channel_id"
    " and item_id = any(cast(:item_ids as text[]))"
)
_SENT: Final = text(
    "select item_id, platform_item_id, flight, sent_attributes from channel_items"
    " where attempt_id = :attempt_id and brand_id = :brand_id"
)
_READ_BACK: Final = text(
    "select item_id, platform_item_id, confirmed,"
    " case when desired = confirmed then attributes else sent_attributes end as sent_attributes from channel_items"
    " where brand_id = :brand_id and channel_id = :channel_id and read_back_at <= :now and attempt_id is null"
    " order by read_back_at, item_id limit :limit"
)
_STOP_READ_BACK: Final = text(
    "update channel_items set read_back_at = null where brand_id = :brand_id and channel_id = :channel_id"
    " and read_back_at is not null"
)
_IDS: Final = {"brand_id": "uuid", "channel_id": "uuid", "platform_item_id": "text", "item_id": "text"}
_TAKE_IDS: Final = text(
    "insert into channel_ids (brand_id, channel_id, platform_item_id, item_id)"
    f" select * from {arrays(_IDS)} as k (b, c, p, i) order by c, p on conflict do nothing"
)
_WISHES: Final = arrays({"channel_ids": "uuid", "platform_item_ids": "text"})
_FREE_IDS: Final = text(
    "with dead as (select k.brand_id, k.channel_id, k.item_id from channel_ids k"
    " join channel_items ci on ci.brand_id = k.brand_id and ci.channel_id = k.channel_id and ci.item_id = k.item_id"
    " join replica_items r on r.brand_id = k.brand_id and r.item_id = k.item_id"
    " where k.brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (k.channel_id, k.platform_item_id) in (select * from {_WISHES})"
    " and not k.item_id = any(cast(:item_ids as text[]))"
    " and r.deleted and not ci.exposed and ci.attempt_id is null"
    " order by k.channel_id, k.item_id for update of r, ci),"
    " nameless as (update channel_items ci set platform_item_id = null, read_back_at = null from dead"
    " where ci.brand_id = dead.brand_id and ci.channel_id = dead.channel_id and ci.item_id = dead.item_id)"
    " delete from channel_ids k using dead where k.brand_id = dead.brand_id"
    " and k.channel_id = dead.channel_id and k.item_id = dead.item_id"
)
_WAITING_FOR: Final = text(
    "select item_id from channel_items where brand_id = :brand_id and channel_id = :channel_id"
    " and state = 'invalid' and causes->'why'->0->>'message' = any(cast(:messages as text[]))"
    " order by item_id limit :limit"
)
_OWNERS: Final = text(
    "select channel_id, platform_item_id, item_id from channel_ids"
    " where brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (channel_id, platform_item_id) in (select * from {_WISHES})"
)


def _causes(facts: Facts) -> str:
    parts = {"why": facts.why, "refusal": facts.refusal, "note": facts.note, "held": facts.held}
    return json.dumps({name: sync.as_json(part) for name, part in parts.items() if part})


def _times(times: Times | None) -> tuple[datetime | None, datetime | None]:
    return (times.occurred_at, times.received_at) if times else (None, None)


def _stored(row: ChannelItem, now: datetime) -> tuple[Any, ...]:
    facts, flight = row.facts, row.facts.in_flight
    return (
        row.brand_id,
        row.channel_id,
        row.item_id,
        row.platform_item_id,
        row.settled.state.value,
        json.dumps(sync.as_json(row.settled.reasons)),
        None if row.settled.lane is None else int(row.settled.lane),
        row.version,
        facts.want.value,
        _causes(facts),
        pack(facts.desired),
        flight.attempt_id if flight else None,
        pack(flight.hashes) if flight else None,
        flight.unknown if flight else False,
        pack(facts.confirmed),
        pack(facts.refused),
        facts.seen,
        facts.exposed,
        facts.removed,
        facts.backlog,
        row.content_version,
        row.offer_version,
        row.actor,
        *_times(row.changed),
        *_times(row.flight),
        row.pending_at,
        row.read_back_at,
        row.read_back_tries,
        facts.hunt_id,
        facts.resends,
        now,
        row.attributes,
    )


def _loaded(row: Any) -> ChannelItem:
    flight = unpack(row.flight)
    causes = {name: sync.from_json(part) for name, part in row.causes.items()}
    facts = Facts(
        want=Want(row.want),
        why=causes.get("why", ()),
        desired=unpack(row.desired),
        in_flight=InFlight(row.attempt_id, flight, row.flight_unknown) if flight else None,
        confirmed=unpack(row.confirmed),
        refused=unpack(row.refused),
        refusal=causes.get("refusal", ()),
        seen=row.seen,
        note=causes.get("note", ()),
        exposed=row.exposed,
        removed=row.removed,
        backlog=row.backlog,
        hunt_id=row.hunt_id,
        held=causes.get("held", ()),
        resends=row.resends,
    )
    lane = None if row.lane is None else Lane(row.lane)
    changed = row.changed_occurred_at, row.changed_received_at
    flown = row.flight_occurred_at, row.flight_received_at
    return ChannelItem(
        brand_id=row.brand_id,
        channel_id=row.channel_id,
        item_id=row.item_id,
        facts=facts,
        settled=Settled(State(row.state), sync.from_json(row.reasons), lane),
        version=row.version,
        platform_item_id=row.platform_item_id,
        content_version=row.content_version,
        offer_version=row.offer_version,
        actor=row.actor,
        changed=Times(*changed) if changed[0] else None,
        flight=Times(*flown) if flown[0] else None,
        pending_at=row.pending_at,
        read_back_at=row.read_back_at,
        read_back_tries=row.read_back_tries,
    )


def _whole(row: Any) -> ChannelItem:
    """With what is to be sent of it."""
    item = _loaded(row)
    item.stored = bytes(row.attributes or b"")
    return item


async def lock(
    tx: WriteSession, brands: Sequence[BrandId], keys: Iterable[tuple[ChannelId, str]]
) -> dict[tuple[ChannelId, str], ChannelItem]:
    """What there is of these items on these channels, locked in key order."""
    pairs = list(keys)
    params = {
        "brand_ids": list(brands),
        "channel_ids": [channel for channel, _ in pairs],
        "item_ids": [item for _, item in pairs],
    }
    rows = map(_loaded, await tx.all(_LOCK, params))
    return {(row.channel_id, row.item_id): row for row in rows}


async def lock_attempt(
    tx: WriteSession, brand: BrandId, attempt: UUID, *, after: str, limit: int
) -> list[ChannelItem]:
    """The next items that are in flight with this attempt, locked."""
    params = {"attempt_id": attempt, "brand_id": brand, "after": after, "limit": limit}
    return [_loaded(row) for row in await tx.all(_LOCK_ATTEMPT, params)]


async def lock_hunt(tx: WriteSession, channel: Channel, hunt: UUID) -> list[ChannelItem]:
    """Everything that a hunt holds, locked."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "hunt_id": hunt}
    return [_whole(row) for row in await tx.all(_LOCK_HUNT, params)]


async def lock_orphan_suspects(tx: WriteSession, channel: Channel, *, limit: int) -> list[ChannelItem]:
    """Items that wait for a hunt which does not exist."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "limit": limit}
    return [_loaded(row) for row in await tx.all(_LOCK_ORPHANS, params)]


async def leave_hunt(tx: WriteSession, brand: BrandId, attempt: UUID) -> None:
    """What is in flight with the attempt is no longer suspected; its verdict is its own."""
    await tx.execute(_LEAVE_HUNT, {"attempt_id": attempt, "brand_id": brand})


async def lock_states(
    tx: WriteSession, channel: Channel, *, states: Sequence[State], after: str, limit: int
) -> list[ChannelItem]:
    """The next items of a channel that are in one of these states, locked."""
    params = {
        "brand_id": channel.brand_id,
        "channel_id": channel.channel_id,
        "states": [state.value for state in states],
        "after": after,
        "limit": limit,
    }
    return [_loaded(row) for row in await tx.all(_LOCK_ALL, params)]


async def state_page(
    tx: ReadSession, brand: BrandId, *, after: tuple[ChannelId, str] | None, limit: int, lock: bool
) -> list[tuple[ChannelItem, datetime]]:
    """The brand's next items over all its channels, with the time of their last change; `lock`: against changes."""
    channel_id, item_id = after or (None, "")
    params = {"brand_id": brand, "channel_id": channel_id, "item_id": item_id, "limit": limit}
    return [
        (_loaded(row), row.updated_at) for row in await tx.all(_STATE_SHARED if lock else _STATE_READ, params)
    ]


async def lock_due(tx: WriteSession, channel: Channel, *, limit: int, fast: bool) -> list[ChannelItem]:
    """The next items to send: price and stock (`fast`), or content and then the backlog; never both in one batch.

    Items that somebody else holds are left for the next time; never waits.
    """
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "fast": fast, "limit": limit}
    return [_whole(row) for row in await tx.all(_LOCK_DUE, params)]


async def attributes(tx: ReadSession, channel: Channel, item_ids: Sequence[str]) -> Mapping[str, bytes]:
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "item_ids": list(item_ids)}
    return {row.item_id: bytes(row.attributes or b"") for row in await tx.all(_ATTRIBUTES, params)}


async def sent(tx: ReadSession, brand: BrandId, attempt: UUID) -> Sequence[tuple[str, str, bytes, bytes]]:
    """(item id, platform item id, packed hashes, attributes) of everything in flight with the attempt."""
    rows = await tx.all(_SENT, {"attempt_id": attempt, "brand_id": brand})
    return [(r.item_id, r.platform_item_id, bytes(r.flight), bytes(r.sent_attributes or b"")) for r in rows]


async def read_back_due(
    tx: ReadSession, channel: Channel, *, now: datetime, limit: int
) -> Sequence[tuple[str, str, bytes, bytes]]:
    """(item id, platform item id, packed confirmed hashes (b"" where it should be gone), attributes) of items to look
    at now."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "now": now, "limit": limit}
    rows = await tx.all(_READ_BACK, params)
    return [
        (r.item_id, r.platform_item_id, bytes(r.confirmed or b""), bytes(r.sent_attributes or b""))
        for r in rows
    ]


async def stop_read_back(tx: WriteSession, channel: Channel) -> None:
    await tx.execute(_STOP_READ_BACK, {"brand_id": channel.brand_id, "channel_id": channel.channel_id})


async def save(tx: WriteSession, rows: Sequence[ChannelItem], now: datetime) -> None:
    """Insert or replace; the replica's or the row's own lock is held. An item that goes into an attempt keeps what it
    is sent with, for the read-back after it."""
    if rows:
        await _SAVE.rows(tx, [_stored(row, now) for row in rows])


async def waiting_for(
    tx: ReadSession, channel: Channel, messages: Sequence[str], *, limit: int
) -> Sequence[str]:
    """Items that cannot be sent for a first reason with one of these messages."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id}
    rows = await tx.all(_WAITING_FOR, {**params, "messages": list(messages), "limit": limit})
    return [row.item_id for row in rows]


async def take_ids(
    tx: WriteSession,
    wishes: Sequence[tuple[BrandId, ChannelId, str, str]],
    *,
    in_hand: Collection[str],
) -> dict[tuple[ChannelId, str], str]:
    """Claim (brand, channel, platform item id, item id), first come first served; an item that was deleted in the
    shop and is gone from the platform gives its id up, unless the caller has it `in_hand` (and will save its row).

    Answers who owns each platform item id: (channel, platform item id) -> item id.
    """
    if not wishes:
        return {}
    params = {
        "brand_ids": list({wish[0] for wish in wishes}),
        "channel_ids": [wish[1] for wish in wishes],
        "platform_item_ids": [wish[2] for wish in wishes],
    }
    await tx.execute(_FREE_IDS, params | {"item_ids": sorted(in_hand)})
    await tx.execute(_TAKE_IDS, transpose(_IDS, wishes))
    return {(row.channel_id, row.platform_item_id): row.item_id for row in await tx.all(_OWNERS, params)}
