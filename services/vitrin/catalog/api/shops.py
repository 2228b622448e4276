"""`/v1/shops`: how each connected shop stands, what came from it, and what a person may ask of it."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from vitrin.catalog.api.common import Cursor, Limit, Reader, Writer, answer, filter_text, page_limit
from vitrin.catalog.schemas import answer_of
from vitrin.catalog.shop import schemas
from vitrin.catalog.shop.desk import ShopDesk
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ids import ConnectionId

router = APIRouter(prefix="/v1", tags=["shops"], route_class=IdempotentRoute)
ShopPath = Annotated[UUID, Path(description="Id of the shop: that of its connection.")]
_SEQ_MAX = 2**63 - 1


class DeliveryState(StrEnum):
    PENDING = "pending"
    FAILED = "failed"
    DEAD = "dead"
    WAITING = "waiting"
    APPLIED = "applied"
    STALE = "stale"
    NOTHING = "nothing"


def _desk(request: Request) -> ShopDesk:
    desk: ShopDesk = request.app.state.shops
    return desk


@router.get(
    "/shops",
    summary="The brand's shops",
    responses={200: answer_of(schemas.SHOP_PAGE, "A page of shops")},
)
async def list_shops(
    request: Request, principal: Reader, limit: Limit = None, cursor: Cursor = None
) -> Response:
    position = decode_cursor(cursor, ("shop",))
    try:
        after = None if position is None else ConnectionId(UUID(str(position["shop"])))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    documents, more = await _desk(request).page(principal, after=after, limit=page_limit(request, limit))
    return answer(
        {"data": documents, "next_cursor": None if more is None else encode_cursor({"shop": str(more)})}
    )


@router.get(
    "/shops/{connection_id}",
    summary="A shop, its latest loads, and how many deliveries are in which state",
    responses={200: answer_of(schemas.SHOP, "The shop")},
)
async def get_shop(request: Request, principal: Reader, connection_id: ShopPath) -> Response:
    """`state`: `new` until the shop was asked who it is; `ready`; `refused`, it cannot be used (its currency is not the
    brand's); `needs_attention`, its token or settings do not work; `uninstalled`, the app was removed there (its items
    stay as they are); `closed`, the connection was deleted. `problem` says why and what to do.

    `webhooks.state` `needs_public_url`: the server has no address that the shop can reach, so it is only reconciled."""
    return answer(await _desk(request).get(principal, ConnectionId(connection_id)))


@router.post(
    "/shops/{connection_id}:load",
    status_code=202,
    summary="Read the whole shop anew",
    responses={202: answer_of(schemas.LOAD, "The load; where one was open already, that one")},
)
async def load_shop(request: Request, principal: Writer, connection_id: ShopPath) -> Response:
    """Follow it by `GET /v1/shops/{connection_id}`. Products that the load did not show are asked for one by one and
    deleted only where the shop says that they are gone."""
    return answer(await _desk(request).load(principal, ConnectionId(connection_id)), 202)


@router.get(
    "/shops/{connection_id}/deliveries",
    summary="Webhooks that came from the shop, the newest first",
    responses={200: answer_of(schemas.DELIVERY_PAGE, "A page of deliveries")},
)
async def list_deliveries(
    request: Request,
    principal: Reader,
    connection_id: ShopPath,
    *,
    state: DeliveryState | None = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Kept for 30 days; their bodies are removed when they were applied, those of dead ones after 7 days."""
    position = decode_cursor(cursor, ("seq",))
    before = None if position is None else position["seq"]
    if before is not None and (not isinstance(before, int) or not 0 < before <= _SEQ_MAX):
        raise CursorInvalid("The cursor is not one of ours.", field="cursor")
    documents, more = await _desk(request).deliveries(
        principal,
        ConnectionId(connection_id),
        state=None if state is None else str(state),
        before=before,
        limit=page_limit(request, limit),
    )
    return answer({"data": documents, "next_cursor": None if more is None else encode_cursor({"seq": more})})


@router.get(
    "/shops/{connection_id}/warnings",
    summary="Items that were taken without something that could not be read",
    responses={200: answer_of(schemas.WARNING_PAGE, "A page of items")},
)
async def list_warnings(
    request: Request, principal: Reader, connection_id: ShopPath, limit: Limit = None, cursor: Cursor = None
) -> Response:
    """A wrong barcode, a picture or link that is no address, a text that is too long: the item is there without it.
    What the shop corrects leaves this list with its next webhook."""
    position = decode_cursor(cursor, ("item",))
    documents, more = await _desk(request).warnings(
        principal,
        ConnectionId(connection_id),
        after="" if position is None else filter_text("cursor", str(position["item"])) or "",
        limit=page_limit(request, limit),
    )
    return answer({"data": documents, "next_cursor": None if more is None else encode_cursor({"item": more})})


@router.post(
    "/shops/{connection_id}/deliveries/{delivery_id}:replay",
    status_code=202,
    summary="Apply a failed, dead or waiting delivery again",
    responses={202: answer_of(schemas.DELIVERY, "The delivery")},
)
async def replay_delivery(
    request: Request,
    principal: Writer,
    connection_id: ShopPath,
    delivery_id: Annotated[str, Path(max_length=200, description="The shop's own id of the webhook.")],
) -> Response:
    filter_text("delivery_id", delivery_id)
    return answer(await _desk(request).replay(principal, ConnectionId(connection_id), delivery_id), 202)
