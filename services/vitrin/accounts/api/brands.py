"""/v1/brands"""

from uuid import UUID

from fastapi import APIRouter, Depends, Request

from vitrin.accounts.api.parts import Reader, Writer, brands_of
from vitrin.accounts.schemas import Brand, BrandCreate, BrandPatch, NewBrand, NewKey, Page
from vitrin.kit.errors import FieldError, Malformed
from vitrin.kit.ids import BrandId
from vitrin.kit.ops.access import operator_only

router = APIRouter(prefix="/v1/brands", tags=["brands"])


@router.post("", status_code=201, dependencies=[Depends(operator_only)])
async def create_brand(request: Request, body: BrandCreate) -> NewBrand:
    """Create a brand with its first owner keys, which are shown once. Needs the operator token."""
    brand, keys = await brands_of(request).create(body.model_dump())
    return NewBrand(brand=Brand.of(brand), keys=[NewKey.shown(row, token) for row, token in keys])


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
