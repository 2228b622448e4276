"""Stores webhook events and a delivery for each endpoint that wants them, in the transaction of what caused them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.notify.domain.kinds import KINDS
from vitrin.notify.domain.news import wants
from vitrin.notify.repository import endpoints, events
from vitrin.notify.service import metrics
from vitrin.notify.service.waking import Waker


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One webhook event to be. `object_key`: what has an order. `only`: these endpoints, whatever their filters say;
    None: every enabled one that wants the type."""

    brand_id: UUID
    type: str
    object_id: str
    object_key: str
    occurred_at: datetime
    data: dict[str, Any]
    test: bool = False
    only: tuple[UUID, ...] | None = None


def payload_of(event_id: UUID, news: News) -> str:
    """The body that is signed and sent, byte for byte the same at every try."""
    kind = KINDS[news.type]
    document = {
        "id": str(event_id),
        "type": news.type,
        "version": kind.version,
        "timestamp": news.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "brand_id": str(news.brand_id),
        "test": news.test,
        "object": {"type": kind.object_type, "id": news.object_id},
        "data": news.data,
    }
    return orjson.dumps(document).decode()


class Storing:
    def __init__(self, *, waker: Waker, clock: Clock) -> None:
        self._waker = waker
        self._clock = clock
        self._hear: Callable[[WriteSession, Sequence[News]], Awaitable[None]] | None = None

    def heard_by(self, hear: Callable[[WriteSession, Sequence[News]], Awaitable[None]]) -> None:
        """Whoever wants to know what was stored, in its transaction."""
        self._hear = hear

    async def store(self, tx: WriteSession, news: Sequence[News]) -> list[UUID]:
        """In this order, which is that of each object. Answers the ids of the events."""
        if not news:
            return []
        now = self._clock()
        ids = [new_uuid() for _ in news]
        rows = [
            (
                now,
                event_id,
                one.brand_id,
                one.type,
                KINDS[one.type].object_type,
                one.object_id,
                one.test,
                payload_of(event_id, one),
            )
            for event_id, one in zip(ids, news, strict=True)
        ]
        await events.insert_events(tx, rows)
        subscribed = await endpoints.subscribed(tx, sorted({one.brand_id for one in news}))
        deliveries = [
            (now, new_uuid(), one.brand_id, endpoint, event_id, now, one.object_key)
            for event_id, one in zip(ids, news, strict=True)
            for endpoint in _receivers(one, subscribed)
        ]
        if deliveries:
            await events.insert_deliveries(tx, deliveries)
            await self.due(tx, [row[3] for row in deliveries], now)
        for one in news:
            metrics.EVENTS.labels(one.type).inc()
        if self._hear is not None:
            await self._hear(tx, news)
        return ids

    async def due(self, tx: WriteSession, receivers: Sequence[UUID], now: datetime) -> None:
        await events.make_due(tx, sorted(set(receivers)), now)
        self._waker.after(tx)


def _receivers(news: News, subscribed: Sequence[Any]) -> list[UUID]:
    mine = [row for row in subscribed if row.brand_id == news.brand_id]
    if news.only is not None:
        return [row.endpoint_id for row in mine if row.endpoint_id in news.only]
    return [row.endpoint_id for row in mine if wants(row.event_types, news.type)]
