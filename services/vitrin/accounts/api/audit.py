"""/v1/audit"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from vitrin.accounts.api.parts import PAGE_ITEMS, Cursor, Limit, Reader, page_limit
from vitrin.accounts.repository_audit import AuditFilter
from vitrin.accounts.schemas import Code, Moment, Page, Text
from vitrin.accounts.schemas_audit import AuditEntry
from vitrin.accounts.service_audit import AuditLog
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor

router = APIRouter(prefix="/v1/audit", tags=["audit"])
SUBJECT_LENGTH_MAX = 200
Word = Annotated[Text, Query(max_length=SUBJECT_LENGTH_MAX)]


@router.get("", summary="Who did what, the newest first")
async def read_audit(
    request: Request,
    caller: Reader,
    *,
    actor: Annotated[Word | None, Query(description="Who: `key:<id>`, `operator`, `service`.")] = None,
    action: Annotated[
        Code | None, Query(description="`key.revoke`, or the first word alone: `key`, `brand`, `connection`.")
    ] = None,
    object: Annotated[Word | None, Query(description="What it was done to: `key:<id>`.")] = None,  # noqa: A002
    since: Annotated[Moment | None, Query(description="At this time or later.")] = None,
    until: Annotated[Moment | None, Query(description="Before this time.")] = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """Every change of brand, keys, connections and switches, written in the transaction of the change. It holds no
    secret and no personal data, and nobody can change or delete an entry. A test key sees nothing of live things."""
    size = page_limit(request, limit)
    wanted = AuditFilter(actor=actor, action=action, subject=object, since=since, until=until)
    log: AuditLog = request.app.state.audit
    rows = await log.page(caller, wanted=wanted, before=_position(cursor), limit=size + 1)
    last = rows[size - 1] if len(rows) > size else None
    more = encode_cursor({"at": last.at.isoformat(), "id": str(last.audit_id)}) if last else None
    return Page(data=[AuditEntry.of(row) for row in rows[:size]], next_cursor=more)


def _position(cursor: str | None) -> tuple[datetime, UUID] | None:
    position = decode_cursor(cursor, {"at", "id"})
    if position is None:
        return None
    try:
        at, entry = datetime.fromisoformat(str(position["at"])), UUID(str(position["id"]))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    if at.tzinfo is None:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor")
    return at, entry
