"""The work queue over all brands: which channels have something due, who works on them, and what is under way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain.values import Attempt, Claim, Gate, Stage

_ENSURE: Final = text(
    "insert into channel_work (channel_id, brand_id, platform) values (:channel_id, :brand_id, :platform)"
    " on conflict do nothing"
)
_DUE: Final = text(
    "update channel_work w set due_at = least(w.due_at, greatest(:now, w.send_after)) from"
    " (select channel_id from channel_work where channel_id = any(cast(:channel_ids as uuid[]))"
    " order by channel_id for update) as locked where w.channel_id = locked.channel_id"
)
CLAIM_CANDIDATES: Final = 1000
_BRAND_DUE: Final = text(
    "update channel_work w set due_at = least(w.due_at, greatest(:now, w.send_after)) from"
    " (select channel_id from channel_work where brand_id = any(cast(:brand_ids as uuid[])) or :everybody"
    " order by channel_id for update) as locked where w.channel_id = locked.channel_id returning w.channel_id"
)
_CLAIM: Final = text(
    "with held as (select brand_id, platform from channel_work"
    " where claimed_by = :worker and claim_id is not null and claimed_until >= :now),"
    " of_brand as (select brand_id, count(*) as places from held group by brand_id),"
    " of_platform as (select platform, count(*) as places from held group by platform),"
    " waiting as (select channel_id, brand_id, platform, due_at from channel_work where due_at <= :now"
    f" and (claimed_until is null or claimed_until < :now) order by due_at limit {CLAIM_CANDIDATES}),"
    " turns as (select waiting.*, coalesce(of_brand.places, 0) + row_number() over"
    " (partition by waiting.brand_id order by due_at, channel_id) as turn"
    " from waiting left join of_brand on of_brand.brand_id = waiting.brand_id),"
    " places as (select turns.*, coalesce(of_platform.places, 0) + row_number() over"
    " (partition by turns.platform order by turn, due_at, channel_id) as place"
    " from turns left join of_platform on of_platform.platform = turns.platform where turn <= :one_max),"
    " chosen as (select channel_id from places where place <= :one_max order by turn, due_at limit :limit)"
    " update channel_work w set claim_id = gen_random_uuid(), claimed_by = :worker, claimed_until = :until,"
    " claimed_at = :now from (select channel_id from channel_work where channel_id in (select channel_id from chosen)"
    " and (claimed_until is null or claimed_until < :now) for update skip locked) as free"
    " where w.channel_id = free.channel_id returning w.claim_id, w.brand_id, w.channel_id"
)
_RENEW: Final = text(
    "update channel_work set claimed_until = :until where claim_id = any(cast(:claim_ids as uuid[]))"
    " returning claim_id"
)
_RELEASE: Final = text(
    "update channel_work set due_at = :due_at, claim_id = null, claimed_until = null, claimed_at = null"
    " where channel_id = :channel_id and claim_id = :claim_id"
)
_RELEASE_ALL: Final = text(
    "update channel_work set claim_id = null, claimed_until = null, claimed_at = null,"
    " due_at = coalesce(due_at, :now)"
    " where claimed_by = :worker and claim_id is not null"
)
_LOCK: Final = text(
    "select claim_id, send_after, items_max, failures from channel_work where channel_id = :channel_id for update"
)
_SET_GATE: Final = text(
    "update channel_work set send_after = :send_after, items_max = :items_max, failures = :failures"
    " where channel_id = :channel_id"
)
_STOP: Final = text("update channel_work set due_at = null where channel_id = :channel_id")
_NEXT: Final = text("select min(greatest(due_at, claimed_until)) from channel_work where due_at is not null")
_NEXT_BRAND: Final = text(
    "select min(brand_id::text)::uuid from channel_work"
    " where cast(:after as uuid) is null or brand_id > cast(:after as uuid)"
)
_ATTEMPT: Final = (
    "attempt_id, brand_id, channel_id, claim_id, stage, handle, items, tries, due_at, created_at"
)
_INSERT: Final = text(
    f"insert into attempts ({_ATTEMPT}) values (:attempt_id, :brand_id, :channel_id, :claim_id, :stage, :handle,"
    " :items, :tries, :due_at, :created_at)"
)
_ATTEMPTS: Final = text(
    f"select {_ATTEMPT} from attempts where brand_id = :brand_id and channel_id = :channel_id order by due_at"
)
_MOVE: Final = text(
    "update attempts set stage = :stage, handle = coalesce(:handle, handle), tries = :tries, due_at = :due_at"
    " where attempt_id = :attempt_id and brand_id = :brand_id"
)
_END: Final = text("delete from attempts where attempt_id = :attempt_id and brand_id = :brand_id")
_END_ALL: Final = text("delete from attempts where brand_id = :brand_id and channel_id = :channel_id")


async def next_brand(tx: ReadSession, after: BrandId | None) -> BrandId | None:
    """Brands that have or had a channel, in the order of their ids; a closed channel keeps its row."""
    found = await tx.scalar(_NEXT_BRAND, {"after": after})
    return None if found is None else BrandId(found)


async def ensure(tx: WriteSession, brand: BrandId, channel: ChannelId, *, platform: str) -> None:
    await tx.execute(_ENSURE, {"channel_id": channel, "brand_id": brand, "platform": platform})


async def make_due(tx: WriteSession, channels: Sequence[ChannelId], now: datetime) -> None:
    """Last statement of whoever leaves work behind: dispatchers take these rows only briefly, and in key order."""
    if channels:
        await tx.execute(_DUE, {"channel_ids": list(channels), "now": now})


async def make_brands_due(
    tx: WriteSession, brands: Sequence[UUID], now: datetime, *, everybody: bool
) -> list[ChannelId]:
    """Every channel of these brands, or of all: whoever has nothing to do gives it back at once."""
    rows = await tx.all(_BRAND_DUE, {"brand_ids": list(brands), "now": now, "everybody": everybody})
    return [row.channel_id for row in rows]


async def claim(
    tx: WriteSession, *, worker: str, now: datetime, until: datetime, limit: int, one_max: int
) -> list[Claim]:
    """Due channels that nobody works on. Brands take turns: the second channel of one comes after the first of every
    other (among the oldest CLAIM_CANDIDATES), and no brand and no platform holds more than `one_max` places of this
    worker: neither a brand with many channels nor a platform that hangs takes them all."""
    params = {"worker": worker, "now": now, "until": until, "limit": limit, "one_max": one_max}
    return [Claim(row.claim_id, row.brand_id, row.channel_id) for row in await tx.all(_CLAIM, params)]


async def renew(tx: WriteSession, claims: Sequence[UUID], until: datetime) -> set[UUID]:
    """Claims that are still ours."""
    rows = await tx.all(_RENEW, {"claim_ids": list(claims), "until": until})
    return {row.claim_id for row in rows}


async def lock(tx: WriteSession, claim: Claim) -> Gate | None:
    """The channel's gate, locked; None when the claim is no longer ours."""
    row = await tx.one_or_none(_LOCK, {"channel_id": claim.channel_id})
    return _gate(row, claim)


def _gate(row: Any, claim: Claim) -> Gate | None:
    if row is None or row.claim_id != claim.claim_id:
        return None
    return Gate(row.send_after, row.items_max, row.failures)


async def set_gate(tx: WriteSession, channel: ChannelId, gate: Gate) -> None:
    params = {"send_after": gate.send_after, "items_max": gate.items_max, "failures": gate.failures}
    await tx.execute(_SET_GATE, params | {"channel_id": channel})


async def release(tx: WriteSession, claim: Claim, due_at: datetime | None) -> None:
    params = {"channel_id": claim.channel_id, "claim_id": claim.claim_id, "due_at": due_at}
    await tx.execute(_RELEASE, params)


async def release_all(tx: WriteSession, *, worker: str, now: datetime) -> None:
    """A worker that starts again lets go of what its previous process held."""
    await tx.execute(_RELEASE_ALL, {"worker": worker, "now": now})


async def stop(tx: WriteSession, channel: ChannelId) -> None:
    await tx.execute(_STOP, {"channel_id": channel})


async def next_due(tx: ReadSession) -> datetime | None:
    """When the next channel is due that nobody works on."""
    found: datetime | None = await tx.scalar(_NEXT)
    return found


async def begin(tx: WriteSession, attempt: Attempt) -> None:
    names = [name.strip() for name in _ATTEMPT.split(",")]
    await tx.execute(_INSERT, {name: getattr(attempt, name) for name in names})


async def attempts_of(tx: ReadSession, brand: BrandId, channel: ChannelId) -> list[Attempt]:
    rows = await tx.all(_ATTEMPTS, {"brand_id": brand, "channel_id": channel})
    return [Attempt(**row._mapping) for row in rows]


async def move(
    tx: WriteSession,
    attempt: Attempt,
    *,
    stage: Stage,
    due_at: datetime,
    tries: int = 0,
    handle: str | None = None,
) -> None:
    params = {"stage": stage, "due_at": due_at, "tries": tries, "handle": handle}
    await tx.execute(_MOVE, params | {"attempt_id": attempt.attempt_id, "brand_id": attempt.brand_id})


async def end(tx: WriteSession, attempt: Attempt) -> None:
    await tx.execute(_END, {"attempt_id": attempt.attempt_id, "brand_id": attempt.brand_id})


async def end_all(tx: WriteSession, brand: BrandId, channel: ChannelId) -> None:
    await tx.execute(_END_ALL, {"brand_id": brand, "channel_id": channel})
