"""/v1/brands"""

import hmac
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from vitrin.accounts.api.parts import Reader, Writer, brands_of
from vitrin.accounts.schemas import Brand, BrandCreate, BrandPatch, NewBrand, NewKey, Page
from vitrin.accounts.service_brands import BOOTSTRAP, OPERATOR
from vitrin.kit.errors import FieldError, Malformed
from vitrin.kit.idempotency import HEADER_PARAMETER, Call, Once
from vitrin.kit.idempotency.http import HEADER
from vitrin.kit.idempotency.sealing import Sealer
from vitrin.kit.ids import BrandId, KeyId
from vitrin.kit.ops.access import operator_only

router = APIRouter(prefix="/v1/brands", tags=["brands"])


_maker = HTTPBearer(
    auto_error=False,
    scheme_name="OperatorToken",
    description="The value of VITRIN_OPERATOR_TOKEN; for the first brand of a server also that of"
    " ACCOUNTS_BOOTSTRAP_TOKEN.",
)


async def maker(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_maker)]
) -> str:
    """Who makes the brand. Raises OperatorTokenWrong, OperatorTokenNotConfigured."""
    bootstrap: str | None = request.app.state.bootstrap_token
    if (
        bootstrap is not None
        and given is not None
        and hmac.compare_digest(given.credentials.encode(), bootstrap.encode())
    ):
        return BOOTSTRAP
    await operator_only(request, given)
    return OPERATOR


@router.post(
    "",
    status_code=201,
    response_model=NewBrand,
    openapi_extra={"parameters": [HEADER_PARAMETER]},
)
async def create_brand(
    request: Request, body: BrandCreate, actor: Annotated[str, Depends(maker)]
) -> Response:
    """Create a brand with its first owner keys, which are shown once. Needs the operator token; the first brand of a
    server can be made with its bootstrap token (403 `bootstrap_done` afterwards). Send an `Idempotency-Key`: the keys
    cannot be had again if their answer is lost without one."""

    async def made(brand_id: BrandId | None = None) -> Response:
        brand, keys = await brands_of(request).create(body.model_dump(), actor=actor, brand_id=brand_id)
        shown = NewBrand(brand=Brand.of(brand), keys=[NewKey.shown(row, token) for row, token in keys])
        return Response(shown.model_dump_json(), status_code=201, media_type="application/json")

    name = request.headers.get(HEADER)
    if name is None:
        return await made()
    sealer = Sealer(request.headers["authorization"])
    brand_id = named_brand(sealer, name)
    once: Once = request.app.state.once
    call = Call(brand=brand_id, key_id=KeyId(actor), name=name, sealer=sealer)
    fingerprint = sealer.fingerprint(request.scope["query_string"], await request.body())
    return await once.run(call, fingerprint, lambda: made(brand_id))


def named_brand(sealer: Sealer, name: str) -> BrandId:
    """The id follows from the idempotency key, since the answer is stored among the rows of the brand that is made."""
    return BrandId(UUID(bytes=sealer.fingerprint(b"brand", name.encode())[:16], version=5))


@router.get("")
async def list_brands(request: Request, caller: Reader) -> Page[Brand]:
    """The brand of the key."""
    brand = await brands_of(request).get(caller, caller.brand_id)
    return Page(data=[Brand.of(brand)], next_cursor=None)


@router.get("/{brand_id}")
async def read_brand(request: Request, caller: Reader, brand_id: UUID) -> Brand:
    return Brand.of(await brands_of(request).get(caller, BrandId(brand_id)))


@router.patch("/{brand_id}")
async def change_brand(request: Request, caller: Writer, brand_id: UUID, body: BrandPatch) -> Brand:
    changes = body.model_dump(exclude_unset=True)
    nulls = [name for name, value in changes.items() if value is None]
    if nulls:
        errors = [FieldError(name, "null", "This field cannot be null.", "Leave it out.") for name in nulls]
        raise Malformed(f"{nulls[0]} cannot be null.", field=nulls[0], errors=errors)
    return Brand.of(await brands_of(request).change(caller, BrandId(brand_id), changes))
