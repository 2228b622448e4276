"""`/v1/items`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from vitrin.catalog import schemas
from vitrin.catalog.api.common import Cursor, Limit, Reader, Writer, answer, filter_text, page_limit
from vitrin.catalog.domain import Availability, Status, check_item_id
from vitrin.catalog.repository_read import ItemFilter
from vitrin.catalog.requests import batch_entries, json_object
from vitrin.catalog.service_items import ItemService
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute

router = APIRouter(prefix="/v1", tags=["items"], route_class=IdempotentRoute)


def items_of(request: Request) -> ItemService:
    service: ItemService = request.app.state.items
    return service


@router.post(
    "/items",
    status_code=201,
    summary="Create an item with its offer",
    openapi_extra=schemas.body_of(schemas.CREATE),
    responses={201: schemas.answer_of(schemas.WRITTEN, "Created")},
)
async def create_item(request: Request, principal: Writer) -> Response:
    """409 `item_exists` when there is one already; 422 `item_invalid` names every field that is wrong."""
    body = json_object(await request.body())
    written = await items_of(request).create(principal.brand_id, principal.actor, body)
    return answer(schemas.written_document(written), 201)


@router.get(
    "/items",
    summary="List items in the order of their ids",
    responses={200: schemas.answer_of(schemas.ITEM_PAGE, "A page of items")},
)
async def list_items(
    request: Request,
    principal: Reader,
    *,
    limit: Limit = None,
    cursor: Cursor = None,
    status: Status | None = None,
    item_group_id: str | None = None,
    sku: str | None = None,
    gtin: str | None = None,
    availability: Annotated[
        Availability | None, Query(description="Effective: what a shopper can do now.")
    ] = None,
    updated_since: Annotated[
        AwareDatetime | None, Query(description="Changed at this time or later.")
    ] = None,
    q: Annotated[str | None, Query(description="Beginning of the title, in any case.")] = None,
) -> Response:
    count = page_limit(request, limit)
    wanted = ItemFilter(
        status=status,
        item_group_id=filter_text("item_group_id", item_group_id),
        sku=filter_text("sku", sku),
        gtin=filter_text("gtin", gtin),
        availability=availability,
        updated_since=updated_since,
        title_prefix=filter_text("q", q),
    )
    rows, more = await items_of(request).page(
        principal.brand_id, wanted=wanted, after=_position(cursor), limit=count
    )
    next_cursor = encode_cursor({"item": rows[-1].item_id}) if more else None
    return answer({"data": [schemas.item_document(row) for row in rows], "next_cursor": next_cursor})


def _position(cursor: str | None) -> str | None:
    position = decode_cursor(cursor, ("item",))
    if position is None:
        return None
    if check_item_id(position["item"]) is not None:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor")
    return str(position["item"])


@router.post(
    "/items:batch",
    summary="Create, change or delete up to 10,000 items",
    openapi_extra=schemas.body_of(schemas.ITEMS_BATCH),
    responses={200: schemas.answer_of(schemas.RESULTS, "One result per entry, in order")},
)
async def batch_items(request: Request, principal: Writer) -> Response:
    """Fields that are left out stay as they are, null clears. A refused entry does not hold up the others. Applied in
    transactions of 1,000 entries (with an `Idempotency-Key` in one); sending the same batch again is harmless."""
    entries = batch_entries(await request.body())
    results = await items_of(request).batch_items(principal.brand_id, principal.actor, entries)
    return answer(schemas.results_document(results))


@router.get(
    "/items/{item_id:path}",
    summary="Read an item",
    responses={200: schemas.answer_of(schemas.ITEM_ALONE, "The item")},
)
async def get_item(request: Request, principal: Reader, item_id: str) -> Response:
    """`warnings`: what the shop that the item comes from told of it and could not be read; the item is without it until
    the shop corrects it."""
    row = await items_of(request).get(principal.brand_id, item_id)
    warnings = await items_of(request).warnings(principal.brand_id, item_id)
    return answer({**schemas.item_document(row), "warnings": warnings})


@router.patch(
    "/items/{item_id:path}",
    summary="Change fields of an item",
    openapi_extra=schemas.body_of(schemas.PATCH),
    responses={200: schemas.answer_of(schemas.WRITTEN, "The item after the change")},
)
async def patch_item(request: Request, principal: Writer, item_id: str) -> Response:
    """Fields that are left out stay as they are; null clears one. Versions rise only where something changed."""
    body = json_object(await request.body())
    written = await items_of(request).patch(principal.brand_id, principal.actor, item_id, body)
    return answer(schemas.written_document(written))


@router.delete(
    "/items/{item_id:path}",
    summary="Delete an item",
    responses={200: schemas.answer_of(schemas.WRITTEN, "Its last versions")},
)
async def delete_item(
    request: Request,
    principal: Writer,
    item_id: str,
    occurred_at: Annotated[
        str | None, Query(description="When it was deleted in the shop: ISO 8601 with its zone.")
    ] = None,
) -> Response:
    """It is taken off every platform. A new item with the same id goes on with its versions."""
    written = await items_of(request).delete(principal.brand_id, principal.actor, item_id, occurred_at)
    return answer(schemas.written_document(written))
