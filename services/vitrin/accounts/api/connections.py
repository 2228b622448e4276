"""/v1/connections"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from vitrin.accounts.api.parts import PAGE_ITEMS, Cursor, Limit, Reader, Writer, connections_of, page_limit
from vitrin.accounts.schemas import ConnectionCreate, ConnectionPatch, Page
from vitrin.accounts.schemas_oauth import ConnectionWithToken
from vitrin.kit.clock import Clock
from vitrin.kit.errors import Malformed
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ids import ConnectionId

router = APIRouter(prefix="/v1/connections", tags=["connections"], route_class=IdempotentRoute)


async def shown(request: Request, row: Any) -> ConnectionWithToken:
    """A connection with the forecast of its token."""
    return (await _all_shown(request, [row]))[0]


async def _all_shown(request: Request, rows: Sequence[Any]) -> list[ConnectionWithToken]:
    clock: Clock = request.app.state.clock
    tokens = await connections_of(request).tokens(rows)
    return [ConnectionWithToken.shown(row, tokens.get(row.connection_id), clock()) for row in rows]


@router.post("", status_code=201)
async def create_connection(request: Request, caller: Writer, body: ConnectionCreate) -> ConnectionWithToken:
    """Connect a catalog of a platform, or a shop that products come from. Tokens and secrets are sealed and never shown
    again."""
    wanted = body.model_dump()
    wanted["access_token"] = body.access_token.get_secret_value()
    wanted["webhook_secret"] = body.webhook_secret.get_secret_value() if body.webhook_secret else None
    return await shown(request, await connections_of(request).create(caller, wanted))


@router.get("")
async def list_connections(
    request: Request, caller: Reader, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[ConnectionWithToken]:
    """The brand's connections with the forecast of their tokens; a test key sees those to sandboxes only."""
    size = page_limit(request, limit)
    position = decode_cursor(cursor, {"c"})
    try:
        after = None if position is None else UUID(str(position["c"]))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    rows = await connections_of(request).page(caller, after=after, limit=size + 1)
    more = encode_cursor({"c": str(rows[size - 1].connection_id)}) if len(rows) > size else None
    return Page(data=await _all_shown(request, rows[:size]), next_cursor=more)


@router.get("/{connection_id}")
async def read_connection(request: Request, caller: Reader, connection_id: UUID) -> ConnectionWithToken:
    return await shown(request, await connections_of(request).get(caller, ConnectionId(connection_id)))


@router.patch("/{connection_id}")
async def change_connection(
    request: Request, caller: Writer, connection_id: UUID, body: ConnectionPatch
) -> ConnectionWithToken:
    """Replace the token, its end or its scopes. A new token makes the connection active again."""
    changes = body.model_dump(exclude_unset=True)
    for name in ("access_token", "webhook_secret", "scopes"):
        if name in changes and changes[name] is None:
            raise Malformed(f"{name} cannot be null.", field=name, fix="Leave it out.")
    if body.access_token is not None:
        changes["access_token"] = body.access_token.get_secret_value()
    if body.webhook_secret is not None:
        changes["webhook_secret"] = body.webhook_secret.get_secret_value()
    row = await connections_of(request).change(caller, ConnectionId(connection_id), changes)
    return await shown(request, row)


@router.delete("/{connection_id}", status_code=204)
async def delete_connection(request: Request, caller: Writer, connection_id: UUID) -> None:
    """Delete a connection: its work stops and its token is destroyed."""
    await connections_of(request).delete(caller, ConnectionId(connection_id))
