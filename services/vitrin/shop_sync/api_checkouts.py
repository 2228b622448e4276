"""The HTTP door of carts: where a platform sends its shoppers, and how a brand sets that up."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.http.paging import encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.shop_sync import checkout_page
from vitrin.shop_sync import schemas_checkouts as schemas
from vitrin.shop_sync.api import timed_position
from vitrin.shop_sync.domain.cart_words import LANGUAGE, told
from vitrin.shop_sync.domain.checkout import Coupon, Trouble
from vitrin.shop_sync.errors import CheckoutCrowded, CheckoutNotFound
from vitrin.shop_sync.service.carts import query_of
from vitrin.shop_sync.service.checkouts import Cart, Checkouts, Setup

router = APIRouter(prefix="/v1", tags=["checkout"], route_class=IdempotentRoute)

Reader = Annotated[Principal, Depends(require("sync:read"))]
Writer = Annotated[Principal, Depends(require("sync:write"))]
ChannelPath = Annotated[UUID, Path(description="Id of the channel.")]
CHECKOUT: str = "/v1/checkout"


def _checkouts(request: Request) -> Checkouts:
    found: Checkouts = request.app.state.checkouts
    return found


Use = Annotated[Checkouts, Depends(_checkouts)]


@router.get("/channels/{channel_id}/checkout", summary="Where the channel's carts go on")
async def get_checkout(
    request: Request, principal: Reader, checkouts: Use, channel_id: ChannelPath
) -> schemas.Checkout:
    return _shown(request, await checkouts.get(principal, channel_id))


@router.put("/channels/{channel_id}/checkout", summary="Say where the channel's carts go on")
async def put_checkout(
    request: Request, principal: Writer, checkouts: Use, channel_id: ChannelPath, body: schemas.CheckoutPut
) -> schemas.Checkout:
    """Register `checkout_url` with the platform. The address stays when this is changed."""
    coupons = None if body.coupons is None else [Coupon(**one.model_dump()) for one in body.coupons]
    setup = await checkouts.put(
        principal,
        channel_id,
        connection_id=body.shop,
        storefront_url=body.storefront_url,
        coupons=coupons,
    )
    return _shown(request, setup)


@router.delete("/channels/{channel_id}/checkout", status_code=204, summary="Take no carts any more")
async def delete_checkout(principal: Writer, checkouts: Use, channel_id: ChannelPath) -> None:
    """The address is gone for good: setting it up again makes another."""
    await checkouts.delete(principal, channel_id)


@router.get(
    "/channels/{channel_id}/carts", summary="Carts that were handed over, and what could not be honoured"
)
async def list_carts(
    *,
    principal: Reader,
    checkouts: Use,
    channel_id: ChannelPath,
    outcome: Annotated[schemas.Outcome | None, Query(description="Only carts that ended so.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Rows per page.")] = 100,
    cursor: Annotated[
        str | None, Query(description="'next_cursor' of the page before.", max_length=1024)
    ] = None,
) -> schemas.HandoffPage:
    """The newest first; kept for 30 days. Who the shopper was is not kept."""
    rows = await checkouts.handoffs(
        principal, channel_id, outcome=outcome, before=timed_position(cursor), limit=limit + 1
    )
    last = rows[limit - 1] if len(rows) > limit else None
    return schemas.HandoffPage(
        data=[
            schemas.Handoff(
                id=row.handoff_id,
                at=row.at,
                outcome=row.outcome,
                lines=row.lines,
                troubles=[_trouble(Trouble(**one), LANGUAGE) for one in row.troubles],
            )
            for row in rows[:limit]
        ],
        next_cursor=encode_cursor({"at": last.at.isoformat(), "id": str(last.handoff_id)}) if last else None,
    )


@router.get(
    "/checkout/{checkout_id}",
    summary="A platform sends a shopper with a cart",
    response_model=schemas.Cart,
    responses={
        302: {"description": "To the shop's cart: everything goes on."},
        200: {
            "description": "A page that says what cannot go on, with the way on; JSON where JSON is asked for."
        },
    },
)
async def hand_over(
    *,
    request: Request,
    checkouts: Use,
    checkout_id: Annotated[UUID, Path(description="From `checkout_url`; no key is needed.")],
    products: Annotated[str, Query(description="id:quantity,id:quantity with the platform's ids.")] = "",
    coupon: Annotated[str, Query(description="A code.")] = "",
) -> Response:
    """`utm_*`, `fbclid`, `cart_origin` and `ref` go on to the shop. Nothing else of the address decides where the
    shopper lands: always at the shop that the channel's checkout names."""
    try:
        cart = await checkouts.hand_over(
            checkout_id, products=products, coupon=coupon, query=query_of(request.url.query)
        )
    except (CheckoutNotFound, CheckoutCrowded) as error:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return _closed(request, error)
    if "application/json" in request.headers.get("accept", ""):
        return Response(
            _cart(cart).model_dump_json(),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )
    if cart.handoff.outcome == "whole":
        return RedirectResponse(cart.url, status_code=302, headers={"cache-control": "no-store"})
    return HTMLResponse(checkout_page.page(cart), headers=checkout_page.HEADERS)


def _closed(request: Request, error: CheckoutNotFound | CheckoutCrowded) -> Response:
    """A shopper reads a page, not a problem document."""
    request.scope["vitrin.problem_code"] = error.code
    crowded = isinstance(error, CheckoutCrowded)
    return HTMLResponse(
        checkout_page.closed(request.headers.get("accept-language", ""), crowded=crowded),
        status_code=error.status,
        headers={**checkout_page.HEADERS, **({"retry-after": "1"} if crowded else {})},
    )


def _cart(cart: Cart) -> schemas.Cart:
    found = cart.handoff
    return schemas.Cart(
        outcome=found.outcome,
        cart_url=cart.url,
        lines=[
            schemas.CartLine(product_id=one.product_id, variant_id=one.variant_id, quantity=one.quantity)
            for one in found.lines
        ],
        coupons=list(found.coupons),
        troubles=[_trouble(one, cart.language) for one in found.troubles],
    )


def _trouble(one: Trouble, language: str) -> schemas.CartTrouble:
    return schemas.CartTrouble(
        code=one.code, subject=one.subject, title=one.title, left=one.left, message=told(one, language)
    )


def _shown(request: Request, setup: Setup) -> schemas.Checkout:
    base: str = request.app.state.public_url or str(request.base_url)
    return schemas.Checkout(
        channel_id=setup.channel_id,
        checkout_url=f"{base.rstrip('/')}{CHECKOUT}/{setup.checkout_id}",
        shop=setup.connection_id,
        storefront_url=setup.storefront_url,
        coupons=None
        if setup.coupons is None
        else [
            schemas.Coupon(code=one.code, starts_at=one.starts_at, ends_at=one.ends_at)
            for one in setup.coupons
        ],
        changed_at=setup.changed_at,
        changed_by=setup.changed_by,
    )
