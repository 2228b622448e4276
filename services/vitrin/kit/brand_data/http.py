"""GET /v1/export: the same door on every service that keeps something of a brand."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.brand_data.export import BrandExport
from vitrin.kit.errors import Forbidden

MEDIA_TYPE = "application/x-ndjson"


class LiveKeyNeeded(Forbidden):
    code, title = "live_key_needed", "A test key gets no export"
    fix = "Use a live key of an owner."


def export_router() -> APIRouter:
    """Needs `BrandExport` as the state `export`."""
    router = APIRouter(prefix="/v1/export", tags=["export"])

    @router.get("", response_class=StreamingResponse, responses={200: {"content": {MEDIA_TYPE: {}}}})
    async def export_brand(
        request: Request, caller: Annotated[Principal, Depends(require("accounts:write"))]
    ) -> StreamingResponse:
        """Everything that this service keeps of the brand, as lines of JSON: a heading, rows table by table with a
        count after each, `{"end": true}` last; without that line it was cut off: start again. Tokens, hashes and keys
        are left out. For owners, with a live key. `vitrin export` collects it from all services."""
        if caller.mode != "live":
            raise LiveKeyNeeded
        whole: BrandExport = request.app.state.export
        return StreamingResponse(
            whole.lines(caller.brand_id),
            media_type=MEDIA_TYPE,
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": 'attachment; filename="export.ndjson"',
            },
        )

    return router
