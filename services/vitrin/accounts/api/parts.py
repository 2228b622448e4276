"""What the routes share: who calls, which use cases there are, where a page begins."""

import hmac
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from vitrin.accounts.errors import OperatorTokenNotConfigured, OperatorTokenWrong
from vitrin.accounts.service_brands import Brands
from vitrin.accounts.service_connections import Connections
from vitrin.accounts.service_keys import Keys
from vitrin.kit.access import Principal
from vitrin.kit.access.http import require
from vitrin.kit.errors import Malformed

Reader = Annotated[Principal, Depends(require("accounts:read"))]
Writer = Annotated[Principal, Depends(require("accounts:write"))]
Limit = Annotated[int, Query(ge=1, description="Items on the page; at most the service's page limit.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
PAGE_ITEMS = 50

_operator = HTTPBearer(
    auto_error=False, scheme_name="OperatorToken", description="The value of VITRIN_OPERATOR_TOKEN."
)


async def operator_only(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> None:
    """In constant time. Without a configured token nobody gets through."""
    expected: str | None = request.app.state.operator_token
    if expected is None:
        raise OperatorTokenNotConfigured
    if given is None or not hmac.compare_digest(given.credentials.encode(), expected.encode()):
        raise OperatorTokenWrong


def brands_of(request: Request) -> Brands:
    found: Brands = request.app.state.brands
    return found


def keys_of(request: Request) -> Keys:
    found: Keys = request.app.state.keys
    return found


def connections_of(request: Request) -> Connections:
    found: Connections = request.app.state.connections
    return found


def page_limit(request: Request, limit: int) -> int:
    largest: int = request.app.state.http_settings.page_items_max
    if limit > largest:
        raise Malformed(
            f"A page has at most {largest} items.", field="limit", fix=f"Send a limit up to {largest}."
        )
    return limit
