"""The words of storefront events."""

from enum import StrEnum
from typing import Final


class EventName(StrEnum):
    PAGE_VIEW = "page_view"
    VIEW_ITEM = "view_item"
    VIEW_COLLECTION = "view_collection"
    SEARCH = "search"
    ADD_TO_CART = "add_to_cart"
    REMOVE_FROM_CART = "remove_from_cart"
    ADD_TO_WISHLIST = "add_to_wishlist"
    BEGIN_CHECKOUT = "begin_checkout"
    ADD_PAYMENT_INFO = "add_payment_info"
    PURCHASE = "purchase"
    REFUND = "refund"
    LEAD = "lead"
    SIGN_UP = "sign_up"
    CUSTOM = "custom"


class Purpose(StrEnum):
    """What a shopper may allow or forbid."""

    ANALYTICS = "analytics"
    ADS = "ads"
    PERSONALIZATION = "personalization"


class Choice(StrEnum):
    GRANTED = "granted"
    DENIED = "denied"


class Source(StrEnum):
    """How an event came."""

    PIXEL = "pixel"
    SERVER = "server"
    SEGMENT = "segment"


BUSINESS_KEYS: Final = {
    EventName.PURCHASE: "order_id",
    EventName.REFUND: "refund_id",
    EventName.LEAD: "lead_id",
}
"""These count once for ever under their own id, whatever their event id and age."""
CLICK_IDS: Final = (
    *("fbclid", "ttclid", "gclid", "gbraid", "wbraid", "epik", "ScCid", "twclid", "li_fat_id"),
    *("fbp", "fbc", "ttp", "scid"),
)
"""Click ids of the networks, and the ids that their own pixels keep in a first-party cookie."""
UTM: Final = ("source", "medium", "campaign", "term", "content", "id")
PERSONAL: Final = (
    *("email", "phone", "first_name", "last_name", "street", "city", "region", "postal_code", "country"),
    *("birth_date", "gender"),
)
"""Fields that tell who it is; with them an event is sealed under the person's key, without them under the day's."""
