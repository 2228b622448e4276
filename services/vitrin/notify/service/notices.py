"""The inbox is written here: one open notice per cause, told to webhooks and channels when it opens and ends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from vitrin.kit.attention import Concern
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.notify.domain.register import ENDPOINT_DISABLED
from vitrin.notify.repository import notices
from vitrin.notify.service import metrics_notices as metrics
from vitrin.notify.service.storing import News, Storing

OPENED: Final = "notification.opened"
RESOLVED: Final = "notification.resolved"


class Planning(Protocol):
    """Who leaves deliveries to channels, in the transaction of the notice."""

    async def opened(self, tx: WriteSession, notice: Any) -> None: ...

    async def resolved(self, tx: WriteSession, notice: Any) -> None: ...


class Notices:
    def __init__(self, *, storing: Storing, planning: Planning, clock: Clock) -> None:
        self._storing = storing
        self._planning = planning
        self._clock = clock

    async def open(self, tx: WriteSession, brand: UUID, concern: Concern) -> None:
        """A repetition counts and brings the words up to date, and nobody is told again."""
        row = await notices.open_(
            tx,
            {
                "brand_id": brand,
                "notice_id": new_uuid(),
                "kind": concern.kind,
                "cause": concern.cause,
                "severity": concern.severity,
                "title": concern.title,
                "detail": concern.detail,
                "fix": concern.fix,
                "subject": concern.subject,
                "look_at": concern.look_at,
                "now": self._clock(),
            },
        )
        if row.occurrences > 1:
            return
        metrics.OPENED.labels(row.severity).inc()
        await self._planning.opened(tx, row)
        await self._storing.store(tx, [_news(OPENED, row, row.opened_at)])

    async def resolve(self, tx: WriteSession, brand: UUID, kind: str, cause: str) -> None:
        """Nothing where nothing of that cause is open."""
        row = await notices.resolve(tx, brand, kind, cause, self._clock())
        if row is None:
            return
        await self._planning.resolved(tx, row)
        await self._storing.store(tx, [_news(RESOLVED, row, row.resolved_at)])

    async def hear(self, tx: WriteSession, news: Sequence[News]) -> None:
        """Of what is told to webhooks, what needs a person: an endpoint that was disabled by us."""
        for one in news:
            if one.type == "endpoint.disabled" and not one.test:
                await self.open(tx, one.brand_id, _endpoint_disabled(one))

    async def endpoint_is_well(self, tx: WriteSession, brand: UUID, endpoint_id: UUID) -> None:
        """Enabled again, or deleted."""
        await self.resolve(tx, brand, ENDPOINT_DISABLED, str(endpoint_id))


def _endpoint_disabled(news: News) -> Concern:
    endpoint = str(news.data["endpoint_id"])
    return Concern(
        kind=ENDPOINT_DISABLED,
        cause=endpoint,
        severity="warning",
        title=f"Webhooks to {news.data['url']} were switched off",
        detail=str(news.data["reason"]),
        fix=f'Repair the receiver, then PATCH /v1/webhook_endpoints/{endpoint} {{"enabled": true}};'
        " what was missed can be replayed from /v1/webhook_events.",
        subject=f"webhook_endpoint:{endpoint}",
        look_at=f"/v1/webhook_endpoints/{endpoint}",
    )


def _news(type_: str, row: Any, at: datetime) -> News:
    data = {
        "notification_id": str(row.notice_id),
        **{name: getattr(row, name) for name in ("kind", "cause", "state", "severity", "title", "detail")},
        **{name: getattr(row, name) for name in ("fix", "subject", "look_at", "occurrences")},
        "opened_at": _time(row.opened_at),
        "resolved_at": _time(row.resolved_at) if row.resolved_at else None,
    }
    return News(
        brand_id=row.brand_id,
        type=type_,
        object_id=str(row.notice_id),
        object_key=f"notification/{row.notice_id}",
        occurred_at=at,
        data=data,
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
