"""Use cases of webhook events: look at them, deliver them again, send one for a test."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import new_uuid
from vitrin.notify.domain.kinds import KINDS
from vitrin.notify.domain.news import wants
from vitrin.notify.errors import EndpointDisabled, EndpointNotFound, EventNotFound, NobodyToTell, TypeUnknown
from vitrin.notify.repository import endpoints, events
from vitrin.notify.service.storing import News, Storing


class Shown(NamedTuple):
    row: Any
    deliveries: Sequence[Any]


class Events:
    def __init__(self, *, database: AppDatabase, storing: Storing, clock: Clock) -> None:
        self._database = database
        self._storing = storing
        self._clock = clock

    async def page(self, caller: Principal, **asked: Any) -> list[Shown]:
        """`asked`: as `repository.events.events` has it."""
        async with self._database.read(caller.brand_id) as tx:
            rows = await events.events(tx, caller.brand_id, **asked)
            found = await events.deliveries_of(tx, caller.brand_id, [row.event_id for row in rows])
        of_event: dict[UUID, list[Any]] = {}
        for one in found:
            of_event.setdefault(one.event_id, []).append(one)
        return [Shown(row, of_event.get(row.event_id, [])) for row in rows]

    async def get(self, caller: Principal, event_id: UUID) -> Shown:
        async with self._database.read(caller.brand_id) as tx:
            return await self._shown(tx, caller, event_id)

    async def replay(self, caller: Principal, event_id: UUID, *, endpoint_id: UUID | None) -> Shown:
        """One more delivery with the same id and body, whatever became of the earlier ones: to that endpoint, or to
        every enabled one that wants the type. EventNotFound, EndpointNotFound, EndpointDisabled, NobodyToTell."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            event = await events.event(tx, caller.brand_id, event_id)
            if event is None:
                raise EventNotFound
            receivers = await self._receivers(tx, caller, event.type, endpoint_id)
            # A replay waits for nothing of its object and holds nothing back: it has a key of its own.
            await events.insert_deliveries(
                tx,
                [
                    (
                        now,
                        new_uuid(),
                        caller.brand_id,
                        one,
                        event_id,
                        event.created_at,
                        f"replay/{new_uuid()}",
                    )
                    for one in receivers
                ],
            )
            await self._storing.due(tx, receivers, now)
            return await self._shown(tx, caller, event_id)

    async def test(self, caller: Principal, type_: str, *, endpoint_id: UUID | None) -> Shown:
        """An event with the type's example, marked as a test, on the way of every other: to that endpoint, or to every
        enabled one that wants the type (none: it is stored all the same, and `vitrin listen` sees it). TypeUnknown,
        EndpointNotFound, EndpointDisabled."""
        kind = KINDS.get(type_)
        if kind is None:
            raise TypeUnknown(
                f"There is no type {type_[:100]!r}.", field="type", fix=f"Choose from: {', '.join(KINDS)}."
            )
        object_id = str(next(value for name, value in kind.example.items() if name.endswith("_id")))
        if kind.object_type == "item":
            object_id = str(kind.example["item_id"])
        async with self._database.write(caller.brand_id) as tx:
            only = None
            if endpoint_id is not None:
                only = tuple(await self._receivers(tx, caller, type_, endpoint_id))
            news = News(
                brand_id=caller.brand_id,
                type=type_,
                object_id=object_id,
                object_key=f"test/{new_uuid()}",
                occurred_at=self._clock(),
                data=kind.example,
                test=True,
                only=only,
            )
            (event_id,) = await self._storing.store(tx, [news])
            return await self._shown(tx, caller, event_id)

    async def _receivers(
        self, tx: ReadSession, caller: Principal, type_: str, endpoint_id: UUID | None
    ) -> list[UUID]:
        if endpoint_id is not None:
            row = await endpoints.get(tx, caller.brand_id, endpoint_id)
            if row is None:
                raise EndpointNotFound
            if not row.enabled:
                raise EndpointDisabled(row.disabled_reason)
            return [endpoint_id]
        found = await endpoints.subscribed(tx, [caller.brand_id])
        receivers = [row.endpoint_id for row in found if wants(row.event_types, type_)]
        if not receivers:
            raise NobodyToTell(f"No enabled endpoint of the brand takes {type_}.")
        return receivers

    async def _shown(self, tx: ReadSession, caller: Principal, event_id: UUID) -> Shown:
        row = await events.event(tx, caller.brand_id, event_id)
        if row is None:
            raise EventNotFound
        return Shown(row, await events.deliveries_of(tx, caller.brand_id, [event_id]))
