"""`/v1/offers:batch`: price and stock, the fast path."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrin.catalog import schemas
from vitrin.catalog.api.common import Writer, answer
from vitrin.catalog.api.items import items_of
from vitrin.catalog.requests import batch_entries
from vitrin.kit.idempotency import IdempotentRoute

router = APIRouter(prefix="/v1", tags=["offers"], route_class=IdempotentRoute)


@router.post(
    "/offers:batch",
    summary="Change price and stock of up to 10,000 items",
    openapi_extra=schemas.body_of(schemas.OFFERS_BATCH),
    responses={200: schemas.answer_of(schemas.RESULTS, "One result per entry, in order")},
)
async def batch_offers(request: Request, principal: Writer) -> Response:
    """Fields that are left out stay as they are. An unknown item is refused; the others go on."""
    entries = batch_entries(await request.body())
    results = await items_of(request).batch_offers(principal.brand_id, principal.actor, entries)
    return answer(schemas.results_document(results))
