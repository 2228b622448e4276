"""The work queue of channels over all brands, their deliveries, and the log of what was sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, new_uuid

CANDIDATES: Final = 500
_CLAIM: Final = text(
    "with waiting as (select channel_id, due_at, row_number() over (partition by brand_id order by due_at, channel_id)"
    " as turn from (select channel_id, brand_id, due_at from notification_queues where due_at <= :now"
    f" and (claimed_until is null or claimed_until < :now) order by due_at limit {CANDIDATES}) as due),"
    " chosen as (select channel_id from waiting order by turn, due_at limit :limit)"
    " update notification_queues q set claim_id = gen_random_uuid(), claimed_by = :worker, claimed_until = :until"
    " from (select channel_id from notification_queues where channel_id in (select channel_id from chosen)"
    " and (claimed_until is null or claimed_until < :now) for update skip locked) as free"
    " where q.channel_id = free.channel_id returning q.claim_id, q.brand_id, q.channel_id"
)
_LET_GO: Final = text(
    "update notification_queues set claim_id = null, claimed_until = null where claimed_by = :worker"
    " and claim_id is not null"
)
_NEXT: Final = text(
    "select min(greatest(due_at, claimed_until)) from notification_queues where due_at is not null"
)
_HOLD: Final = text(
    "select claim_id from notification_queues where channel_id = :channel_id and claim_id = :claim_id for update"
)
_RELEASE: Final = text(
    "update notification_queues set due_at = greatest((select min(due_at) from notification_deliveries"
    " where channel_id = :channel_id and state = 'pending'), cast(:not_before as timestamptz)), claim_id = null,"
    " claimed_until = null where channel_id = :channel_id and claim_id = :claim_id"
)
_MAKE_DUE: Final = text(
    "update notification_queues set due_at = least(due_at, cast(:due_at as timestamptz))"
    " where channel_id = :channel_id"
)
_PLAN: Final = text(
    "insert into notification_deliveries (brand_id, delivery_id, channel_id, notice_id, what, state, planned_for,"
    " due_at, created_at) values (:brand_id, :delivery_id, :channel_id, :notice_id, :what, 'pending', :due_at, :due_at,"
    " :now) on conflict do nothing"
)
_NOTICE: Final = (
    "n.kind, n.severity, n.title, n.detail, n.fix, n.look_at, n.opened_at, n.resolved_at, n.occurrences"
)
_TAKE: Final = text(
    "select d.delivery_id, d.notice_id, d.what, d.tries, d.first_tried_at, d.due_at, " + _NOTICE + " from"
    " notification_deliveries d left join notices n on n.brand_id = d.brand_id and n.notice_id = d.notice_id"
    " where d.brand_id = :brand_id and d.channel_id = :channel_id and d.state = 'pending' and d.due_at <= :now"
    " order by d.what <> 'code', case n.severity when 'critical' then 0 when 'warning' then 1 else 2 end, d.due_at,"
    " d.delivery_id limit :limit"
)
_MOVE: Final = text(
    "update notification_deliveries set state = :state, tries = tries + 1,"
    " first_tried_at = coalesce(first_tried_at, :at), due_at = :due_at, outcome = :outcome, detail = :detail,"
    " fix = :fix, finished_at = :finished_at where brand_id = :brand_id and delivery_id = :delivery_id and"
    " state = 'pending'"
)
_DROP: Final = text(
    "update notification_deliveries set state = 'dropped', due_at = null, outcome = :outcome, finished_at = :now"
    " where brand_id = :brand_id and channel_id = :channel_id and state = 'pending'"
)
_DROP_UNTOLD: Final = text(
    "update notification_deliveries set state = 'dropped', due_at = null, outcome = 'over_before_sent',"
    " finished_at = :now where brand_id = :brand_id and notice_id = :notice_id and what = 'opened'"
    " and state = 'pending' and tries = 0"
)
_TOLD: Final = text(
    "select channel_id from notification_deliveries where brand_id = :brand_id and notice_id = :notice_id"
    " and what = 'opened' and (state = 'sent' or (state = 'pending' and tries > 0))"
)
_UNTRIED: Final = text(
    "select d.delivery_id, d.what, n.kind, n.severity from notification_deliveries d join notices n"
    " on n.brand_id = d.brand_id and n.notice_id = d.notice_id where d.brand_id = :brand_id"
    " and d.channel_id = :channel_id and d.state = 'pending' and d.tries = 0"
)
_REPLAN: Final = text(
    "update notification_deliveries set planned_for = :due_at, due_at = :due_at where brand_id = :brand_id"
    " and delivery_id = :delivery_id and state = 'pending'"
)
_FORGET_ONE: Final = text(
    "update notification_deliveries set state = 'dropped', due_at = null, outcome = 'not_wanted', finished_at = :now"
    " where brand_id = :brand_id and delivery_id = :delivery_id and state = 'pending'"
)
_OF_NOTICE: Final = text(
    "select channel_id, notice_id, what, state, tries, due_at, outcome, detail, fix, created_at, finished_at"
    " from notification_deliveries where brand_id = :brand_id and notice_id = any(cast(:notice_ids as uuid[]))"
    " order by created_at, delivery_id"
)
_LOG: Final = text(
    "insert into notification_attempts (at, attempt_id, brand_id, channel_id, purpose, notice_ids, outcome, detail,"
    " fix, status, latency_ms, next_try_at) values (:at, :attempt_id, :brand_id, :channel_id, :purpose,"
    " cast(:notice_ids as uuid[]), :outcome, :detail, :fix, :status, :latency_ms, :next_try_at)"
)
_SENT: Final = text(
    "select at from notification_attempts where brand_id = :brand_id and at > :since"
    " and (cast(:purpose as text) is null or purpose = :purpose) order by at"
)
_LATE: Final = text("select min(planned_for) from notification_deliveries where state = 'pending'")
_FORGET: Final = text("delete from notification_deliveries where finished_at < :before")


class Claim(NamedTuple):
    claim_id: UUID
    brand_id: BrandId
    channel_id: UUID


async def claim(tx: WriteSession, *, worker: str, now: datetime, until: datetime, limit: int) -> list[Claim]:
    """Channels with something due that nobody works on; brands take turns."""
    params = {"worker": worker, "now": now, "until": until, "limit": limit}
    return [Claim(**row._mapping) for row in await tx.all(_CLAIM, params)]


async def let_go(tx: WriteSession, worker: str) -> None:
    """A worker that starts again lets go of what its previous process held."""
    await tx.execute(_LET_GO, {"worker": worker})


async def next_due(tx: ReadSession) -> datetime | None:
    found: datetime | None = await tx.scalar(_NEXT)
    return found


async def hold(tx: WriteSession, claim: Claim) -> bool:
    """Locks the queue; False when the claim is no longer ours."""
    params = {"channel_id": claim.channel_id, "claim_id": claim.claim_id}
    return await tx.one_or_none(_HOLD, params) is not None


async def release(tx: WriteSession, claim: Claim, *, not_before: datetime | None) -> None:
    params = {"channel_id": claim.channel_id, "claim_id": claim.claim_id, "not_before": not_before}
    await tx.execute(_RELEASE, params)


async def plan(
    tx: WriteSession,
    *,
    brand: UUID,
    channel: UUID,
    notice: UUID | None,
    what: str,
    due_at: datetime,
    now: datetime,
) -> None:
    """Leaves a delivery and wakes its queue."""
    params = {"brand_id": brand, "channel_id": channel, "notice_id": notice, "what": what, "now": now}
    await tx.execute(_PLAN, {**params, "delivery_id": new_uuid(), "due_at": due_at})
    await tx.execute(_MAKE_DUE, {"channel_id": channel, "due_at": due_at})


async def take(tx: ReadSession, claim: Claim, *, now: datetime, limit: int) -> Sequence[Row[Any]]:
    """Deliveries that are due with their notices: a code first, then the most severe."""
    params = {"brand_id": claim.brand_id, "channel_id": claim.channel_id, "now": now, "limit": limit}
    return await tx.all(_TAKE, params)


async def move(tx: WriteSession, params: dict[str, Any]) -> None:
    await tx.execute(_MOVE, params)


async def drop(tx: WriteSession, brand: UUID, channel: UUID, *, outcome: str, now: datetime) -> None:
    params = {"brand_id": brand, "channel_id": channel, "outcome": outcome, "now": now}
    await tx.execute(_DROP, params)


async def drop_untold(tx: WriteSession, brand: UUID, notice: UUID, now: datetime) -> None:
    """What is over before anybody was told needs no message."""
    await tx.execute(_DROP_UNTOLD, {"brand_id": brand, "notice_id": notice, "now": now})


async def told(tx: ReadSession, brand: UUID, notice: UUID) -> set[UUID]:
    """Channels that know of it."""
    return {row.channel_id for row in await tx.all(_TOLD, {"brand_id": brand, "notice_id": notice})}


async def untried(tx: ReadSession, brand: UUID, channel: UUID) -> Sequence[Row[Any]]:
    return await tx.all(_UNTRIED, {"brand_id": brand, "channel_id": channel})


async def replan(
    tx: WriteSession, brand: UUID, channel: UUID, delivery: UUID, *, due_at: datetime | None, now: datetime
) -> None:
    """At another time; None: it is not wanted any more."""
    params = {"brand_id": brand, "delivery_id": delivery}
    if due_at is None:
        await tx.execute(_FORGET_ONE, {**params, "now": now})
        return
    await tx.execute(_REPLAN, {**params, "due_at": due_at})
    await tx.execute(_MAKE_DUE, {"channel_id": channel, "due_at": due_at})


async def of_notices(tx: ReadSession, brand: BrandId, notices: Sequence[UUID]) -> Sequence[Row[Any]]:
    return await tx.all(_OF_NOTICE, {"brand_id": brand, "notice_ids": list(notices)})


async def log(tx: WriteSession, params: dict[str, Any]) -> None:
    await tx.execute(_LOG, {**params, "attempt_id": new_uuid()})


async def sent_since(
    tx: ReadSession, brand: BrandId, since: datetime, *, purpose: str | None = None
) -> list[datetime]:
    """When the brand's messages of the last while were tried, the oldest first."""
    rows = await tx.all(_SENT, {"brand_id": brand, "since": since, "purpose": purpose})
    return [row.at for row in rows]


async def latest_plan(tx: ReadSession) -> datetime | None:
    """When the delivery that waits longest should have gone out."""
    found: datetime | None = await tx.scalar(_LATE)
    return found


async def forget(tx: WriteSession, before: datetime) -> None:
    await tx.execute(_FORGET, {"before": before})
