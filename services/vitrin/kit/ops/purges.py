"""GET /v1/ops/purges/{brand_id}: what a service has removed of a brand that has left."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, Field

from vitrin.kit.brand_data.purge import Purger
from vitrin.kit.errors import NotFound
from vitrin.kit.ids import BrandId
from vitrin.kit.ops.access import operator_only

router = APIRouter(prefix="/v1/ops/purges", tags=["operations"], dependencies=[Depends(operator_only)])


class PurgeNotFound(NotFound):
    code, title = "purge_not_found", "This service has removed nothing of such a brand"
    fix = "The rows go when the brand has left (accounts' own eight days later); see `vitrin brand offboarding`."


class Purge(BaseModel):
    brand_id: UUID
    begun_at: datetime
    passes: int = Field(description="Once at once; a second time when nothing can arrive late any more.")
    finished_at: datetime | None
    counts: dict[str, int] = Field(description="Rows removed, by table.")


def install(app: FastAPI, purger: Purger) -> None:
    app.state.purger = purger
    app.include_router(router)


@router.get("/{brand_id}", summary="Rows removed of a brand that has left")
async def read_purge(request: Request, brand_id: UUID) -> Purge:
    """Needs the operator token."""
    purger: Purger = request.app.state.purger
    found = await purger.receipt(BrandId(brand_id))
    if found is None:
        raise PurgeNotFound
    return Purge(
        brand_id=brand_id,
        begun_at=found.begun_at,
        passes=found.passes,
        finished_at=found.finished_at,
        counts=found.counts,
    )
