"""Channels of a brand: rows, states and the progress of the first sync."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId, ConnectionId
from vitrin.shop_sync.domain.values import Channel, ChannelState, Claim, Due, Gate

_COLUMNS: Final = (
    "brand_id, channel_id, connection_id, platform, mode, base_url, external_ids, market, language, currency,"
    " id_template, state, state_reason, created_at, opened_occurred_at, sync_cursor, sync_started_at,"
    " sync_total, sync_done, sync_finished_at, paused_at, paused_by, paused_reason, stock"
)
_OPEN_OF: Final = text(
    f"select {_COLUMNS} from channels where brand_id = any(cast(:brand_ids as uuid[]))"
    " and state <> 'closed' order by channel_id"
)
_BY_CONNECTION: Final = text(
    f"select {_COLUMNS} from channels where brand_id = :brand_id and connection_id = :connection_id"
)
_GET: Final = text(f"select {_COLUMNS} from channels where brand_id = :brand_id and channel_id = :channel_id")
_SITUATION: Final = text(
    f"select {', '.join('c.' + name.strip() for name in _COLUMNS.split(','))},"
    " w.claim_id, w.send_after, w.items_max, w.failures,"
    " (select min(pending_at) from channel_items i where i.brand_id = c.brand_id"
    " and i.channel_id = c.channel_id and i.lane = 0) as prices_at,"
    " (select min(pending_at) from channel_items i where i.brand_id = c.brand_id"
    " and i.channel_id = c.channel_id and i.lane in (1, 2)) as content_at,"
    " (select min(coalesce(due_at, updated_at)) from hunts h where h.brand_id = c.brand_id"
    " and h.channel_id = c.channel_id"
    " and not exists (select 1 from attempts a where a.attempt_id = h.attempt_id)) as hunt_at,"
    " (select min(read_back_at) from channel_items i where i.brand_id = c.brand_id"
    " and i.channel_id = c.channel_id and i.read_back_at is not null) as read_back_at,"
    " (select due_at from stocks s where s.brand_id = c.brand_id and s.channel_id = c.channel_id) as stock_at,"
    " (select trouble <> '' from stocks s where s.brand_id = c.brand_id"
    " and s.channel_id = c.channel_id) as stock_trouble"
    " from channels c join channel_work w on w.channel_id = c.channel_id"
    " where c.brand_id = :brand_id and c.channel_id = :channel_id"
)
_LOCK: Final = text(
    f"select {_COLUMNS} from channels where brand_id = :brand_id and channel_id = :channel_id for update"
)
_LIST: Final = text(
    f"select {_COLUMNS} from channels where brand_id = :brand_id and (not :sandbox_only or mode = 'sandbox')"
    " order by created_at, channel_id"
)
_INSERT: Final = text(
    f"insert into channels ({_COLUMNS}) values (:brand_id, :channel_id, :connection_id, :platform, :mode,"
    " :base_url, cast(:external_ids as jsonb), :market, :language, :currency, :id_template, :state,"
    " :state_reason, :created_at, :opened_occurred_at, :sync_cursor, :sync_started_at, :sync_total, :sync_done,"
    " :sync_finished_at, :paused_at, :paused_by, :paused_reason, :stock)"
)
_UPDATE: Final = text(
    "update channels set opened_occurred_at = :opened_occurred_at, base_url = :base_url,"
    " external_ids = cast(:external_ids as jsonb), market = :market,"
    " language = :language, currency = :currency, id_template = :id_template, state = :state,"
    " state_reason = :state_reason, sync_cursor = :sync_cursor, sync_started_at = :sync_started_at,"
    " sync_total = :sync_total, sync_done = :sync_done, sync_finished_at = :sync_finished_at,"
    " stock = :stock where brand_id = :brand_id and channel_id = :channel_id"
)
_STATE: Final = text(
    "update channels set state = :state, state_reason = :reason"
    " where brand_id = :brand_id and channel_id = :channel_id and state <> 'closed'"
)
_PAUSE: Final = text(
    "update channels set paused_at = :at, paused_by = :by, paused_reason = :reason"
    " where brand_id = :brand_id and channel_id = :channel_id"
)
_PROGRESS: Final = text(
    "update channels set sync_cursor = :cursor, sync_done = :done, sync_total = greatest(:total, :done),"
    " sync_started_at = coalesce(sync_started_at, :now), sync_finished_at = :finished_at"
    " where brand_id = :brand_id and channel_id = :channel_id and state <> 'closed'"
)
_EVER_SENT: Final = text(
    "select exists (select 1 from channel_items where brand_id = :brand_id and channel_id = :channel_id"
    " and (exposed or removed or attempt_id is not null or refused is not null or hunt_id is not null))"
)
_FORGET_ITEMS: Final = text(
    "update channel_items set platform_item_id = null, state = 'excluded', reasons = '[]', lane = null,"
    " want = 'absent', causes = '{}', desired = null, content_version = 0, offer_version = 0, pending_at = null,"
    " changed_occurred_at = null, changed_received_at = null, attributes = null, updated_at = :now"
    " where brand_id = :brand_id and channel_id = :channel_id"
)
_FORGET_IDS: Final = text("delete from channel_ids where brand_id = :brand_id and channel_id = :channel_id")


def _channel(row: Any) -> Channel:
    return Channel(**row._mapping)


def _key(channel: Channel) -> dict[str, Any]:
    return {"brand_id": channel.brand_id, "channel_id": channel.channel_id}


def _params(channel: Channel) -> dict[str, Any]:
    names = [name.strip() for name in _COLUMNS.split(",")]
    values = {name: getattr(channel, name) for name in names}
    return values | {"external_ids": json.dumps(dict(channel.external_ids))}


async def open_of(tx: ReadSession, brands: Sequence[BrandId]) -> list[Channel]:
    """Channels of these brands that are not closed, in key order."""
    return [_channel(row) for row in await tx.all(_OPEN_OF, {"brand_ids": list(brands)})]


async def of_connection(tx: ReadSession, brand: BrandId, connection: ConnectionId) -> Channel | None:
    row = await tx.one_or_none(_BY_CONNECTION, {"brand_id": brand, "connection_id": connection})
    return _channel(row) if row else None


async def get(tx: ReadSession, brand: BrandId, channel: ChannelId) -> Channel | None:
    row = await tx.one_or_none(_GET, {"brand_id": brand, "channel_id": channel})
    return _channel(row) if row else None


async def situation(tx: ReadSession, claim: Claim) -> tuple[Channel, Gate, Due] | None:
    """The channel, its gate and what is due, in one statement; None when the claim is no longer ours."""
    key = {"brand_id": claim.brand_id, "channel_id": claim.channel_id}
    row = await tx.one_or_none(_SITUATION, key)
    if row is None or row.claim_id != claim.claim_id:
        return None
    values = dict(row._mapping)
    channel = Channel(**{name.strip(): values[name.strip()] for name in _COLUMNS.split(",")})
    gate = Gate(row.send_after, row.items_max, row.failures)
    due = Due(
        prices_at=row.prices_at,
        content_at=row.content_at,
        hunt_at=row.hunt_at,
        read_back_at=row.read_back_at,
        stock_at=row.stock_at,
        stock_trouble=bool(row.stock_trouble),
    )
    return channel, gate, due


async def lock(tx: WriteSession, brand: BrandId, channel: ChannelId) -> Channel | None:
    row = await tx.one_or_none(_LOCK, {"brand_id": brand, "channel_id": channel})
    return _channel(row) if row else None


async def list_of(tx: ReadSession, brand: BrandId, *, sandbox_only: bool) -> list[Channel]:
    rows = await tx.all(_LIST, {"brand_id": brand, "sandbox_only": sandbox_only})
    return [_channel(row) for row in rows]


async def create(tx: WriteSession, channel: Channel) -> None:
    await tx.execute(_INSERT, _params(channel))


async def update(tx: WriteSession, channel: Channel) -> None:
    await tx.execute(_UPDATE, _params(channel))


async def set_state(tx: WriteSession, channel: Channel, state: ChannelState, reason: str) -> None:
    await tx.execute(_STATE, _key(channel) | {"state": state, "reason": reason})


async def pause(tx: WriteSession, channel: Channel, *, at: datetime, by: str, reason: str) -> None:
    """Beside the state, which follows the connection: a paused channel stays paused whatever its token does."""
    await tx.execute(_PAUSE, _key(channel) | {"at": at, "by": by, "reason": reason})


async def resume(tx: WriteSession, channel: Channel) -> None:
    await tx.execute(_PAUSE, _key(channel) | {"at": None, "by": "", "reason": ""})


async def progress(
    tx: WriteSession, channel: Channel, *, cursor: str, done: int, total: int, now: datetime, finished: bool
) -> None:
    params = {"cursor": cursor, "done": done, "total": total, "now": now}
    await tx.execute(_PROGRESS, _key(channel) | params | {"finished_at": now if finished else None})


async def ever_sent(tx: ReadSession, channel: Channel) -> bool:
    return bool(await tx.scalar(_EVER_SENT, _key(channel)))


async def forget_items(tx: WriteSession, channel: Channel, now: datetime) -> None:
    """Before anything was sent: items and ids of the channel start again. Their versions go on, since whoever follows
    their states takes a lower one for old news."""
    await tx.execute(_FORGET_ITEMS, _key(channel) | {"now": now})
    await tx.execute(_FORGET_IDS, _key(channel))
