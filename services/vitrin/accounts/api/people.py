"""/v1/organisation, /v1/members, /v1/invitations"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi import Request as HttpRequest
from starlette.responses import Response

from vitrin.accounts.api.parts import PAGE_ITEMS, Cursor, Limit, Reader, Writer, page_limit
from vitrin.accounts.invitation_tokens import parse_invitation_token
from vitrin.accounts.schemas import NewKey, Page
from vitrin.accounts.schemas_people import (
    Acceptance,
    Departure,
    Invitation,
    InvitationCreate,
    KeyMade,
    Member,
    MemberPatch,
    NewInvitation,
    Organisation,
    Removal,
    StillThere,
    Welcome,
)
from vitrin.accounts.service_people import People
from vitrin.kit.access.http import api_key_of, caller_of
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import Call, IdempotentRoute, Once
from vitrin.kit.idempotency.once import NAME_CHARS_MAX
from vitrin.kit.idempotency.sealing import Sealer
from vitrin.kit.ids import KeyId

router = APIRouter(prefix="/v1", tags=["people"], route_class=IdempotentRoute)
welcome_router = APIRouter(prefix="/v1", tags=["people"])
INVITED = KeyId("invitation")
REPLAY_SECRET_CHARS_MIN = 16


def people_of(request: HttpRequest) -> People:
    found: People = request.app.state.people
    return found


def position_of(cursor: str | None) -> UUID | None:
    position = decode_cursor(cursor, {"i"})
    try:
        return None if position is None else UUID(str(position["i"]))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None


@router.get("/organisation", summary="The organisation and its brands")
async def read_organisation(request: HttpRequest, caller: Reader) -> Organisation:
    row, brands = await people_of(request).organisation(caller)
    return Organisation.of(row, brands)


@router.get("/members", summary="People of the brand")
async def list_members(
    request: HttpRequest, caller: Reader, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[Member]:
    """Those that have left too, without name and e-mail."""
    size = page_limit(request, limit)
    rows = await people_of(request).members(caller, after=position_of(cursor), limit=size + 1)
    more = encode_cursor({"i": str(rows[size - 1].member_id)}) if len(rows) > size else None
    return Page(data=[Member.of(row, caller) for row in rows[:size]], next_cursor=more)


@router.get("/members/{member_id}", summary="One person")
async def read_member(request: HttpRequest, caller: Reader, member_id: UUID) -> Member:
    return Member.of(await people_of(request).member(caller, member_id), caller)


@router.patch("/members/{member_id}", summary="Change a person's role")
async def change_member(request: HttpRequest, caller: Writer, member_id: UUID, body: MemberPatch) -> Member:
    """The person's own keys have the new role in every service within a second. 409 `last_owner_key` when nobody else
    has a live owner key."""
    return Member.of(await people_of(request).change_role(caller, member_id, body.role), caller)


@router.delete("/members/{member_id}", summary="Remove a person")
async def remove_member(
    request: HttpRequest,
    caller: Writer,
    member_id: UUID,
    everywhere: Annotated[
        bool,
        Query(
            description="In every brand of the organisation that the caller owns with a key of his own;"
            " else in the brand of the calling key."
        ),
    ] = False,
) -> Removal:
    """All the person's own keys stop in every service within a second, the invitations that the person sent are void,
    and name and e-mail are forgotten. Rotate what `keys_made` lists: the person has seen these keys."""
    left = await people_of(request).remove(caller, member_id, everywhere=everywhere)
    return Removal(
        data=[
            Departure(
                brand_id=one.brand_id,
                keys_revoked=one.keys_revoked,
                keys_made=[KeyMade(id=key.key_id, name=key.name, role=key.role) for key in one.keys_made],
                refused=one.refused
                and StillThere(code=one.refused.code, detail=one.refused.detail, fix=one.refused.fix),
            )
            for one in left
        ]
    )


@router.post("/invitations", status_code=201, summary="Invite a person")
async def create_invitation(request: HttpRequest, caller: Writer, body: InvitationCreate) -> NewInvitation:
    """The answer has the token, this once; hand it to the person. It is void after seven days. Nobody invites to more
    than the calling key may do itself, and a test key invites nobody."""
    row, token = await people_of(request).invite(caller, email=body.email, role=body.role)
    return NewInvitation(token=token.text(), **Invitation.fields_of(row))


@router.get("/invitations", summary="Invitations")
async def list_invitations(
    request: HttpRequest, caller: Reader, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[Invitation]:
    size = page_limit(request, limit)
    rows = await people_of(request).invitations(caller, after=position_of(cursor), limit=size + 1)
    more = encode_cursor({"i": str(rows[size - 1].invitation_id)}) if len(rows) > size else None
    return Page(data=[Invitation.of(row, caller) for row in rows[:size]], next_cursor=more)


@router.delete("/invitations/{invitation_id}", summary="Withdraw an invitation")
async def revoke_invitation(request: HttpRequest, caller: Writer, invitation_id: UUID) -> Invitation:
    """Repeating it changes nothing. 409 `invitation_ended` once it was accepted."""
    return Invitation.of(await people_of(request).withdraw(caller, invitation_id), caller)


@welcome_router.post(
    "/invitations:accept", status_code=201, response_model=Welcome, summary="Accept an invitation"
)
async def accept_invitation(
    request: HttpRequest,
    body: Acceptance,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=REPLAY_SECRET_CHARS_MIN,
            max_length=NAME_CHARS_MAX,
            pattern=r"^[\x21-\x7e]+$",
            description="A secret of the one who accepts, such as a new random UUID: within 24 h the same request with"
            " it gets the same answer again. Whoever invited knows the token, and must not know this.",
        ),
    ] = None,
) -> Response:
    """Needs the invitation's token and no key. Answers with the person's own key, this once: a second acceptance is 409
    `invitation_ended`, unless it repeats the first one's `Idempotency-Key`. Whoever has an own key in another brand of
    the organisation sends it as usual (`Authorization: Bearer`), and is the same person in both."""
    people, token = people_of(request), parse_invitation_token(body.token)
    key = api_key_of(request)
    presented = None if key is None else await caller_of(request, key)
    brand_id = await people.invited_to(token)

    async def accepted() -> Response:
        member, row, shown = await people.accept(token, brand_id, name=body.name, presented=presented)
        welcome = Welcome(member=Member.of(member), key=NewKey.shown(row, shown))
        return Response(welcome.model_dump_json(), status_code=201, media_type="application/json")

    if idempotency_key is None:
        return await accepted()
    once: Once = request.app.state.once
    sealer = Sealer(f"{body.token} {idempotency_key}")
    # Its fingerprint names the call: the table must not hold what opens the answer.
    call = Call(brand=brand_id, key_id=INVITED, name=sealer.fingerprint(b"name").hex(), sealer=sealer)
    identity = presented.member_id if presented else ""
    return await once.run(call, sealer.fingerprint(body.name.encode(), identity.encode()), accepted)
