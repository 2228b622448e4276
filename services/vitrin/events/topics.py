"""Names of the topics declared in deploy/kafka/topics.yaml (a test compares the two)."""

from typing import Final

BRAND: Final = "accounts.brand.v1"
API_KEY: Final = "accounts.api_key.v1"
CONNECTION: Final = "accounts.connection.v1"
OUTGOING: Final = "accounts.outgoing.v1"
ITEM: Final = "catalog.item.v1"
OFFER: Final = "catalog.offer.v1"
ORDER: Final = "catalog.order.v1"
ITEM_STATUS: Final = "shop_sync.item_status.v1"
ALERT: Final = "shop_sync.alert.v1"
ACCOUNTS_ATTENTION: Final = "accounts.attention.v1"
CATALOG_ATTENTION: Final = "catalog.attention.v1"
SYNC_ATTENTION: Final = "shop_sync.attention.v1"
STOREFRONT_EVENT: Final = "storefront.event.v1"

ATTENTION: Final = (ACCOUNTS_ATTENTION, CATALOG_ATTENTION, SYNC_ATTENTION)
ALL: Final = (
    BRAND,
    API_KEY,
    CONNECTION,
    OUTGOING,
    ITEM,
    OFFER,
    ORDER,
    ITEM_STATUS,
    ALERT,
    STOREFRONT_EVENT,
    *ATTENTION,
)
