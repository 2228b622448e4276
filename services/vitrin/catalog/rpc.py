"""gRPC `CatalogService`: the snapshot from which a new replica starts, and items fresh by their ids."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import grpc

from vitrin.catalog import repository_read
from vitrin.catalog.domain import check_item_id
from vitrin.catalog.events import content_message, offer_message
from vitrin.catalog.repository_read import ItemRow
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import Malformed
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.ids import BrandId
from vitrin.protos.catalog.v1 import catalog_pb2 as pb
from vitrin.protos.catalog.v1 import catalog_pb2_grpc

PAGE_ITEMS: Final = 500
PAGE_ITEMS_MAX: Final = 2_000
BATCH_IDS_MAX: Final = 500


class BrandInvalid(Malformed):
    code, title = "brand_invalid", "The brand id is none"


class BatchTooLarge(Malformed):
    code, title = "too_many_ids", "The request names too many items"


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Pages by (brand, item id), each in a short transaction of the worker role, which sees one brand at a time."""

    def __init__(self, database: WorkerDatabase) -> None:
        self._database = database

    def add_to(self, server: grpc.aio.Server) -> None:
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self, server)

    async def StreamItems(  # noqa: N802
        self, request: pb.StreamItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.StreamItemsResponse]:
        """Every item of a brand, or of all; tombstones too. A change during the stream is seen by the topic's
        consumer, whose newer version wins."""
        limit = min(max(request.page_items, 0) or PAGE_ITEMS, PAGE_ITEMS_MAX)
        wanted = _brand(request.brand_id) if request.brand_id else None
        brand, after = _position(request.cursor)
        if wanted is not None and brand not in {None, wanted}:
            raise CursorInvalid("The cursor belongs to another brand.", field="cursor")
        brand = wanted or brand or await self._next_brand(None)
        while brand is not None:
            async for page in self._pages(brand, after, limit):
                yield page
            if wanted is not None:
                return
            brand, after = await self._next_brand(brand), None

    async def BatchGetItems(  # noqa: N802
        self, request: pb.BatchGetItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.BatchGetItemsResponse:
        """Items by id, in the order in which they are named; ids that no item can have count as missing."""
        brand = _brand(request.brand_id)
        wanted = list(dict.fromkeys(request.item_ids))
        if len(wanted) > BATCH_IDS_MAX:
            raise BatchTooLarge(f"{len(wanted)} ids; at most {BATCH_IDS_MAX} per call.", field="item_ids")
        ids = [one for one in wanted if check_item_id(one) is None]
        async with self._database.read([brand]) as tx:
            rows = {row.item_id: row for row in await repository_read.state_of(tx, brand=brand, ids=ids)}
        found = {one: row for one, row in rows.items() if row.content_version > 0}
        return pb.BatchGetItemsResponse(
            items=[_snapshot(found[one]) for one in wanted if one in found],
            missing=[one for one in wanted if one not in found],
        )

    async def _pages(
        self, brand: BrandId, after: str | None, limit: int
    ) -> AsyncIterator[pb.StreamItemsResponse]:
        while True:
            async with self._database.read([brand]) as tx:
                rows = await repository_read.snapshot_page(tx, brand=brand, after=after, limit=limit)
            if not rows:
                return
            after = rows[-1].item_id
            yield pb.StreamItemsResponse(
                items=map(_snapshot, rows), cursor=encode_cursor({"brand": str(brand), "item": after})
            )

    async def _next_brand(self, after: BrandId | None) -> BrandId | None:
        async with self._database.read() as tx:
            return await repository_read.next_brand(tx, after=after)


def _snapshot(row: ItemRow) -> pb.ItemSnapshot:
    offers = []
    if row.offer is not None:
        offers.append(
            offer_message(
                row.offer, item_id=row.item_id, market=row.market, offer_version=row.offer_row_version
            )
        )
    return pb.ItemSnapshot(
        brand_id=str(row.brand),
        item_id=row.item_id,
        deleted=row.content is None,
        content_version=row.content_version,
        offer_version=row.offer_version,
        content=None if row.content is None else content_message(row.content, row.refs),
        offers=offers,
    )


def _position(cursor: str) -> tuple[BrandId | None, str | None]:
    position = decode_cursor(cursor or None, ("brand", "item"))
    if position is None:
        return None, None
    if check_item_id(position["item"]) is not None:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor")
    try:
        return BrandId(UUID(str(position["brand"]))), str(position["item"])
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None


def _brand(text: str) -> BrandId:
    try:
        return BrandId(UUID(text))
    except ValueError:
        raise BrandInvalid("brand_id is not a UUID.", field="brand_id") from None
