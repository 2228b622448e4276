"""gRPC `SnapshotService`: what a new replica starts from. Pages are read in short transactions of their own; what
changes meanwhile reaches the replica by the topic, whose newer version wins."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import grpc

from vitrin.events.envelope import Event, to_us
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import NotFound
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.ids import BrandId
from vitrin.kit.state.source import PAGE_RECORDS, Sources, StateRecord, StateSource
from vitrin.protos.kit.v1.outbox_pb2 import OutboxEvent
from vitrin.protos.kit.v1.snapshot_pb2 import StreamSnapshotRequest, StreamSnapshotResponse
from vitrin.protos.kit.v1.snapshot_pb2_grpc import (
    SnapshotServiceServicer,
    add_SnapshotServiceServicer_to_server,
)

RESPONSE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A message may have 16 MiB; the records of one position are never split."""


class TopicNotOwned(NotFound):
    code, title = "topic_not_owned", "This service does not own that topic"
    fix = "Ask the service that topics.yaml names as its producer."


class SnapshotServicer(SnapshotServiceServicer):
    def __init__(self, database: WorkerDatabase, sources: Sources) -> None:
        self._database = database
        self._sources = sources

    def add_to(self, server: grpc.aio.Server) -> None:
        add_SnapshotServiceServicer_to_server(self, server)

    async def StreamSnapshot(  # noqa: N802
        self, request: StreamSnapshotRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[StreamSnapshotResponse]:
        """Raises TopicNotOwned, CursorInvalid."""
        source = self._sources.get(request.topic)
        if source is None:
            raise TopicNotOwned(f"{request.topic} is not produced here.")
        brand, after = _position(request.cursor)
        if brand is None:
            brand = await self._next_brand(source, None)
        while brand is not None:
            async for response in self._brand(source, brand, after):
                yield response
            brand, after = await self._next_brand(source, brand), ""

    async def _brand(
        self, source: StateSource, brand: BrandId, after: str | None
    ) -> AsyncIterator[StreamSnapshotResponse]:
        while after is not None:
            async with self._database.read([brand]) as tx:
                page = await source.page(tx, brand, after=after, limit=PAGE_RECORDS, lock=False)
            for records in _responses(page.records):
                cursor = encode_cursor({"brand": str(brand), "after": records[-1].position})
                yield StreamSnapshotResponse(events=[_wire(r.event) for r in records], cursor=cursor)
            after = page.after

    async def _next_brand(self, source: StateSource, after: BrandId | None) -> BrandId | None:
        async with self._database.read() as tx:
            return await source.next_brand(tx, after)


def _responses(records: Sequence[StateRecord]) -> Iterator[list[StateRecord]]:
    """Cut where the position changes, once there is enough for one message."""
    part: list[StateRecord] = []
    size_bytes = 0
    for _, group in groupby(records, key=lambda record: record.position):
        together = list(group)
        adds_bytes = sum(len(record.event.payload) for record in together)
        if part and size_bytes + adds_bytes > RESPONSE_BYTES_MAX:
            yield part
            part, size_bytes = [], 0
        part += together
        size_bytes += adds_bytes
    if part:
        yield part


def _wire(event: Event) -> OutboxEvent:
    return OutboxEvent(
        key=event.key,
        type=event.type,
        event_id=event.event_id,
        brand_id=event.brand_id.bytes,
        occurred_at_us=to_us(event.occurred_at),
        received_at_us=to_us(event.received_at),
        payload=event.payload,
    )


def _position(cursor: str) -> tuple[BrandId | None, str]:
    position = decode_cursor(cursor or None, ("brand", "after"))
    if position is None:
        return None, ""
    try:
        return BrandId(UUID(str(position["brand"]))), str(position["after"])
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
