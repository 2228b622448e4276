"""What has not moved since a cutoff, per channel. Every part is one range of an index, counted up to COUNT_MAX."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain.stuck import Standing

COUNT_MAX: Final = 1000
BRANDS_PER_LOOK: Final = 100
_MINE: Final = "where i.brand_id = c.brand_id and i.channel_id = c.channel_id"


def _count(table: str, condition: str) -> str:
    return f"(select count(*) from (select 1 from {table} i {_MINE} and {condition} limit {COUNT_MAX}) as n)"


_PARTS: Final = {
    "items": _count(
        "channel_items", "i.lane in (0, 1, 2, 3) and i.attempt_id is null and i.pending_at < :cutoff"
    ),
    "flights": _count(
        "channel_items",
        "i.attempt_id is not null and i.updated_at < :cutoff"
        " and not exists (select 1 from attempts a where a.attempt_id = i.attempt_id)",
    ),
    "suspects": _count(
        "channel_items",
        "i.lane = 3 and i.pending_at < :cutoff"
        " and not exists (select 1 from hunts h where h.hunt_id = i.hunt_id)",
    ),
    "looks": _count("channel_items", "i.read_back_at < :cutoff and i.attempt_id is null"),
    "attempts": _count("attempts", "i.due_at < :cutoff"),
}
_STANDINGS: Final = text(
    "select c.brand_id, c.channel_id, c.platform, c.state = 'active' and c.paused_at is null as may_work,"
    " w.due_at, w.send_after, w.failures, w.claim_id is not null as claimed, w.claimed_until,"
    " (select max(a.created_at) from attempts a where a.brand_id = c.brand_id"
    " and a.channel_id = c.channel_id) as last_call_at, "
    + ", ".join(f"{part} as {name}" for name, part in _PARTS.items())
    + " from channels c join channel_work w on w.channel_id = c.channel_id"
    " where c.brand_id = any(cast(:brand_ids as uuid[])) and c.state <> 'closed' order by c.channel_id"
)
_BRANDS: Final = text(
    "select distinct brand_id from channel_work where brand_id > :after order by brand_id limit :limit"
)
_FREE_CLAIM: Final = text(
    "update channel_work set claim_id = null, claimed_until = null, claimed_at = null, due_at = :now"
    " where channel_id = :channel_id and claim_id is not null and claimed_until < :cutoff"
)
_LOOK_AT_FLIGHTS: Final = text(
    "insert into attempts (attempt_id, brand_id, channel_id, claim_id, stage, handle, items, tries, due_at, created_at)"
    " select attempt_id, brand_id, channel_id, gen_random_uuid(), 'unknown', null, count(*), 0, :now, :now"
    " from channel_items i where i.brand_id = :brand_id and i.channel_id = :channel_id"
    " and i.attempt_id is not null and i.updated_at < :cutoff"
    " and not exists (select 1 from attempts a where a.attempt_id = i.attempt_id)"
    " group by attempt_id, brand_id, channel_id on conflict do nothing"
)


async def brands(tx: ReadSession, *, after: BrandId) -> list[BrandId]:
    """The next brands that have channels."""
    rows = await tx.all(_BRANDS, {"after": after, "limit": BRANDS_PER_LOOK})
    return [row.brand_id for row in rows]


async def standings(tx: ReadSession, brand_ids: Sequence[BrandId], *, cutoff: datetime) -> list[Standing]:
    rows = await tx.all(_STANDINGS, {"brand_ids": list(brand_ids), "cutoff": cutoff})
    return [Standing(**row._mapping) for row in rows]


async def free_claim(tx: WriteSession, channel: ChannelId, *, cutoff: datetime, now: datetime) -> None:
    await tx.execute(_FREE_CLAIM, {"channel_id": channel, "cutoff": cutoff, "now": now})


async def look_at_flights(
    tx: WriteSession, brand: BrandId, channel: ChannelId, *, cutoff: datetime, now: datetime
) -> None:
    """Nobody knows what became of these calls: they are looked at like any other unknown outcome."""
    params = {"brand_id": brand, "channel_id": channel, "cutoff": cutoff, "now": now}
    await tx.execute(_LOOK_AT_FLIGHTS, params)
