"""The HTTP door: endpoints, events, types. A test key has no business with a brand that has a live connection."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request

from vitrin.kit.access.errors import TestKeyOnLiveBrand
from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.errors import FieldError, Malformed
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.notify import schemas, schemas_payloads
from vitrin.notify.domain.kinds import KINDS
from vitrin.notify.service.endpoints import Endpoints
from vitrin.notify.service.reading import Events

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=IdempotentRoute)


async def _reader(principal: Annotated[Principal, Depends(require("webhooks:read"))]) -> Principal:
    if principal.mode == "test" and principal.brand_has_live_connection:
        raise TestKeyOnLiveBrand("Webhook events of this brand tell of live connections.")
    return principal


Reader = Annotated[Principal, Depends(_reader)]
Writer = Annotated[Principal, Depends(require("webhooks:write"))]
EndpointPath = Annotated[UUID, Path(description="Id of the endpoint.")]
EventPath = Annotated[UUID, Path(description="Id of the event: its webhook-id.")]
Cursor = Annotated[str | None, Query(description="'next_cursor' of the page before.", max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]


def _endpoints(request: Request) -> Endpoints:
    found: Endpoints = request.app.state.endpoints
    return found


def _events(request: Request) -> Events:
    found: Events = request.app.state.events
    return found


UseEndpoints = Annotated[Endpoints, Depends(_endpoints)]
UseEvents = Annotated[Events, Depends(_events)]


@router.post("/webhook_endpoints", status_code=201, summary="Create an endpoint; its secret is shown once")
async def create_endpoint(
    principal: Writer, use: UseEndpoints, body: schemas.EndpointCreate
) -> schemas.NewSecret:
    """Webhooks follow Standard Webhooks: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`. Verify them
    over the raw body, answer 2xx within 15 seconds, and expect a webhook more than once: its id tells."""
    shown, secret = await use.create(principal, body.model_dump())
    return schemas.NewSecret.with_secret(shown, secret)


@router.get("/webhook_endpoints", summary="Endpoints of the brand")
async def list_endpoints(
    principal: Reader, use: UseEndpoints, limit: Limit = 100, cursor: Cursor = None
) -> schemas.EndpointPage:
    position = decode_cursor(cursor, ["after"])
    try:
        after = UUID(str(position["after"])) if position else None
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    found = await use.page(principal, after=after, limit=limit + 1)
    more = encode_cursor({"after": str(found[limit - 1].row.endpoint_id)}) if len(found) > limit else None
    return schemas.EndpointPage(data=[schemas.Endpoint.of(one) for one in found[:limit]], next_cursor=more)


@router.get("/webhook_endpoints/{endpoint_id}", summary="One endpoint")
async def get_endpoint(principal: Reader, use: UseEndpoints, endpoint_id: EndpointPath) -> schemas.Endpoint:
    return schemas.Endpoint.of(await use.get(principal, endpoint_id))


@router.patch("/webhook_endpoints/{endpoint_id}", summary="Change, disable or enable an endpoint")
async def change_endpoint(
    principal: Writer, use: UseEndpoints, endpoint_id: EndpointPath, body: schemas.EndpointPatch
) -> schemas.Endpoint:
    changes = body.model_dump(exclude_unset=True)
    nulls = [name for name, value in changes.items() if value is None]
    if nulls:
        errors = [FieldError(name, "null", "This field cannot be null.", "Leave it out.") for name in nulls]
        raise Malformed(f"{nulls[0]} cannot be null.", field=nulls[0], errors=errors)
    return schemas.Endpoint.of(await use.change(principal, endpoint_id, changes))


@router.delete("/webhook_endpoints/{endpoint_id}", status_code=204, summary="Delete an endpoint")
async def delete_endpoint(principal: Writer, use: UseEndpoints, endpoint_id: EndpointPath) -> None:
    """Its secrets are destroyed and what waits for it is dropped. Its deliveries stay in the events for 30 days."""
    await use.delete(principal, endpoint_id)


@router.post("/webhook_endpoints/{endpoint_id}:rotate_secret", summary="A new secret, shown once")
async def rotate_secret(
    principal: Writer, use: UseEndpoints, endpoint_id: EndpointPath, body: schemas.Rotation | None = None
) -> schemas.NewSecret:
    """For `overlap_h` hours every valid secret signs: take the new one, then let the earlier ones run out."""
    overlap = timedelta(hours=(body or schemas.Rotation()).overlap_h)
    shown, secret = await use.rotate(principal, endpoint_id, overlap=overlap)
    return schemas.NewSecret.with_secret(shown, secret)


@router.get("/webhook_endpoints/{endpoint_id}/attempts", summary="The endpoint's delivery log, newest first")
async def list_attempts(
    *,
    principal: Reader,
    use: UseEndpoints,
    endpoint_id: EndpointPath,
    outcome: Annotated[str | None, Query(max_length=40, description="Only these, such as timed_out.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.AttemptPage:
    rows = await use.attempts(
        principal, endpoint_id, outcome=text_of(outcome), position=position_of(cursor), limit=limit + 1
    )
    last = rows[limit - 1] if len(rows) > limit else None
    more = encode_cursor({"at": last.at.isoformat(), "id": str(last.attempt_id)}) if last else None
    return schemas.AttemptPage(
        data=[schemas.Attempt.model_validate(row) for row in rows[:limit]], next_cursor=more
    )


@router.get("/webhook_events", summary="What was told, with its deliveries")
async def list_events(
    *,
    principal: Reader,
    use: UseEvents,
    type_: Annotated[str | None, Query(alias="type", max_length=100, description="Only this type.")] = None,
    object_id: Annotated[str | None, Query(max_length=512, description="Only about this object.")] = None,
    since: Annotated[
        datetime | None, Query(description="Only what was stored at or after this time.")
    ] = None,
    order: Annotated[
        str, Query(pattern="^(newest|oldest)$", description="newest or oldest first.")
    ] = "newest",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.EventPage:
    """Also without any endpoint. To follow what happens, ask for `order=oldest` and a `since` that reaches a minute
    back, and skip the ids that you have: events of one moment may become visible in another order."""
    found = await use.page(
        principal,
        type_=text_of(type_),
        object_id=text_of(object_id),
        since=aware(since),
        oldest_first=order == "oldest",
        position=position_of(cursor),
        limit=limit + 1,
    )
    last = found[limit - 1].row if len(found) > limit else None
    more = encode_cursor({"at": last.created_at.isoformat(), "id": str(last.event_id)}) if last else None
    return schemas.EventPage(data=[schemas.Event.of(one) for one in found[:limit]], next_cursor=more)


@router.post("/webhook_events:test", status_code=201, summary="Send an example on the way of a real event")
async def send_test(principal: Writer, use: UseEvents, body: schemas.TestEvent) -> schemas.Event:
    """Signed, delivered, tried again and logged as any other; `test` in its payload is true."""
    return schemas.Event.of(await use.test(principal, body.type, endpoint_id=body.endpoint_id))


@router.get("/webhook_events/{event_id}", summary="One event with its deliveries")
async def get_event(principal: Reader, use: UseEvents, event_id: EventPath) -> schemas.Event:
    return schemas.Event.of(await use.get(principal, event_id))


@router.post("/webhook_events/{event_id}:replay", status_code=202, summary="Deliver an event again")
async def replay_event(
    principal: Writer, use: UseEvents, event_id: EventPath, body: schemas.EventReplay | None = None
) -> schemas.Event:
    """With the same id and body, at once and beside every order, with all tries of a new delivery."""
    wanted = body or schemas.EventReplay(endpoint_id=None)
    return schemas.Event.of(await use.replay(principal, event_id, endpoint_id=wanted.endpoint_id))


@router.get("/webhook_types", summary="The types of webhook events")
async def list_types(principal: Reader) -> schemas.TypeList:
    """Each with an example of its data."""
    return schemas.TypeList(
        data=[
            schemas.TypeInfo(
                type=kind.type,
                version=kind.version,
                object=kind.object_type,
                description=kind.says,
                example=kind.example,
            )
            for kind in KINDS.values()
        ]
    )


def describe_webhooks(app: FastAPI) -> None:
    """The types under `webhooks` in OpenAPI, each with the schema of its body."""

    def told(type_: str) -> Any:
        async def receive(body: Any) -> None:
            """Acknowledge with any 2xx within 15 seconds."""

        receive.__annotations__ = {"body": schemas_payloads.payload_model(type_), "return": None}
        return receive

    for kind in KINDS.values():
        app.webhooks.post(kind.type, summary=kind.says, tags=["webhooks"])(told(kind.type))


def position_of(cursor: str | None) -> tuple[datetime, UUID] | None:
    position = decode_cursor(cursor, ["at", "id"])
    if position is None:
        return None
    try:
        at, row = datetime.fromisoformat(str(position["at"])), UUID(str(position["id"]))
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    if at.tzinfo is None:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return at, row


def text_of(value: str | None) -> str | None:
    if value is not None and "\x00" in value:
        raise Malformed("A text with U+0000 matches nothing.", fix="Leave the character out.")
    return value


def aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Malformed("'since' has no time zone.", field="since", fix="Write it like 2026-11-02T09:30:00Z.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Malformed("'since' is outside of what can be stored.", field="since") from None
