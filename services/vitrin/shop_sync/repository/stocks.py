"""Taking stock of a channel: where it stands. The row is written by the session that holds the channel's claim, and by
people who start it again; both lock it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain.values import Channel

_COLUMNS: Final = (
    "state, generation, cursor, listed, index_cursor, indexed, recheck_cursor, failures, restarts, trouble,"
    " started_at, finished_at, due_at"
)
_GET: Final = text(
    f"select channel_id, {_COLUMNS} from stocks where brand_id = :brand_id and channel_id = :channel_id"
)
_LOCK: Final = text(f"{_GET.text} for update")
_OF_BRAND: Final = text(f"select channel_id, {_COLUMNS} from stocks where brand_id = :brand_id")
_BEGIN: Final = text(
    "insert into stocks (brand_id, channel_id, state, started_at, due_at)"
    " values (:brand_id, :channel_id, 'listing', :now, :now)"
    " on conflict (brand_id, channel_id) do update set state = 'listing', generation = stocks.generation + 1,"
    " cursor = null, listed = 0, index_cursor = null, indexed = 0,"
    " recheck_cursor = null, failures = 0, restarts = 0,"
    " trouble = '', started_at = excluded.started_at, finished_at = null, due_at = excluded.due_at"
)
_SAVE: Final = text(
    "update stocks set state = :state, generation = :generation, cursor = :cursor, listed = :listed,"
    " index_cursor = :index_cursor, indexed = :indexed, recheck_cursor = :recheck_cursor, failures = :failures,"
    " restarts = :restarts, trouble = :trouble, finished_at = :finished_at, due_at = :due_at"
    " where brand_id = :brand_id and channel_id = :channel_id"
)
_WAKE: Final = text(
    "update stocks set due_at = least(due_at, cast(:now as timestamptz))"
    " where brand_id = :brand_id and channel_id = :channel_id"
)
_GATE: Final = text(
    "update channels set stock = :stock, sync_cursor = null, sync_started_at = null, sync_total = 0, sync_done = 0,"
    " sync_finished_at = null where brand_id = :brand_id and channel_id = :channel_id"
)


@dataclass(slots=True, kw_only=True)
class Stock:
    """`state`: listing, indexing (keys of ours), matching, rechecking (what waited for a decision), done, failed (the
    listing does not get on; it is tried again), skipped (somebody's decision). `generation`: of the listing.
    `due_at` None: nothing to do."""

    channel_id: ChannelId
    state: str
    generation: int
    cursor: str | None
    listed: int
    index_cursor: str | None
    indexed: int
    recheck_cursor: str | None
    failures: int
    restarts: int
    trouble: str
    started_at: datetime
    finished_at: datetime | None
    due_at: datetime | None


def _key(channel: Channel) -> dict[str, Any]:
    return {"brand_id": channel.brand_id, "channel_id": channel.channel_id}


def _stock(row: Any) -> Stock:
    return Stock(**row._mapping)


async def get(tx: ReadSession, channel: Channel) -> Stock | None:
    row = await tx.one_or_none(_GET, _key(channel))
    return _stock(row) if row else None


async def lock(tx: WriteSession, channel: Channel) -> Stock | None:
    row = await tx.one_or_none(_LOCK, _key(channel))
    return _stock(row) if row else None


async def of_brand(tx: ReadSession, brand: BrandId) -> dict[ChannelId, Stock]:
    return {row.channel_id: _stock(row) for row in await tx.all(_OF_BRAND, {"brand_id": brand})}


async def begin(tx: WriteSession, channel: Channel, now: datetime) -> None:
    """List from the beginning, as a new generation."""
    await tx.execute(_BEGIN, _key(channel) | {"now": now})


async def save(tx: WriteSession, channel: Channel, stock: Stock) -> None:
    """The row is locked."""
    names = [name.strip() for name in _COLUMNS.split(",") if name.strip() != "started_at"]
    await tx.execute(_SAVE, _key(channel) | {name: getattr(stock, name) for name in names})


async def wake(tx: WriteSession, channel: Channel, now: datetime) -> None:
    await tx.execute(_WAKE, _key(channel) | {"now": now})


async def set_gate(tx: WriteSession, channel: Channel, stock: str) -> None:
    """Under `replica.hold_brands`: nobody decides about an item by what the channel said before. The first sync begins
    again, and gives items their ids."""
    await tx.execute(_GATE, _key(channel) | {"stock": stock})
