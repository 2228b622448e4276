"""/v1/outgoing: the switches that stop everything that leaves the house, and start it again.

Within about a second of a stop nothing of its scope is called any more: no sends, no polls, no looks. Work is kept;
what was under way is looked at after the resume. Every turn is in the audit log.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from vitrin.accounts.api.parts import Reader, switches_of
from vitrin.accounts.schemas import Outgoing, OutgoingSwitch, OutgoingTurn, Turn
from vitrin.accounts.service_brands import OPERATOR
from vitrin.kit.access import Principal
from vitrin.kit.access.http import require
from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ops.access import operator_only

router = APIRouter(prefix="/v1", tags=["outgoing"], route_class=IdempotentRoute)
Switcher = Annotated[Principal, Depends(require("sync:write"))]
"""Owner, editor and approver keys have this scope."""


@router.get("/outgoing", summary="May anything go out?")
async def read_outgoing(request: Request, caller: Reader) -> Outgoing:
    """Every switch that concerns the key's brand and was ever turned: the house's, the brand's, its platforms'."""
    return Outgoing.of(await switches_of(request).all_of(caller.brand_id))


@router.post("/outgoing:stop", summary="Stop everything outgoing of the brand, or of it on one platform")
async def stop_outgoing(request: Request, caller: Switcher, body: OutgoingTurn) -> OutgoingSwitch:
    """Needs a key with `sync:write` (owner, editor, approver). Items say `outgoing_stopped` in their reasons."""
    row = await switches_of(request).turn(
        caller.brand_id, body.platform, stopped=True, reason=body.reason, actor=caller.actor
    )
    return OutgoingSwitch.of(row)


@router.post("/outgoing:resume", summary="Let the brand, or it on one platform, go out again")
async def resume_outgoing(request: Request, caller: Switcher, body: OutgoingTurn) -> OutgoingSwitch:
    """Lifts exactly this switch; a stop of the house or of the whole brand stays."""
    row = await switches_of(request).turn(
        caller.brand_id, body.platform, stopped=False, reason=body.reason, actor=caller.actor
    )
    return OutgoingSwitch.of(row)


@router.get("/ops/outgoing", summary="The house's switch", dependencies=[Depends(operator_only)])
async def read_house(request: Request) -> Outgoing:
    """Needs the operator token."""
    return Outgoing.of(await switches_of(request).all_of(HOUSE))


@router.post(
    "/ops/outgoing:stop",
    summary="Stop everything outgoing of every brand",
    dependencies=[Depends(operator_only)],
)
async def stop_house(request: Request, body: Turn) -> OutgoingSwitch:
    """Needs the operator token."""
    row = await switches_of(request).turn(HOUSE, "", stopped=True, reason=body.reason, actor=OPERATOR)
    return OutgoingSwitch.of(row)


@router.post(
    "/ops/outgoing:resume", summary="Let the house go out again", dependencies=[Depends(operator_only)]
)
async def resume_house(request: Request, body: Turn) -> OutgoingSwitch:
    """Needs the operator token. Switches of brands stay as they are."""
    row = await switches_of(request).turn(HOUSE, "", stopped=False, reason=body.reason, actor=OPERATOR)
    return OutgoingSwitch.of(row)
