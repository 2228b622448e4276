"""The words of rules, and their limits. Times are milliseconds, money is minor units."""

from typing import Final

SHOPPER_EVENTS: Final = (
    *("page_view", "view_item", "view_collection", "search", "add_to_cart", "remove_from_cart"),
    *(
        "add_to_wishlist",
        "begin_checkout",
        "add_payment_info",
        "purchase",
        "refund",
        "lead",
        "sign_up",
        "custom",
    ),
)
ITEM_EVENTS: Final = ("price_dropped", "back_in_stock")
"""Made by `watching` for the visitors who looked at an item, when the item changes."""
EVENTS: Final = (*SHOPPER_EVENTS, *ITEM_EVENTS)
KEPT_FOR_EVER: Final = ("purchase", "refund", "lead")
"""The collector keeps these by their business key; only they may be asked about without a window."""
PURPOSES: Final = ("analytics", "ads", "personalization")
CHOICES: Final = ("unknown", "granted", "denied")
MEASURES: Final = ("sum", "count", "recency")

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
UNITS_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
EVER_MS: Final = 1 << 60
"""The window of `ever`: longer than any clock."""

WINDOW_MS_MAX: Final = 365 * DAY_MS
RULE_BYTES_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 8
LEAVES_MAX: Final = 60
CHILDREN_MAX: Final = 60
VALUES_MAX: Final = 500
"""Values in one list of a `where`, `market`."""
VALUE_CHARS_MAX: Final = 200
COUNT_MAX: Final = 1_000
"""The engine keeps as many events per visitor as the largest count asks for."""
SUM_MINOR_MAX: Final = 1_000_000_000_000
AUDIENCES_MAX: Final = 512
CHAIN_MAX: Final = 10
"""Audiences that refer to each other in a row."""
