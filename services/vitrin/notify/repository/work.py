"""The work queue over all brands: which endpoints have deliveries due, who works on them, and what became of each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

CANDIDATES: Final = 1_000


def _waiting(which: str) -> str:
    """The slow ones are looked for apart: a thousand of them that are overdue must not hide one that is well."""
    return (
        f"(select endpoint_id, brand_id, slow, due_at from webhook_queues where due_at <= :now and {which}"
        f" and (claimed_until is null or claimed_until < :now) order by due_at limit {CANDIDATES})"
    )


_CLAIM: Final = text(
    f"with waiting as ({_waiting('not slow')} union all {_waiting('slow')}),"
    " held as (select count(*) as places from webhook_queues where claimed_by = :worker and claim_id is not null"
    " and claimed_until >= :now and slow),"
    " turns as (select waiting.*, row_number() over (partition by brand_id order by due_at, endpoint_id) as turn,"
    " row_number() over (partition by slow order by due_at, endpoint_id) as place from waiting),"
    " chosen as (select endpoint_id from turns, held where not slow or held.places + place <= :slow_max"
    " order by turn, due_at limit :limit)"
    " update webhook_queues q set claim_id = gen_random_uuid(), claimed_by = :worker, claimed_until = :until"
    " from (select endpoint_id from webhook_queues where endpoint_id in (select endpoint_id from chosen)"
    " and (claimed_until is null or claimed_until < :now) for update skip locked) as free"
    " where q.endpoint_id = free.endpoint_id returning q.claim_id, q.brand_id, q.endpoint_id, q.failures,"
    " q.failing_since"
)
_RENEW: Final = text(
    "update webhook_queues set claimed_until = :until where claim_id = any(cast(:claim_ids as uuid[]))"
    " returning claim_id"
)
_RELEASE: Final = text(
    "update webhook_queues set due_at = :due_at, rest_until = :rest_until, slow = :slow, claim_id = null,"
    " claimed_until = null"
    " where endpoint_id = :endpoint_id and claim_id = :claim_id"
)
_HOLD: Final = text(
    "select claim_id from webhook_queues where endpoint_id = :endpoint_id and claim_id = :claim_id for update"
)
_RELEASE_ALL: Final = text(
    "update webhook_queues set claim_id = null, claimed_until = null, due_at = coalesce(due_at, :now)"
    " where claimed_by = :worker and claim_id is not null"
)
_NEXT: Final = text(
    "select min(greatest(due_at, claimed_until)) from webhook_queues where due_at is not null"
)
_PENDING: Final = (
    "from webhook_deliveries d where d.brand_id = :brand_id and d.endpoint_id = :endpoint_id and d.state = 'pending'"
    " and d.created_at >= :oldest"
)
_TAKEN: Final = (
    "d.created_at, d.delivery_id, d.event_id, d.event_created_at, d.object_key, d.seq, d.tries,"
    " d.first_tried_at, d.due_at"
)
_HEADS: Final = f"(select distinct on (d.object_key) {_TAKEN} {_PENDING} order by d.object_key, d.seq) as d"
"""Of each object the earliest: one pass over an index. (With NOT EXISTS a backlog of 20,000 took over 30 s.)"""
_DUE: Final = (
    "d.due_at <= :now and d.delivery_id <> all(cast(:busy as uuid[])) order by d.due_at, d.seq limit :limit"
)
_WITH_PAYLOAD: Final = (
    " select due.*, coalesce(e.type, '') as type, e.payload from due left join webhook_events e"
    " on e.created_at = due.event_created_at and e.event_id = due.event_id order by due.seq"
)
_TAKE_ANY: Final = text(f"with due as (select {_TAKEN} {_PENDING} and {_DUE}) {_WITH_PAYLOAD}")
_TAKE_HEADS: Final = text(f"with due as (select {_TAKEN} from {_HEADS} where {_DUE}) {_WITH_PAYLOAD}")
_NEXT_ANY: Final = text(f"select min(d.due_at) {_PENDING}")
_NEXT_HEAD: Final = text(f"select min(d.due_at) from {_HEADS}")
_MOVE: Final = text(
    "update webhook_deliveries set state = :state, tries = :tries,"
    " first_tried_at = coalesce(first_tried_at, :at), due_at = :due_at, last_outcome = :outcome, last_status = :status,"
    " finished_at = :finished_at where created_at = :created_at and delivery_id = :delivery_id"
    " and brand_id = :brand_id and state = 'pending'"
)
_LOG: Final = text(
    "insert into webhook_attempts (at, attempt_id, brand_id, endpoint_id, delivery_id, event_id, event_type, number,"
    " outcome, detail, status, latency_ms, excerpt, next_try_at) values (:at, :attempt_id, :brand_id, :endpoint_id,"
    " :delivery_id, :event_id, :event_type, :number, :outcome, :detail, :status, :latency_ms, :excerpt, :next_try_at)"
)
_WELL: Final = text(
    "update webhook_queues set failures = 0, failing_since = null, failing_days = 0, failed_on = null"
    " where brand_id = :brand_id"
    " and endpoint_id = :endpoint_id and failures > 0"
)
_UNWELL: Final = text(
    "update webhook_queues set failures = failures + 1, failing_since = coalesce(failing_since, :at),"
    " failing_days = failing_days + (failed_on is distinct from :day)::int, failed_on = :day"
    " where brand_id = :brand_id and endpoint_id = :endpoint_id returning failures, failing_days, failing_since"
)
_STANDING: Final = text(
    "select coalesce(extract(epoch from cast(:now as timestamptz) - min(due_at) filter (where claimed_until is null"
    " or claimed_until < :now)), 0) as age_s, count(*) filter (where failures >= :failures) as failing"
    " from webhook_queues"
)


class Claim(NamedTuple):
    """An endpoint that this process works on, as its queue stood."""

    claim_id: UUID
    brand_id: BrandId
    endpoint_id: UUID
    failures: int
    failing_since: datetime | None


async def claim(
    tx: WriteSession, *, worker: str, now: datetime, until: datetime, limit: int, slow_max: int
) -> list[Claim]:
    """Endpoints with something due that nobody works on. Brands take turns; endpoints that were slow or failing when
    they were last seen hold at most `slow_max` places of this worker."""
    params = {"worker": worker, "now": now, "until": until, "limit": limit, "slow_max": slow_max}
    return [Claim(**row._mapping) for row in await tx.all(_CLAIM, params)]


async def renew(tx: WriteSession, claims: Sequence[UUID], until: datetime) -> set[UUID]:
    """Claims that are still ours."""
    return {row.claim_id for row in await tx.all(_RENEW, {"claim_ids": list(claims), "until": until})}


async def hold(tx: WriteSession, claim: Claim) -> bool:
    """Locks the queue, so that what others leave in it comes after; False when the claim is no longer ours."""
    params = {"endpoint_id": claim.endpoint_id, "claim_id": claim.claim_id}
    return await tx.one_or_none(_HOLD, params) is not None


async def release(
    tx: WriteSession, claim: Claim, *, due_at: datetime | None, rest_until: datetime | None, slow: bool
) -> None:
    """`rest_until`: new events do not wake it before."""
    params = {"due_at": due_at, "rest_until": rest_until, "slow": slow}
    await tx.execute(_RELEASE, params | {"endpoint_id": claim.endpoint_id, "claim_id": claim.claim_id})


async def release_all(tx: WriteSession, *, worker: str, now: datetime) -> None:
    """A worker that starts again lets go of what its previous process held."""
    await tx.execute(_RELEASE_ALL, {"worker": worker, "now": now})


async def next_due(tx: ReadSession) -> datetime | None:
    found: datetime | None = await tx.scalar(_NEXT)
    return found


async def take(
    tx: ReadSession,
    claim: Claim,
    *,
    ordered: bool,
    now: datetime,
    oldest: datetime,
    busy: Sequence[UUID],
    limit: int,
) -> Sequence[Row[Any]]:
    """Deliveries that are due, with their payload (None: its event had its age and is gone). `ordered`: of each object
    the earliest alone. `busy`: under way."""
    params = {
        "brand_id": claim.brand_id,
        "endpoint_id": claim.endpoint_id,
        "now": now,
        "oldest": oldest,
        "busy": list(busy),
        "limit": limit,
    }
    return await tx.all(_TAKE_HEADS if ordered else _TAKE_ANY, params)


async def next_of(tx: ReadSession, claim: Claim, *, ordered: bool, oldest: datetime) -> datetime | None:
    params = {"brand_id": claim.brand_id, "endpoint_id": claim.endpoint_id, "oldest": oldest}
    found: datetime | None = await tx.scalar(_NEXT_HEAD if ordered else _NEXT_ANY, params)
    return found


async def move(tx: WriteSession, params: dict[str, Any]) -> bool:
    """False when it is not pending any more: dropped meanwhile."""
    return (await tx.execute(_MOVE, params)).rowcount > 0


async def log(tx: WriteSession, params: dict[str, Any]) -> None:
    await tx.execute(_LOG, params)


async def well(tx: WriteSession, claim: Claim) -> None:
    await tx.execute(_WELL, {"brand_id": claim.brand_id, "endpoint_id": claim.endpoint_id})


class Unwell(NamedTuple):
    """Failures in a row, the days (UTC) on which there were any, and the moment of the first."""

    failures: int
    days: int
    since: datetime


async def unwell(tx: WriteSession, claim: Claim, at: datetime) -> Unwell:
    """One more failure."""
    params = {
        "brand_id": claim.brand_id,
        "endpoint_id": claim.endpoint_id,
        "at": at,
        "day": at.astimezone(UTC).date(),
    }
    row = await tx.one_or_none(_UNWELL, params)
    return Unwell(1, 1, at) if row is None else Unwell(row.failures, row.failing_days, row.failing_since)


async def standing(tx: ReadSession, *, now: datetime, failures: int) -> tuple[float, int]:
    """How long the oldest due queue has waited for a worker, in seconds, and how many endpoints fail."""
    row = await tx.one_or_none(_STANDING, {"now": now, "failures": failures})
    assert row is not None
    return max(0.0, float(row.age_s)), int(row.failing)
