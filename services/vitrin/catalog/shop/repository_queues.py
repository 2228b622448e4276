"""SQL of the queue over all brands: which shops have deliveries to apply, or want to be tended, and who does it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text

from vitrin.catalog.shop.packing import ShopKey
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId

Work = Literal["deliveries", "tending"]
CANDIDATES: Final = 1_000
_WAKE: Final = text(
    "insert into shop_queues (connection_id, work, brand_id, due_at)"
    " select c, :work, b, :due_at from unnest(cast(:connection_ids as uuid[]), cast(:brand_ids as uuid[])) as k (c, b)"
    " order by c on conflict (connection_id, work) do update"
    " set due_at = least(shop_queues.due_at, excluded.due_at)"
)
_CLAIM: Final = text(
    "with waiting as (select connection_id, brand_id, due_at, served_at from shop_queues where work = :work"
    " and coalesce(due_at, claimed_until) <= :now and (claimed_until is null or claimed_until < :now)"
    f" order by coalesce(due_at, claimed_until) limit {CANDIDATES}),"
    " turns as (select waiting.*, max(served_at) over (partition by brand_id) as brand_served,"
    " row_number() over (partition by brand_id order by served_at nulls first, due_at) as turn from waiting),"
    " chosen as (select connection_id from turns order by turn, brand_served nulls first, due_at limit :limit)"
    " update shop_queues q set claim_id = gen_random_uuid(), claimed_by = :worker, claimed_until = :until,"
    " served_at = :now, due_at = null from (select connection_id from shop_queues where work = :work"
    " and connection_id in (select connection_id from chosen) and (claimed_until is null or claimed_until < :now)"
    " for update skip locked) as free where q.connection_id = free.connection_id and q.work = :work"
    " returning q.claim_id, q.brand_id, q.connection_id"
)
_RENEW: Final = text(
    "update shop_queues set claimed_until = :until where claim_id = any(cast(:claim_ids as uuid[])) returning claim_id"
)
_HOLD: Final = text(
    "select due_at from shop_queues where connection_id = :connection_id and work = :work and claim_id = :claim_id"
    " for update"
)
_RELEASE: Final = text(
    "update shop_queues set due_at = least(due_at, cast(:due_at as timestamptz)), claim_id = null,"
    " claimed_until = null"
    " where connection_id = :connection_id and work = :work and claim_id = :claim_id"
)
_RELEASE_ALL: Final = text(
    "update shop_queues set claim_id = null, claimed_until = null, due_at = coalesce(due_at, :now)"
    " where work = :work and claimed_by = :worker and claim_id is not null"
)
_NEXT: Final = text(
    "select min(greatest(due_at, claimed_until)) from shop_queues where work = :work"
    " and coalesce(due_at, claimed_until) is not null"
)


class Claim(NamedTuple):
    """A shop that this process works on."""

    claim_id: UUID
    brand: BrandId
    connection: ConnectionId

    @property
    def key(self) -> ShopKey:
        return self.brand, self.connection


async def wake(tx: WriteSession, keys: Sequence[ShopKey], *, work: Work, due_at: datetime) -> None:
    ordered = sorted(set(keys), key=lambda key: key[1].bytes)
    params = {"connection_ids": [key[1] for key in ordered], "brand_ids": [key[0] for key in ordered]}
    await tx.execute(_WAKE, params | {"work": work, "due_at": due_at})


async def claim(
    tx: WriteSession, *, work: Work, worker: str, now: datetime, until: datetime, limit: int
) -> list[Claim]:
    """Shops with something due that nobody works on: brands take turns, the one served longest ago first."""
    params = {"work": work, "worker": worker, "now": now, "until": until, "limit": limit}
    return [
        Claim(row.claim_id, BrandId(row.brand_id), ConnectionId(row.connection_id))
        for row in await tx.all(_CLAIM, params)
    ]


async def renew(tx: WriteSession, claims: Sequence[UUID], until: datetime) -> set[UUID]:
    """Claims that are still ours."""
    return {row.claim_id for row in await tx.all(_RENEW, {"claim_ids": list(claims), "until": until})}


async def hold(tx: WriteSession, claim: Claim, *, work: Work) -> bool:
    """Locks the queue, so that what others leave in it comes after; False when the claim is no longer ours."""
    params = {"connection_id": claim.connection, "work": work, "claim_id": claim.claim_id}
    return await tx.one_or_none(_HOLD, params) is not None


async def release(tx: WriteSession, claim: Claim, *, work: Work, due_at: datetime | None) -> None:
    """Who was woken meanwhile stays so."""
    params = {"connection_id": claim.connection, "work": work, "claim_id": claim.claim_id}
    await tx.execute(_RELEASE, params | {"due_at": due_at})


async def release_all(tx: WriteSession, *, work: Work, worker: str, now: datetime) -> None:
    """A worker that starts again lets go of what its previous process held."""
    await tx.execute(_RELEASE_ALL, {"work": work, "worker": worker, "now": now})


async def next_due(tx: ReadSession, *, work: Work) -> datetime | None:
    found: datetime | None = await tx.scalar(_NEXT, {"work": work})
    return found
