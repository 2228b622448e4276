"""The pixel, as browsers fetch it: from the host that takes its events."""

from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)
_SCRIPT: Final = files("vitrin.retargeting.pixel").joinpath("static/pixel.js").read_bytes()
_ETAG: Final = f'"{sha256(_SCRIPT).hexdigest()[:32]}"'
_HEADERS: Final = {
    "cache-control": "public, max-age=3600",
    "etag": _ETAG,
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}
"""An hour: a shop that pastes the tag gets a corrected pixel the same day."""


@router.get("/pixel.js")
async def pixel(request: Request) -> Response:
    if request.headers.get("if-none-match") == _ETAG:
        return Response(status_code=304, headers=_HEADERS)
    return Response(_SCRIPT, media_type="text/javascript; charset=utf-8", headers=_HEADERS)
