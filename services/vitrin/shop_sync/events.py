"""What shop_sync publishes: the state of an item on a channel, and alerts of the removal guard."""

from datetime import datetime
from typing import Any

from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.clock import to_us
from vitrin.kit.ids import BrandId
from vitrin.protos.shop_sync.v1.events_pb2 import (
    ItemStatusChanged,
    Reason,
    RemovalCause,
    RemovalDecided,
    RemovalHeld,
)
from vitrin.shop_sync.domain.sync import State
from vitrin.shop_sync.domain.values import Channel, ChannelItem
from vitrin.shop_sync.domain.words import platform_name


def status_changed(channel: Channel, row: ChannelItem, now: datetime) -> Event | None:
    """The newest state of the item; None for `sent`, which lasts milliseconds and decides nothing."""
    if row.settled.state is State.SENT:
        return None
    message = ItemStatusChanged(
        channel_id=str(channel.channel_id),
        platform=channel.platform,
        item_id=row.item_id,
        platform_item_id=row.platform_item_id or "",
        state=row.settled.state.value,
        version=row.version,
        reasons=[
            Reason(code=reason.code, field=reason.field, message=reason.message, fix=reason.fix)
            for reason in row.settled.reasons
        ],
    )
    return Event.of(
        topic=topics.ITEM_STATUS,
        key=f"{row.brand_id}/{row.channel_id}/{row.item_id}",
        type="shop_sync.item_status_changed",
        brand_id=row.brand_id,
        message=message,
        occurred_at=now,
        received_at=now,
    )


def removal_held(request: Any, *, brand: BrandId, percent: int, now: datetime) -> Event:
    """`request`: a row of the removal request as it stands."""
    waiting = request.waiting_removals + request.waiting_zeroings
    causes = sorted(request.causes.items(), key=lambda cause: (-cause[1], cause[0]))
    message = RemovalHeld(
        request_id=str(request.request_id),
        channel_id=str(request.channel_id),
        platform=request.platform,
        removals=request.waiting_removals,
        zeroings=request.waiting_zeroings,
        passed=request.passed_items,
        limit=request.limit_items,
        shown=request.shown_items or 0,
        causes=[RemovalCause(actor=actor, items=items) for actor, items in causes],
        opened_at_us=to_us(request.opened_at),
        percent=percent,
        summary=_held_summary(request, waiting),
    )
    return _alert(request, brand=brand, name="shop_sync.removal_held", message=message, now=now)


def _held_summary(request: Any, waiting: int) -> str:
    platform = platform_name(request.platform)
    if request.subject == "strangers":
        return (
            f"{waiting} items that {platform} held before Vitrin, and that no item of the shop is the same as, wait for"
            " an approval before they are removed."
        )
    return (
        f"{waiting} items wait for an approval before they leave {platform}: more than"
        f" {request.limit_items} would have left within an hour."
    )


def removal_decided(
    request: Any, *, brand: BrandId, decision: str, by: str, note: str, now: datetime
) -> Event:
    """`request`: as it stood before the decision."""
    message = RemovalDecided(
        request_id=str(request.request_id),
        channel_id=str(request.channel_id),
        platform=request.platform,
        decision=decision,
        decided_by=by,
        removals=request.waiting_removals,
        zeroings=request.waiting_zeroings,
        note=note,
    )
    return _alert(request, brand=brand, name="shop_sync.removal_decided", message=message, now=now)


def _alert(
    request: Any, *, brand: BrandId, name: str, message: RemovalHeld | RemovalDecided, now: datetime
) -> Event:
    return Event.of(
        topic=topics.ALERT,
        key=f"{brand}/{request.channel_id}",
        type=name,
        brand_id=brand,
        message=message,
        occurred_at=now,
        received_at=now,
    )
