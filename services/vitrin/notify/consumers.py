"""The door for events: items' states, held removals, connections. Keys, brands and switches are kit.access's."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message, from_us
from vitrin.kit.consumer.handling import Handler
from vitrin.kit.db.session import WriteSession
from vitrin.notify.domain.kinds import CONNECTION_TYPES, ITEM_TYPES
from vitrin.notify.domain.news import Sight
from vitrin.notify.service.intake import Intake
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.protos.shop_sync.v1.events_pb2 import ItemStatusChanged, RemovalDecided, RemovalHeld

TOPICS = (topics.CONNECTION, topics.ITEM_STATUS, topics.ALERT)
_MODES = {
    ConnectionMode.CONNECTION_MODE_SANDBOX: "sandbox",
    ConnectionMode.CONNECTION_MODE_LIVE: "live",
}


def news_handler(intake: Intake) -> Handler:
    """What the house says, as sights; the webhook events are stored in the transaction of the offsets."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        await intake.see(tx, [sight_of(message) for message in messages])

    return handle


def sight_of(message: Message) -> Sight:
    """InvalidMessage when it says nothing that can be used."""
    match message.decode():
        case ItemStatusChanged(channel_id=channel, item_id=item) as status if channel and item:
            return _item(message, status)
        case RemovalHeld(request_id=request) as held if request:
            data = _removal(held) | {
                "passed": held.passed,
                "limit": held.limit,
                "shown": held.shown or None,
                "percent": held.percent,
                "causes": [{"actor": cause.actor, "items": cause.items} for cause in held.causes],
                "opened_at": _time(from_us(held.opened_at_us)),
                "summary": held.summary,
            }
            return _alert(message, held, "removal.held", data)
        case RemovalDecided(request_id=request) as decided if request:
            data = _removal(decided) | {
                "decision": decided.decision,
                "decided_by": decided.decided_by or None,
                "note": decided.note,
            }
            return _alert(message, decided, "removal.decided", data)
        case ConnectionChanged(connection_id=connection) as changed if connection:
            return _connection(message, changed)
        case other:
            raise InvalidMessage(f"{type(other).__name__} is not what webhooks are made of, or lacks its id")


def _item(message: Message, status: ItemStatusChanged) -> Sight:
    reasons = [
        {"code": one.code, "field": one.field, "message": one.message, "fix": one.fix}
        for one in status.reasons
    ]
    told = " ".join([status.state, *sorted({one.code for one in status.reasons})])
    return Sight(
        brand_id=message.brand_id,
        source_id=message.event_id,
        object_type="item",
        object_id=status.item_id,
        object_key=f"item/{status.channel_id}/{status.item_id}",
        version=status.version,
        type=ITEM_TYPES.get(status.state),
        told=told,
        occurred_at=message.occurred_at,
        data={
            "channel_id": status.channel_id,
            "platform": status.platform,
            "item_id": status.item_id,
            "platform_item_id": status.platform_item_id,
            "state": status.state,
            "version": status.version,
            "reasons": reasons,
        },
    )


def _connection(message: Message, changed: ConnectionChanged) -> Sight:
    state = "deleted" if changed.deleted else changed.state
    return Sight(
        brand_id=message.brand_id,
        source_id=message.event_id,
        object_type="connection",
        object_id=changed.connection_id,
        object_key=f"connection/{changed.connection_id}",
        version=changed.version,
        type=CONNECTION_TYPES.get(state),
        told=state,
        occurred_at=message.occurred_at,
        data={
            "connection_id": changed.connection_id,
            "platform": changed.platform,
            "mode": _MODES.get(changed.mode, ""),
            "state": state,
            "error": changed.last_error,
        },
    )


def _removal(request: RemovalHeld | RemovalDecided) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "channel_id": request.channel_id,
        "platform": request.platform,
        "removals": request.removals,
        "zeroings": request.zeroings,
    }


def _alert(
    message: Message, request: RemovalHeld | RemovalDecided, type_: str, data: dict[str, Any]
) -> Sight:
    return Sight(
        brand_id=message.brand_id,
        source_id=message.event_id,
        object_type="removal",
        object_id=request.request_id,
        object_key=f"removal/{request.channel_id}",
        version=None,
        type=type_,
        told="",
        occurred_at=message.occurred_at,
        data=data,
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
