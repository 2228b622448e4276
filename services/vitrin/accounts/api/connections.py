"""/v1/connections"""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from vitrin.accounts.api.parts import PAGE_ITEMS, Cursor, Limit, Reader, Writer, connections_of, page_limit
from vitrin.accounts.schemas import Connection, ConnectionCreate, ConnectionPatch, Page
from vitrin.kit.clock import Clock
from vitrin.kit.errors import Malformed
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ids import ConnectionId

router = APIRouter(prefix="/v1/connections", tags=["connections"], route_class=IdempotentRoute)


def _shown(request: Request, row: Any) -> Connection:
    clock: Clock = request.app.state.clock
    return Connection.of(row, clock())


@router.post("", status_code=201)
async def create_connection(request: Request, caller: Writer, body: ConnectionCreate) -> Connection:
    """Connect a catalog of a platform. The token is sealed and never shown again."""
    wanted = body.model_dump()
    wanted["access_token"] = body.access_token.get_secret_value()
    return _shown(request, await connections_of(request).create(caller, wanted))


@router.get("")
async def list_connections(
    request: Request, caller: Reader, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[Connection]:
    """The brand's connections; a test key sees those to sandboxes only."""
    size = page_limit(request, limit)
    position = decode_cursor(cursor, {"c"})
    try:
        after = None if position is None else UUID(str(position["c"]))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    rows = await connections_of(request).page(caller, after=after, limit=size + 1)
    more = encode_cursor({"c": str(rows[size - 1].connection_id)}) if len(rows) > size else None
    return Page(data=[_shown(request, row) for row in rows[:size]], next_cursor=more)


@router.get("/{connection_id}")
async def read_connection(request: Request, caller: Reader, connection_id: UUID) -> Connection:
    return _shown(request, await connections_of(request).get(caller, ConnectionId(connection_id)))


@router.patch("/{connection_id}")
async def change_connection(
    request: Request, caller: Writer, connection_id: UUID, body: ConnectionPatch
) -> Connection:
    """Replace the token, its end or its scopes. A new token makes the connection active again."""
    changes = body.model_dump(exclude_unset=True)
    for name in ("access_token", "scopes"):
        if name in changes and changes[name] is None:
            raise Malformed(f"{name} cannot be null.", field=name, fix="Leave it out.")
    if body.access_token is not None:
        changes["access_token"] = body.access_token.get_secret_value()
    row = await connections_of(request).change(caller, ConnectionId(connection_id), changes)
    return _shown(request, row)


@router.delete("/{connection_id}", status_code=204)
async def delete_connection(request: Request, caller: Writer, connection_id: UUID) -> None:
    """Delete a connection: its work stops and its token is destroyed."""
    await connections_of(request).delete(caller, ConnectionId(connection_id))
