"""The HTTP door beside the collector's own: which events there are, how they fare, where they may come from."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request

from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.errors import Malformed
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.retargeting import schemas
from vitrin.retargeting.domain.vocabulary import EventName
from vitrin.retargeting.service.sources import Events, Sources

router = APIRouter(prefix="/v1", tags=["events"], route_class=IdempotentRoute)
Reader = Annotated[Principal, Depends(require("events:read"))]
Writer = Annotated[Principal, Depends(require("events:write"))]
"""Beside `Reader`: a publishable key writes events and reads none."""


def _events(request: Request) -> Events:
    found: Events = request.app.state.events
    return found


def _sources(request: Request) -> Sources:
    found: Sources = request.app.state.sources
    return found


UseEvents = Annotated[Events, Depends(_events)]
UseSources = Annotated[Sources, Depends(_sources)]


@router.get("/events", summary="Events that were stored")
async def list_events(
    *,
    principal: Reader,
    use: UseEvents,
    name: Annotated[EventName | None, Query(description="Only of this name.")] = None,
    event_id: Annotated[str | None, Query(max_length=64, description="Only this one.")] = None,
    visitor_id: Annotated[str | None, Query(max_length=64, description="Only of this visitor.")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="newest or oldest first.")] = "newest",
    limit: Annotated[int, Query(ge=1, le=500, description="Rows per page.")] = 100,
    cursor: Annotated[
        str | None, Query(description="'next_cursor' of the page before.", max_length=1024)
    ] = None,
) -> schemas.StoredEventPage:
    """For looking, not for building on: 90 days are kept. With `order=oldest` and the cursor of the last page one
    follows what arrives."""
    rows = await use.page(
        principal,
        oldest_first=order == "oldest",
        name=name,
        event_id=_text(event_id),
        visitor_id=_text(visitor_id),
        arrival=_arrival(cursor),
        limit=limit + 1,
    )
    shown = rows[:limit]
    follows = len(rows) > limit or (order == "oldest" and len(shown) > 0)
    more = encode_cursor({"arrival": shown[-1].arrival}) if follows else None
    return schemas.StoredEventPage(data=[schemas.StoredEvent.of(row) for row in shown], next_cursor=more)


@router.get("/event_health", summary="What was accepted, repeated, refused and stored")
async def get_health(
    principal: Reader,
    use: UseEvents,
    since: Annotated[
        datetime | None, Query(description="From the full hour of this time; a day back by default.")
    ] = None,
) -> schemas.EventHealth:
    """By event name and source, with the codes of refusals and item ids that the catalog does not have."""
    if since is not None and since.tzinfo is None:
        raise Malformed("'since' has no time zone.", field="since", fix="Write it like 2026-11-02T09:30:00Z.")
    try:
        begin = since.astimezone(UTC) if since else None
    except OverflowError:
        raise Malformed("'since' is outside of what can be stored.", field="since") from None
    return schemas.EventHealth.of(*await use.health(principal, begin))


@router.get("/event_sources", summary="From where publishable keys may be used")
async def list_sources(principal: Reader, use: UseSources) -> schemas.EventSourceList:
    return await _listed(principal, use)


@router.put("/event_sources", summary="Replace the list of origins")
async def replace_sources(
    principal: Reader, _writer: Writer, use: UseSources, body: schemas.EventSources
) -> schemas.EventSourceList:
    """Collectors know it within a second. The brand's storefront is allowed whatever the list says."""
    await use.replace(principal, [(one.key_id or "", one.origin) for one in body.data])
    return await _listed(principal, use)


async def _listed(principal: Principal, use: Sources) -> schemas.EventSourceList:
    storefront, listed = await use.list(principal)
    return schemas.EventSourceList(
        data=[schemas.EventSource(origin=origin, key_id=key_id or None) for key_id, origin in listed],
        storefront=storefront,
    )


def _arrival(cursor: str | None) -> int | None:
    position = decode_cursor(cursor, ["arrival"])
    if position is None:
        return None
    arrival = position["arrival"]
    if not isinstance(arrival, int) or isinstance(arrival, bool) or not 0 <= arrival < 2**63:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return arrival


def _text(value: str | None) -> str | None:
    if value is not None and "\x00" in value:
        raise Malformed("A text with U+0000 matches nothing.", fix="Leave the character out.")
    return value
