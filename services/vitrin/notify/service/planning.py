"""Deliveries to channels are left in the transaction of the notice: nothing is lost between the two."""

from typing import Any
from uuid import UUID

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.notify.domain.register import Severity
from vitrin.notify.domain.routing import due_at, wants
from vitrin.notify.repository import channels, posts
from vitrin.notify.service.routes import routing_of
from vitrin.notify.service.waking import Waker


class Planner:
    """`waker`: of the poster's loop."""

    def __init__(self, *, waker: Waker, clock: Clock) -> None:
        self._waker = waker
        self._clock = clock

    async def opened(self, tx: WriteSession, notice: Any) -> None:
        now = self._clock()
        for row in await channels.listening(tx, notice.brand_id):
            routing = routing_of(row)
            if wants(routing.rules, notice.kind, notice.severity):
                moment = due_at(routing, severity=notice.severity, now=now)
                await self._plan(tx, notice, row.channel_id, "opened", moment)

    async def resolved(self, tx: WriteSession, notice: Any) -> None:
        """Told where the opening was told. Good news is never critical: it waits for digests and quiet hours."""
        now = self._clock()
        await posts.drop_untold(tx, notice.brand_id, notice.notice_id, now)
        told = await posts.told(tx, notice.brand_id, notice.notice_id)
        if not told:
            return
        for row in await channels.listening(tx, notice.brand_id):
            routing = routing_of(row)
            if row.channel_id in told and routing.resolved:
                moment = due_at(routing, severity="info", now=now)
                await self._plan(tx, notice, row.channel_id, "resolved", moment)

    async def code(self, tx: WriteSession, brand: UUID, channel: UUID) -> None:
        """At once; an earlier one that waits still is dropped, since its code is not good any more."""
        now = self._clock()
        await posts.drop(tx, brand, channel, outcome="newer_code", now=now)
        await posts.plan(tx, brand=brand, channel=channel, notice=None, what="code", due_at=now, now=now)
        self._waker.after(tx)

    async def again(self, tx: WriteSession, row: Any) -> None:
        """After a change of the channel: what was not tried yet goes by the new rules and times, or not at all."""
        now, routing = self._clock(), routing_of(row)
        for one in await posts.untried(tx, row.brand_id, row.channel_id):
            severity: Severity = one.severity if one.what == "opened" else "info"
            wanted = row.enabled and wants(routing.rules, one.kind, one.severity)
            if one.what == "resolved":
                wanted = wanted and routing.resolved
            moment = due_at(routing, severity=severity, now=now) if wanted else None
            await posts.replan(tx, row.brand_id, row.channel_id, one.delivery_id, due_at=moment, now=now)
        self._waker.after(tx)

    async def _plan(self, tx: WriteSession, notice: Any, channel: UUID, what: str, moment: Any) -> None:
        await posts.plan(
            tx,
            brand=notice.brand_id,
            channel=channel,
            notice=notice.notice_id,
            what=what,
            due_at=moment,
            now=self._clock(),
        )
        self._waker.after(tx)
