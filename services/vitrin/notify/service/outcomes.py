"""What becomes of a delivery and its endpoint after a try: one transaction with its line in the log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.repeat import repeated
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.kit.outbound import shown
from vitrin.notify.domain.outcome import Outcome
from vitrin.notify.domain.schedule import Schedule, is_dead
from vitrin.notify.repository import endpoints, events, work
from vitrin.notify.repository.work import Claim
from vitrin.notify.service import metrics
from vitrin.notify.service.storing import News, Storing

_log = get_logger("vitrin.notify.deliveries")


class Tried(NamedTuple):
    """`row`: the delivery as it was taken. `at`: when the try began."""

    row: Any
    at: datetime
    latency_ms: int
    outcome: Outcome


class Outcomes:
    def __init__(
        self,
        *,
        database: WorkerDatabase,
        storing: Storing,
        schedule: Schedule,
        disable_after: timedelta,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._storing = storing
        self._schedule = schedule
        self._disable_after = disable_after
        self._clock = clock
        self._chance = chance

    async def save(self, claim: Claim, tried: Tried) -> int:
        """Failures in a row of the endpoint, afterwards. A delivery that was dropped meanwhile stays dropped."""
        return await repeated(lambda: self._save(claim, tried))

    async def _save(self, claim: Claim, tried: Tried) -> int:
        """Locks the queue before the delivery, as everybody does who locks both: several are saved at once, and whoever
        disables the endpoint takes all of its deliveries."""
        now, unwell = self._clock(), None
        async with self._database.write([claim.brand_id]) as tx:
            if tried.outcome.delivered:
                await work.well(tx, claim)
            elif tried.outcome.code != "too_old":
                unwell = await work.unwell(tx, claim, tried.at)
            await self._move(tx, claim, tried, now)
            if tried.outcome.code == "gone":
                await self._disable(tx, claim, code="gone", reason=tried.outcome.detail, now=now)
            elif unwell is not None and is_dead(
                failures=unwell.failures,
                failing_days=unwell.days,
                failing_since=unwell.since,
                now=now,
                disable_after=self._disable_after,
            ):
                said = f"{unwell.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC; the last: {tried.outcome.detail}"
                await self._disable(
                    tx, claim, code="failing", reason=f"Nothing but failures since {said}", now=now
                )
        return 0 if unwell is None else unwell.failures

    async def _move(self, tx: WriteSession, claim: Claim, tried: Tried, now: datetime) -> None:
        row, outcome = tried.row, tried.outcome
        tries = row.tries + 1
        next_at = None
        if not outcome.delivered and outcome.code != "too_old":
            next_at = self._schedule.next_try(
                tries=tries,
                first_at=row.first_tried_at or tried.at,
                now=now,
                chance=self._chance(),
                asked=outcome.retry_after,
            )
        state = "delivered" if outcome.delivered else "failed" if next_at is None else "pending"
        if state == "failed":
            metrics.GIVEN_UP.inc()
        moved = await work.move(
            tx,
            {
                "created_at": row.created_at,
                "delivery_id": row.delivery_id,
                "brand_id": claim.brand_id,
                "state": state,
                "tries": tries,
                "at": tried.at,
                "due_at": next_at,
                "outcome": outcome.code,
                "status": outcome.status,
                "finished_at": None if next_at else now,
            },
        )
        await work.log(
            tx,
            {
                "at": tried.at,
                "attempt_id": new_uuid(),
                "brand_id": claim.brand_id,
                "endpoint_id": claim.endpoint_id,
                "delivery_id": row.delivery_id,
                "event_id": row.event_id,
                "event_type": row.type,
                "number": tries,
                "outcome": outcome.code,
                "detail": outcome.detail,
                "status": outcome.status,
                "latency_ms": tried.latency_ms,
                "excerpt": outcome.excerpt,
                "next_try_at": next_at if moved else None,
            },
        )

    async def _disable(
        self, tx: WriteSession, claim: Claim, *, code: str, reason: str, now: datetime
    ) -> None:
        """Nothing goes there any more; what waited is dropped, and the brand's other endpoints are told."""
        if not await endpoints.disable(
            tx, claim.brand_id, claim.endpoint_id, code=code, reason=reason, now=now
        ):
            return
        await events.drop_pending(tx, claim.brand_id, claim.endpoint_id, outcome="endpoint_disabled", now=now)
        row = await endpoints.get(tx, claim.brand_id, claim.endpoint_id)
        assert row is not None
        data = {
            "endpoint_id": str(claim.endpoint_id),
            "url": shown(row.url),
            "code": code,
            "reason": reason,
            "disabled_at": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        news = News(
            brand_id=claim.brand_id,
            type="endpoint.disabled",
            object_id=str(claim.endpoint_id),
            object_key=f"endpoint/{claim.endpoint_id}",
            occurred_at=now,
            data=data,
        )
        await self._storing.store(tx, [news])
        metrics.DISABLED.labels(code).inc()
        _log.warning("endpoint_disabled", endpoint=str(claim.endpoint_id), code=code)
