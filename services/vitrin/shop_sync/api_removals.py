"""The HTTP door of the removal guard: what waits, deciding it, and the brand's limit."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Row

from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.http.paging import decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.shop_sync import schemas_removals as schemas
from vitrin.shop_sync.api import timed_position
from vitrin.shop_sync.domain.guard import Decision, Kind, Policy
from vitrin.shop_sync.domain.words import platform_name
from vitrin.shop_sync.service.removals import APPROVE_SCOPE, Removals

router = APIRouter(prefix="/v1", tags=["removals"], route_class=IdempotentRoute)

Reader = Annotated[Principal, Depends(require("sync:read"))]
Approver = Annotated[Principal, Depends(require(APPROVE_SCOPE))]
RequestPath = Annotated[UUID, Path(description="Id of the removal request.")]
Cursor = Annotated[str | None, Query(description="'next_cursor' of the page before.", max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]
_WOULD = {Kind.REMOVAL: "taken down", Kind.ZEROING: "marked as sold out"}


def _removals(request: Request) -> Removals:
    removals: Removals = request.app.state.removals
    return removals


Use = Annotated[Removals, Depends(_removals)]


@router.get("/removals", summary="What waits for an approval, and what was decided")
async def list_removals(
    *,
    principal: Reader,
    removals: Use,
    state: Annotated[schemas.State | None, Query(description="Only requests in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.RemovalPage:
    rows = await removals.requests(principal, state=state, before=timed_position(cursor), limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    at = encode_cursor({"at": last.opened_at.isoformat(), "id": str(last.request_id)}) if last else None
    return schemas.RemovalPage(
        data=[schemas.Removal(**removal_document(row)) for row in rows[:limit]], next_cursor=at
    )


@router.get("/removals/{request_id}", summary="One request with its items")
async def get_removal(
    *, principal: Reader, removals: Use, request_id: RequestPath, limit: Limit = 100, cursor: Cursor = None
) -> schemas.RemovalDetail:
    position = decode_cursor(cursor, ["after"])
    after = str(position["after"]) if position else ""
    row, found = await removals.request(principal, request_id, after=after, limit=limit + 1)
    more = encode_cursor({"after": found[limit - 1].item_id}) if len(found) > limit else None
    return schemas.RemovalDetail(
        **removal_document(row), data=[_item(one) for one in found[:limit]], next_cursor=more
    )


@router.post("/removals/{request_id}:approve", summary="Let everything in the request go")
async def approve(
    principal: Reader, removals: Use, request_id: RequestPath, body: schemas.DecisionNote | None = None
) -> schemas.Removal:
    """Needs the scope `sync:approve` (roles approver and owner). A rejected request may still be approved."""
    return await _decided(principal, removals, request_id, "approved", body)


@router.post("/removals/{request_id}:reject", summary="Go on showing everything in the request")
async def reject(
    principal: Reader, removals: Use, request_id: RequestPath, body: schemas.DecisionNote | None = None
) -> schemas.Removal:
    """Needs the scope `sync:approve`. Each item stays as it is shown until the catalog changes it again."""
    return await _decided(principal, removals, request_id, "rejected", body)


async def _decided(
    principal: Principal,
    removals: Removals,
    request_id: UUID,
    decision: Decision,
    body: schemas.DecisionNote | None,
) -> schemas.Removal:
    given = body or schemas.DecisionNote()
    row = await removals.decide(principal, request_id, decision, note=given.note, items_max=given.items_max)
    return schemas.Removal(**removal_document(row))


@router.get("/removal-policy", summary="How much may leave a channel without an approval")
async def get_policy(principal: Reader, removals: Use) -> schemas.RemovalPolicy:
    return _policy(await removals.policy(principal.brand_id))


@router.patch("/removal-policy", summary="Change the limit, or which kinds are guarded")
async def change_policy(
    principal: Approver, removals: Use, change: schemas.RemovalPolicyChange
) -> schemas.RemovalPolicy:
    """What waits already goes on waiting for its decision."""
    new = await removals.change_policy(
        principal, percent=change.percent, at_least=change.at_least, guarded=change.guarded
    )
    return _policy(new)


def _policy(policy: Policy) -> schemas.RemovalPolicy:
    return schemas.RemovalPolicy(
        percent=policy.percent, at_least=policy.at_least, guarded=sorted(policy.guarded)
    )


def removal_document(row: Row[Any]) -> dict[str, Any]:
    waiting = row.waiting_removals + row.waiting_zeroings
    platform = platform_name(row.platform)
    words = {
        "open": f"{waiting} items wait for an approval before they leave {platform}.",
        "approved": f"Approved: {row.items_gone + waiting} items leave {platform}.",
        "rejected": f"Rejected: {platform} goes on showing {row.items_kept + waiting} items.",
        "withdrawn": f"Needs no decision any more: {row.note}.",
    }
    return {
        "id": row.request_id,
        "channel_id": row.channel_id,
        "platform": row.platform,
        "state": row.state,
        "subject": row.subject,
        "opened_at": row.opened_at,
        "updated_at": row.updated_at,
        "summary": words[row.state],
        "waiting": schemas.Waiting(removals=row.waiting_removals, zeroings=row.waiting_zeroings),
        "settled": schemas.Settled(gone=row.items_gone, kept=row.items_kept, back=row.items_back),
        "limit": row.limit_items,
        "shown": row.shown_items,
        "passed": row.passed_items,
        "causes": row.causes,
        "decided_at": row.decided_at,
        "decided_by": row.decided_by or None,
        "note": row.note,
        "finished_at": row.finished_at,
    }


def _item(row: Row[Any]) -> schemas.RemovalItem:
    values = dict(row._mapping)
    return schemas.RemovalItem.model_validate(values | {"would": _WOULD[Kind(row.kind)]})
