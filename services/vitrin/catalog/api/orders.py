"""`/v1/orders` and `/v1/privacy_requests`: what the brand's shops sold, and what they asked for their customers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from vitrin.catalog.api.common import Cursor, Limit, Reader, answer, page_limit
from vitrin.catalog.orders.reading import PERSON_SCOPE, OrderReading
from vitrin.catalog.orders.repository import Wanted
from vitrin.catalog.orders.schemas import ORDER, ORDER_PAGE, REQUEST, REQUEST_PAGE
from vitrin.catalog.schemas import answer_of
from vitrin.kit.access import Principal
from vitrin.kit.access.http import require
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute

router = APIRouter(prefix="/v1", tags=["orders"], route_class=IdempotentRoute)
OrderState = Literal["open", "paid", "partially_refunded", "refunded", "cancelled", "failed"]
RequestState = Literal["open", "running", "done"]
RequestKind = Literal["export", "erase", "shop_erase"]
Owner = Annotated[Principal, Depends(require(PERSON_SCOPE))]
OrderPath = Annotated[str, Path(description="`id` of the order: that of its shop, a colon, the shop's own.")]
RequestPath = Annotated[UUID, Path(description="Id of the request.")]


def _reading(request: Request) -> OrderReading:
    found: OrderReading = request.app.state.orders
    return found


Use = Annotated[OrderReading, Depends(_reading)]


@router.get(
    "/orders",
    summary="Orders of the brand's shops, the newest first",
    responses={200: answer_of(ORDER_PAGE, "A page of orders")},
)
async def list_orders(
    *,
    request: Request,
    principal: Reader,
    orders: Use,
    state: Annotated[OrderState | None, Query(description="Only orders in this state.")] = None,
    shop: Annotated[UUID | None, Query(description="Only of this shop (its connection).")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only those placed at or after it.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Only those placed before it.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Of connected shops, from the connection on; kept for 400 days after the last change
    (`CATALOG_ORDERS_KEEP_DAYS`). Who bought is not in
    the list. A test key sees those of sandbox shops."""
    size = page_limit(request, limit)
    position = _position(cursor, "order")
    after = None if position is None else (position[0], position[1], position[2])
    wanted = Wanted(
        state=state,
        shop=shop,
        since=since,
        until=until,
        after=after,
        sandbox_only=principal.mode == "test",
    )
    found = await orders.page(principal, wanted, limit=size + 1)
    more = None
    if len(found) > size:
        at, connection, order_id = found[size - 1][1]
        more = encode_cursor({"at": _text(at), "id": str(connection), "order": order_id})
    return answer({"data": [one for one, _ in found[:size]], "next_cursor": more})


@router.get(
    "/orders/{order}",
    summary="One order, with its timeline, its refunds and who has seen who bought",
    responses={200: answer_of(ORDER, "The order")},
)
async def get_order(
    *,
    principal: Reader,
    orders: Use,
    order: OrderPath,
    person: Annotated[bool, Query(description="Who bought too: for owners (scope accounts:write).")] = False,
) -> Response:
    """`timeline` has each version: what was new in it (created, paid, updated, refunded, cancelled, failed, erased), by
    the shop's clock and by ours. `person` is null where the shop named nobody or they were erased; whoever asks for it
    is noted in `person_seen`."""
    return answer(await orders.get(principal, order, person=person))


@router.get(
    "/privacy_requests",
    summary="What shops asked in the name of their customers, the newest first",
    responses={200: answer_of(REQUEST_PAGE, "A page of requests")},
)
async def list_privacy_requests(
    *,
    request: Request,
    principal: Reader,
    orders: Use,
    state: Annotated[RequestState | None, Query(description="Only in this state.")] = None,
    kind: Annotated[RequestKind | None, Query(description="Only of this kind.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """`export`: a customer wants their data, to be answered by `due_at`. `erase` and `shop_erase` are carried out by
    themselves and have a receipt. A notification (`privacy.asked`) says each, until it is answered."""
    size = page_limit(request, limit)
    position = _position(cursor)
    after = None if position is None else (position[0], position[1])
    found = await orders.requests(principal, state=state, kind=kind, after=after, limit=size + 1)
    more = None
    if len(found) > size:
        at, request_id = found[size - 1][1]
        more = encode_cursor({"at": _text(at), "id": str(request_id)})
    return answer({"data": [one for one, _ in found[:size]], "next_cursor": more})


@router.get(
    "/privacy_requests/{privacy_request_id}",
    summary="One request; of an export with all that is known of the person",
    responses={200: answer_of(REQUEST, "The request")},
)
async def get_privacy_request(principal: Owner, orders: Use, privacy_request_id: RequestPath) -> Response:
    """For owners (scope `accounts:write`); looking at an export is noted at each of its orders."""
    return answer(await orders.request(principal, privacy_request_id))


@router.post(
    "/privacy_requests/{privacy_request_id}:answered",
    summary="The brand did its part: the customer got the data, or nothing of them is left elsewhere",
    responses={200: answer_of(REQUEST, "The request")},
)
async def answer_privacy_request(principal: Owner, orders: Use, privacy_request_id: RequestPath) -> Response:
    """Ends the notification."""
    return answer(await orders.answered(principal, privacy_request_id))


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _position(cursor: str | None, *more: str) -> tuple[datetime, UUID, str] | None:
    position: Mapping[str, Any] | None = decode_cursor(cursor, ("at", "id", *more))
    if position is None:
        return None
    try:
        at = datetime.fromisoformat(str(position["at"]))
        found = at, UUID(str(position["id"])), str(position.get("order", ""))
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    if at.tzinfo is None or "\x00" in found[2]:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return found
