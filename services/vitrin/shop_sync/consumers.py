"""The door for events: catalog's items and offers, accounts' connections and switches. Keys are kit.access's."""

from collections.abc import Sequence
from uuid import UUID

from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message, TryLater
from vitrin.kit.access import access_handler
from vitrin.kit.consumer.handling import Handler
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.platforms.registry import PLATFORMS, SHOPS
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged
from vitrin.protos.catalog.v1.events_pb2 import ItemChanged, ItemDeleted, OfferChanged
from vitrin.shop_sync.domain.replica import (
    ItemReplica,
    Stamp,
    content_changed,
    item_deleted,
    offer_changed,
)
from vitrin.shop_sync.repository.replica import Key
from vitrin.shop_sync.service.connections import ConnectionNews, Connections
from vitrin.shop_sync.service.replicas import Replicas
from vitrin.shop_sync.service.switching import Switching


def catalog_handler(replicas: Replicas) -> Handler:
    """Topics catalog.item.v1 and catalog.offer.v1."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        await replicas.apply(tx, [replica_part(message) for message in messages])

    return handle


def switching_handler(switching: Switching) -> Handler:
    """Topics of kit.access; a switch that was turned sets the channels of its scope due."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        await access_handler(tx, messages)
        turned = {message.brand_id for message in messages if message.topic == topics.OUTGOING}
        await switching.turned(tx, sorted(turned))

    return handle


def connection_handler(connections: Connections) -> Handler:
    """Topic accounts.connection.v1. A connection to a platform that this release does not know is parked until one that
    does is running: accounts was released first. A channel made now would stay wrong, since nothing of accounts changes
    when we are released."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        news = [_news(message) for message in messages]
        for name in dict.fromkeys(one.message.platform for one in news):
            if name not in PLATFORMS and name not in SHOPS:
                waiting = [m for m, one in zip(messages, news, strict=True) if one.message.platform == name]
                raise TryLater(f"this release does not know the platform {name!r}", waiting)
        await connections.apply(tx, news)

    return handle


def replica_part(message: Message) -> tuple[Key, ItemReplica]:
    """What one message says of one item. InvalidMessage when it says nothing that can be used."""
    brand = BrandId(message.brand_id)
    match message.decode():
        case ItemChanged(content=content, content_version=version, actor=actor) if content.item_id:
            stamp = Stamp(message.occurred_at, message.received_at, actor)
            part = content_changed(_version(version), content.SerializeToString(deterministic=True), stamp)
            return (brand, content.item_id), part
        case ItemDeleted(item_id=item_id, actor=actor) as deleted if item_id:
            stamp = Stamp(message.occurred_at, message.received_at, actor)
            part = item_deleted(_version(deleted.content_version), deleted.offer_version, stamp)
            return (brand, item_id), part
        case OfferChanged(item_id=item_id, market=market, actor=actor) as offer if item_id and market:
            stamp = Stamp(message.occurred_at, message.received_at, actor)
            payload = offer.SerializeToString(deterministic=True)
            return (brand, item_id), offer_changed(market, _version(offer.offer_version), payload, stamp)
        case other:
            raise InvalidMessage(f"{other.DESCRIPTOR.name} names no item or market")


def _version(value: int) -> int:
    if value < 1:
        raise InvalidMessage("a version starts at 1")
    return value


def _news(message: Message) -> ConnectionNews:
    decoded = message.decode()
    if not isinstance(decoded, ConnectionChanged):
        raise InvalidMessage(f"{decoded.DESCRIPTOR.name} is no connection")
    try:
        connection = ConnectionId(UUID(decoded.connection_id))
    except ValueError:
        raise InvalidMessage("connection_id is no UUID") from None
    return ConnectionNews(
        brand_id=BrandId(message.brand_id),
        connection_id=connection,
        message=decoded,
        payload=message.payload,
        occurred_at=message.occurred_at,
        received_at=message.received_at,
    )
