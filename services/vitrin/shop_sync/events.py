"""What shop_sync publishes: the state of an item on a channel."""

from datetime import datetime

from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.protos.shop_sync.v1.events_pb2 import ItemStatusChanged, Reason
from vitrin.shop_sync.domain.sync import State
from vitrin.shop_sync.domain.values import Channel, ChannelItem


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
