"""Use cases of the inbox. A read mark is the brand's: whoever reads it first has read it for everybody, by name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.notify.errors import NotificationNotFound
from vitrin.notify.repository import notices, posts


class ShownNotice(NamedTuple):
    row: Any
    deliveries: Sequence[Any]


class Inbox:
    def __init__(self, *, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(self, caller: Principal, **asked: Any) -> list[ShownNotice]:
        """`asked`: as `repository.notices.page` has it."""
        async with self._database.read(caller.brand_id) as tx:
            rows = await notices.page(tx, caller.brand_id, **asked)
            found = await posts.of_notices(tx, caller.brand_id, [row.notice_id for row in rows])
        of_notice: dict[UUID, list[Any]] = {}
        for one in found:
            of_notice.setdefault(one.notice_id, []).append(one)
        return [ShownNotice(row, of_notice.get(row.notice_id, [])) for row in rows]

    async def get(self, caller: Principal, notice_id: UUID) -> ShownNotice:
        async with self._database.read(caller.brand_id) as tx:
            return await self._shown(tx, caller, notice_id)

    async def mark(self, caller: Principal, notice_id: UUID, *, read: bool) -> ShownNotice:
        """Read or unread; harmless to repeat."""
        async with self._database.write(caller.brand_id) as tx:
            if read:
                found = await notices.mark(tx, caller.brand_id, notice_id, by=caller.actor, now=self._clock())
            else:
                found = await notices.unmark(tx, caller.brand_id, notice_id)
            if not found:
                raise NotificationNotFound
            return await self._shown(tx, caller, notice_id)

    async def mark_all(self, caller: Principal, *, kind: str | None, until: datetime | None) -> int:
        """How many were marked. `until`: only what was opened by then, so that nothing unseen is marked."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            return await notices.mark_all(
                tx, caller.brand_id, kind=kind, until=until or now, by=caller.actor, now=now
            )

    async def _shown(self, tx: ReadSession, caller: Principal, notice_id: UUID) -> ShownNotice:
        row = await notices.get(tx, caller.brand_id, notice_id)
        if row is None:
            raise NotificationNotFound
        return ShownNotice(row, await posts.of_notices(tx, caller.brand_id, [notice_id]))
