"""What every route of the catalog uses."""

from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Query, Request
from starlette.responses import Response

from vitrin.kit.access import Principal
from vitrin.kit.access.http import require
from vitrin.kit.errors import Refused
from vitrin.kit.settings import HttpSettings

Reader = Annotated[Principal, Depends(require("catalog:read"))]
Writer = Annotated[Principal, Depends(require("catalog:write"))]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before.")]
Limit = Annotated[int | None, Query(ge=1, description="Entries of a page; 100 where it is left out.")]

PAGE_ENTRIES: Final = 100
FILTER_CHARS_MAX: Final = 1_000


class FilterInvalid(Refused):
    code, title = "filter_invalid", "The filter cannot match anything"


class LimitTooLarge(Refused):
    code, title = "limit_too_large", "The page would be too large"


def answer(document: object, status: int = 200) -> Response:
    return Response(
        orjson.dumps(document, option=orjson.OPT_UTC_Z), status_code=status, media_type="application/json"
    )


def page_limit(request: Request, limit: int | None) -> int:
    """Raises LimitTooLarge."""
    settings: HttpSettings = request.app.state.http_settings
    wanted = min(PAGE_ENTRIES, settings.page_items_max) if limit is None else limit
    if wanted > settings.page_items_max:
        raise LimitTooLarge(
            f"limit is {wanted}; the largest page has {settings.page_items_max} entries.",
            field="limit",
            fix=f"Use limit={settings.page_items_max} and follow next_cursor.",
        )
    return wanted


def filter_text(field: str, value: str | None) -> str | None:
    """A text that PostgreSQL can compare with. Raises FilterInvalid."""
    if value is not None and ("\x00" in value or len(value) > FILTER_CHARS_MAX):
        raise FilterInvalid(
            f"{field} has a NUL character or more than {FILTER_CHARS_MAX} characters.",
            field=field,
            fix="Correct the filter or leave it out.",
        )
    return value


def service(request: Request, name: str) -> Any:
    return getattr(request.app.state, name)
