"""SQL of what is counted: events by what became of them, and item ids that the catalog does not have."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import Row, text

from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

UNKNOWN_ITEMS_MAX: Final = 1_000
"""Kept per brand: the others are counted only."""


class CountKey(Protocol):
    @property
    def brand_id(self) -> BrandId: ...
    @property
    def hour(self) -> datetime: ...
    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def code(self) -> str: ...


_COLUMNS: Final = {
    "hour": "timestamptz",
    "brand_id": "uuid",
    "name": "text",
    "source": "text",
    "outcome": "text",
    "code": "text",
    "events": "bigint",
    "last_at": "timestamptz",
}
_ADD: Final = (
    "insert into event_counts (hour, brand_id, name, source, outcome, code, events, last_at)"
    " select hour, brand_id, name, source, outcome, code, events, last_at from {source}"
    " order by hour, brand_id, name, source, outcome, code"
    " on conflict (hour, brand_id, name, source, outcome, code) do update"
    " set events = event_counts.events + excluded.events, last_at = greatest(event_counts.last_at, excluded.last_at)"
)
_UNKNOWN_COLUMNS: Final = {"brand_id": "uuid", "item_id": "text", "events": "bigint"}
_UNKNOWN: Final = (
    "insert into event_unknown_items (brand_id, item_id, events, first_at, last_at)"
    " select new.brand_id, new.item_id, new.events, :now, :now from {source}"
    " where exists (select from event_unknown_items u where u.brand_id = new.brand_id and u.item_id = new.item_id)"
    " or (select count(*) from event_unknown_items u where u.brand_id = new.brand_id) < :at_most"
    " order by new.brand_id, new.item_id"
    " on conflict (brand_id, item_id) do update"
    " set events = event_unknown_items.events + excluded.events, last_at = excluded.last_at"
)
_COUNTS: Final = text(
    "select name, source, outcome, code, sum(events)::bigint as events, max(last_at) as last_at from event_counts"
    " where brand_id = :brand_id and hour >= :since group by name, source, outcome, code"
    " order by name, source, outcome, code"
)
_UNKNOWN_NOW: Final = text(
    "select u.item_id, u.events, u.first_at, u.last_at from event_unknown_items u"
    " where u.brand_id = :brand_id and u.last_at >= :since and not exists (select from replica_items r"
    " where r.brand_id = u.brand_id and r.item_id = u.item_id and not r.deleted)"
    " order by u.events desc, u.item_id limit :limit"
)
_FORGET_UNKNOWN: Final = text("delete from event_unknown_items where last_at < :before")


async def add(tx: WriteSession, counts: Mapping[Any, int], *, last_at: datetime) -> None:
    """`counts`: by CountKey."""
    rows = [(c.hour, c.brand_id, c.name, c.source, c.outcome, c.code, n, last_at) for c, n in counts.items()]
    if rows:
        source = await row_source(tx, "new_counts", _COLUMNS, rows)
        await tx.execute(text(_ADD.format(source=source.sql)), source.params)


async def add_unknown(tx: WriteSession, items: Mapping[tuple[BrandId, str], int], now: datetime) -> None:
    """How many events named each item that the catalog does not have."""
    if items:
        rows = [(brand, item, number) for (brand, item), number in items.items()]
        source = await row_source(tx, "new_unknown", _UNKNOWN_COLUMNS, rows)
        params = {**source.params, "now": now, "at_most": UNKNOWN_ITEMS_MAX}
        await tx.execute(text(_UNKNOWN.format(source=source.sql)), params)


async def counts(session: ReadSession, brand: BrandId, since: datetime) -> Sequence[Row[Any]]:
    return await session.all(_COUNTS, {"brand_id": brand, "since": since})


async def unknown_items(
    session: ReadSession, brand: BrandId, since: datetime, limit: int
) -> Sequence[Row[Any]]:
    """Those that the catalog does not have even now, the most frequent first."""
    return await session.all(_UNKNOWN_NOW, {"brand_id": brand, "since": since, "limit": limit})


async def forget_unknown(tx: WriteSession, before: datetime) -> int:
    return (await tx.execute(_FORGET_UNKNOWN, {"before": before})).rowcount
