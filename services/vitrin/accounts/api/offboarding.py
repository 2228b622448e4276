"""/v1/brands/{brand_id}:offboard: a brand leaves."""

from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from vitrin.accounts.api.parts import Reader, Writer
from vitrin.accounts.schemas_offboarding import Offboarding, OffboardingAsk
from vitrin.accounts.service_offboarding import Offboarding as UseCases
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ids import BrandId
from vitrin.kit.ops.access import operator_only

router = APIRouter(prefix="/v1", tags=["brands"], route_class=IdempotentRoute)


def _use_cases(request: HttpRequest) -> UseCases:
    found: UseCases = request.app.state.offboarding
    return found


@router.post("/brands/{brand_id}:offboard", status_code=202, summary="End the brand after a grace")
async def offboard_brand(
    request: HttpRequest, caller: Writer, brand_id: UUID, body: OffboardingAsk
) -> Offboarding:
    """At once nothing goes out any more. After the grace (seven days by default) all keys are revoked, the platforms'
    tokens and the keys of personal data destroyed, and every service removes the brand's rows. Items are not removed
    from the platforms: delete them before, through the removal guard, or close the catalogs there. Take `vitrin export`
    first. Where the brand's approvals need another person, a second owner sends the same. Needs a live owner key."""
    return Offboarding.of(await _use_cases(request).ask(caller, BrandId(brand_id), confirm=body.confirm))


@router.post("/brands/{brand_id}:keep", status_code=204, summary="Take the end of the brand back")
async def keep_brand(request: HttpRequest, caller: Writer, brand_id: UUID) -> Response:
    """Possible until `due_at`; what was stopped by it goes out again. Needs a live owner key."""
    await _use_cases(request).keep(caller, BrandId(brand_id))
    return Response(status_code=204)


@router.get("/brands/{brand_id}/offboarding", summary="How far the end of the brand is")
async def read_offboarding(request: HttpRequest, caller: Reader, brand_id: UUID) -> Offboarding:
    row = await _use_cases(request).get(caller, BrandId(brand_id))
    return Offboarding(brand_id=brand_id, state="stays") if row is None else Offboarding.of(row)


@router.get(
    "/ops/offboardings/{brand_id}",
    summary="The receipt of a brand that has left",
    dependencies=[Depends(operator_only)],
)
async def read_offboarding_receipt(request: HttpRequest, brand_id: UUID) -> Offboarding:
    """Needs the operator token: the brand's own keys are revoked. The counts of rows: `/v1/ops/purges/{brand_id}` of
    every service."""
    return Offboarding.of(await _use_cases(request).of(BrandId(brand_id)))
