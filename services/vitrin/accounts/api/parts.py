"""What the routes share: who calls, which use cases there are, where a page begins."""

from typing import Annotated

from fastapi import Depends, Query, Request

from vitrin.accounts.service_brands import Brands
from vitrin.accounts.service_connections import Connections
from vitrin.accounts.service_keys import Keys
from vitrin.accounts.service_outgoing import Switches
from vitrin.kit.access import Principal
from vitrin.kit.access.http import require
from vitrin.kit.errors import Malformed

Reader = Annotated[Principal, Depends(require("accounts:read"))]
Writer = Annotated[Principal, Depends(require("accounts:write"))]
Limit = Annotated[int, Query(ge=1, description="Items on the page; at most the service's page limit.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
PAGE_ITEMS = 50


def brands_of(request: Request) -> Brands:
    found: Brands = request.app.state.brands
    return found


def keys_of(request: Request) -> Keys:
    found: Keys = request.app.state.keys
    return found


def connections_of(request: Request) -> Connections:
    found: Connections = request.app.state.connections
    return found


def switches_of(request: Request) -> Switches:
    found: Switches = request.app.state.switches
    return found


def page_limit(request: Request, limit: int) -> int:
    largest: int = request.app.state.http_settings.page_items_max
    if limit > largest:
        raise Malformed(
            f"A page has at most {largest} items.", field="limit", fix=f"Send a limit up to {largest}."
        )
    return limit
