"""The HTTP door: channels, their items, why an item is (not) there, and how long arrivals take."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Row

from vitrin.kit.access.http import require
from vitrin.kit.access.outgoing import Stop, stop_for
from vitrin.kit.access.principal import Principal
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.protos.catalog.v1.events_pb2 import ItemContent
from vitrin.shop_sync import schemas
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.sync import State
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.domain.words import (
    CHANNEL_CLOSED,
    TAKING_STOCK,
    channel_paused,
    channel_stopped,
    outgoing_stopped,
    summary,
)
from vitrin.shop_sync.service.reading import Reading, View

ITEM_ID_CHARS_MAX = 512
WINDOW_S_MAX = 14 * 24 * 3600
router = APIRouter(prefix="/v1", route_class=IdempotentRoute)

Reader = Annotated[Principal, Depends(require("sync:read"))]
Writer = Annotated[Principal, Depends(require("sync:write"))]
ChannelPath = Annotated[UUID, Path(description="Id of the channel.")]
Cursor = Annotated[str | None, Query(description="'next_cursor' of the page before.", max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


ReadingState = Annotated[Reading, Depends(_reading)]


def _test(principal: Principal) -> bool:
    return principal.mode == "test"


@router.get("/channels", summary="Channels of the brand", tags=["channels"])
async def list_channels(principal: Reader, reading: ReadingState) -> schemas.ChannelPage:
    found = await reading.channels(principal.brand_id, sandbox_only=_test(principal))
    return schemas.ChannelPage(data=[_channel(channel, view) for channel, view in found])


@router.get("/channels/{channel_id}", summary="One channel", tags=["channels"])
async def get_channel(principal: Reader, reading: ReadingState, channel_id: ChannelPath) -> schemas.Channel:
    channel, view = await reading.channel(principal.brand_id, channel_id, sandbox_only=_test(principal))
    return _channel(channel, view)


@router.patch("/channels/{channel_id}", summary="Choose the id template", tags=["channels"])
async def change_channel(
    principal: Writer, reading: ReadingState, channel_id: ChannelPath, change: schemas.ChannelChange
) -> schemas.Channel:
    channel, view = await reading.change_template(
        principal.brand_id, channel_id, change.id_template, sandbox_only=_test(principal)
    )
    return _channel(channel, view)


@router.post("/channels/{channel_id}:pause", summary="Stop the work on one channel", tags=["channels"])
async def pause_channel(
    principal: Writer, reading: ReadingState, channel_id: ChannelPath, turn: schemas.ChannelTurn
) -> schemas.Channel:
    """Nothing is sent, polled or looked at until it is resumed. Changes are kept, and items say `channel_paused`."""
    channel, view = await reading.pause(
        principal.brand_id,
        channel_id,
        actor=principal.actor,
        reason=turn.reason,
        sandbox_only=_test(principal),
    )
    return _channel(channel, view)


@router.post("/channels/{channel_id}:resume", summary="Let a paused channel work again", tags=["channels"])
async def resume_channel(
    principal: Writer, reading: ReadingState, channel_id: ChannelPath
) -> schemas.Channel:
    """The newest state of everything that changed meanwhile goes out; what was under way is looked at first. A stop by
    a switch (`halted.scope` house, brand or platform) is lifted at accounts: POST /v1/outgoing:resume."""
    channel, view = await reading.resume(
        principal.brand_id, channel_id, actor=principal.actor, sandbox_only=_test(principal)
    )
    return _channel(channel, view)


@router.get("/channels/{channel_id}/items", summary="Items of a channel by state", tags=["channels"])
async def list_items(
    *,
    principal: Reader,
    reading: ReadingState,
    channel_id: ChannelPath,
    state: Annotated[schemas.StateFilter | None, Query(description="Only items in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.ChannelItemPage:
    position = decode_cursor(cursor, ["after"])
    rows = await reading.items(
        principal.brand_id,
        channel_id,
        sandbox_only=_test(principal),
        state=state.value if state else None,
        after=str(position["after"]) if position else "",
        limit=limit + 1,
    )
    page = [schemas.ChannelItem.model_validate(row._mapping) for row in rows[:limit]]
    more = len(rows) > limit
    return schemas.ChannelItemPage(
        data=page, next_cursor=encode_cursor({"after": page[-1].item_id}) if more else None
    )


@router.get("/items/{item_id:path}/timeline", summary="Why is this item (not) there?", tags=["items"])
async def item_timeline(
    *,
    principal: Reader,
    reading: ReadingState,
    item_id: Annotated[str, Path(max_length=ITEM_ID_CHARS_MAX, description="The item's id, or its SKU.")],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Timeline:
    item, states, steps, stops = await reading.timeline(
        principal.brand_id,
        item_id,
        sandbox_only=_test(principal),
        before=timed_position(cursor),
        limit=limit + 1,
    )
    content = ItemContent.FromString(bytes(item.content))
    more = len(steps) > limit
    last = steps[limit - 1] if more else None
    return schemas.Timeline(
        item_id=item.item_id,
        sku=item.sku,
        title=content.title,
        deleted=item.deleted,
        channels=[_item_channel(row, stops) for row in states],
        data=[schemas.TimelineStep.model_validate(row._mapping) for row in steps[:limit]],
        next_cursor=encode_cursor({"at": last.at.isoformat(), "id": str(last.id)}) if last else None,
    )


@router.get("/lag", summary="How long arrivals take", tags=["lag"])
async def get_lag(
    principal: Reader,
    reading: ReadingState,
    window_s: Annotated[int, Query(ge=1, le=WINDOW_S_MAX, description="Look back so many seconds.")] = 3600,
) -> schemas.LagAnswer:
    rows = await reading.lag(principal.brand_id, window_s=window_s, sandbox_only=_test(principal))
    return schemas.LagAnswer(window_s=window_s, data=[_lag(row) for row in rows])


def timed_position(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The place in a list that is ordered by time and id. CursorInvalid when it is none."""
    position = decode_cursor(cursor, ["at", "id"])
    if position is None:
        return None
    try:
        at, step = datetime.fromisoformat(str(position["at"])), UUID(str(position["id"]))
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    if at.tzinfo is None:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return at, step


def _channel(channel: Channel, view: View) -> schemas.Channel:
    return schemas.Channel(
        id=channel.channel_id,
        connection_id=channel.connection_id,
        platform=channel.platform,
        mode=channel.mode,
        market=channel.market,
        language=channel.language,
        currency=channel.currency,
        state="paused" if channel.state == "active" and channel.paused_at else channel.state,
        state_reason=channel.state_reason,
        id_template=channel.id_template,
        external_ids=dict(channel.external_ids),
        counts=dict(view.counts),
        halted=_halt(channel, view),
        stuck=view.stuck,
        hunts=view.hunts,
        first_sync=schemas.FirstSync(
            started_at=channel.sync_started_at,
            total=channel.sync_total,
            done=channel.sync_done,
            finished_at=channel.sync_finished_at,
        ),
        adoption=_taking(channel, view),
    )


def _taking(channel: Channel, view: View) -> schemas.Taking | None:
    stock = view.taking
    if stock is None:
        return None
    return schemas.Taking(
        state=stock.state,
        listed=stock.listed,
        indexed=stock.indexed,
        holds_sends=channel.stock == "taking",
        trouble=stock.trouble,
    )


UNSETTLED = frozenset({State.PENDING, State.SENT, State.UNKNOWN, State.ACCEPTED})


def _halt(channel: Channel, view: View) -> schemas.Halt | None:
    stop = view.stop
    if stop is not None:
        return schemas.Halt(scope=stop.scope, by=stop.actor, since=stop.since, reason=stop.reason)
    if channel.paused_at is not None:
        return schemas.Halt(
            scope="channel", by=channel.paused_by, since=channel.paused_at, reason=channel.paused_reason
        )
    return None


def _item_channel(row: Row[Any], stops: Sequence[Stop]) -> schemas.ItemChannel:
    values = dict(row._mapping)
    desired, confirmed = values.pop("desired"), values.pop("confirmed")
    reasons = sync.from_json(values["reasons"])
    stopped = values.pop("channel_state_reason")
    taking = values.pop("taking")
    paused, by, why = values.pop("paused"), values.pop("paused_by"), values.pop("paused_reason")
    if row.channel_state == "closed" and all(one.code != "connection_deleted" for one in reasons):
        reasons = (CHANNEL_CLOSED, *reasons)
    elif row.channel_state != "closed" and State(row.state) in UNSETTLED:
        stop = stop_for(stops, row.platform)
        held = [channel_stopped(stopped)] if row.channel_state == "needs_attention" else []
        held += [channel_paused(by, why)] if paused else []
        held += [TAKING_STOCK] if taking else []
        held += [outgoing_stopped(stop.scope, stop.actor, stop.reason)] if stop else []
        reasons = (*held, *reasons)
    if paused and row.channel_state == "active":
        values["channel_state"] = "paused"
    values["reasons"] = sync.as_json(reasons)
    values["summary"] = summary(State(row.state), platform=row.platform, reasons=reasons)
    values["up_to_date"] = desired is not None and desired == confirmed
    return schemas.ItemChannel.model_validate(values)


def _lag(row: Row[Any]) -> schemas.Lag:
    def percentiles(values: list[float]) -> schemas.Percentiles:
        return schemas.Percentiles(p50=values[0], p95=values[1], p99=values[2])

    return schemas.Lag(
        channel_id=row.channel_id,
        platform=row.platform,
        kind=row.kind,
        count=row.samples,
        from_change_ms=percentiles(row.occurred),
        from_received_ms=percentiles(row.received),
    )
