"""Event type -> topic and Protobuf message. The one place where a type is declared."""

from typing import Final, NamedTuple

from google.protobuf.message import Message as ProtobufMessage

from vitrin.events import topics
from vitrin.protos.accounts.v1 import events_pb2 as accounts_pb2
from vitrin.protos.catalog.v1 import events_pb2 as catalog_pb2
from vitrin.protos.catalog.v1 import orders_pb2
from vitrin.protos.kit.v1.attention_pb2 import Attention
from vitrin.protos.retargeting.v1.events_pb2 import StorefrontEvents
from vitrin.protos.shop_sync.v1 import events_pb2 as shop_sync_pb2


class EventType(NamedTuple):
    topic: str
    message: type[ProtobufMessage]


EVENT_TYPES: Final[dict[str, EventType]] = {
    "accounts.brand_changed": EventType(topics.BRAND, accounts_pb2.BrandChanged),
    "accounts.api_key_changed": EventType(topics.API_KEY, accounts_pb2.ApiKeyChanged),
    "accounts.connection_changed": EventType(topics.CONNECTION, accounts_pb2.ConnectionChanged),
    "accounts.outgoing_changed": EventType(topics.OUTGOING, accounts_pb2.OutgoingChanged),
    "catalog.item_changed": EventType(topics.ITEM, catalog_pb2.ItemChanged),
    "catalog.item_deleted": EventType(topics.ITEM, catalog_pb2.ItemDeleted),
    "catalog.offer_changed": EventType(topics.OFFER, catalog_pb2.OfferChanged),
    "catalog.order_changed": EventType(topics.ORDER, orders_pb2.OrderChanged),
    "shop_sync.item_status_changed": EventType(topics.ITEM_STATUS, shop_sync_pb2.ItemStatusChanged),
    "shop_sync.removal_held": EventType(topics.ALERT, shop_sync_pb2.RemovalHeld),
    "shop_sync.removal_decided": EventType(topics.ALERT, shop_sync_pb2.RemovalDecided),
    "retargeting.storefront_events": EventType(topics.STOREFRONT_EVENT, StorefrontEvents),
    "accounts.attention_changed": EventType(topics.ACCOUNTS_ATTENTION, Attention),
    "catalog.attention_changed": EventType(topics.CATALOG_ATTENTION, Attention),
    "shop_sync.attention_changed": EventType(topics.SYNC_ATTENTION, Attention),
}
