"""Meta's limits, enums and rates as data. Sources: Marketing API v26 (official SDK, docs copies of November 2026)."""

from math import log2
from typing import Final

from vitrin.kit.http_client import Rate
from vitrin.platforms.base import Capabilities, Endpoint
from vitrin.platforms.rendering import ItemRules, same_words

BASE_URL: Final = "https://graph.facebook.com/v26.0"
BATCH_ITEMS_MAX: Final = 5_000
BODY_BYTES_MAX: Final = 30_000_000
"""Unverified."""
ENVELOPE_BYTES_MAX: Final = 1_000
READ_BACK_ITEMS_MAX: Final = 50
"""Ids per read: they travel in the URL, which stays below 8 kB with ids of ordinary length."""
LIST_ITEMS_PER_PAGE: Final = 500
"""Products per page of a listing; Meta publishes no maximum (unverified)."""
READ_BACK_FILTER_CHARS_MAX: Final = 5_000
"""Characters of ids (as JSON) in one read; long ids make smaller reads."""

CATALOG_TRAFFIC_ASSUMED: Final = 1
"""Ad impressions plus product page visits of a catalog in 28 days. Meta's quota grows with it; we do not know it, so
this is the quota of an idle catalog, which every catalog has."""


def catalog_batch_calls_per_minute(traffic: int) -> float:
    """Meta's published quota of items_batch per catalog: 8 + 8 * log2(impressions + page visits in 28 days)."""
    return 8.0 + 8.0 * log2(max(1, traffic))


def rates(traffic: int) -> dict[Endpoint, Rate]:
    """Calls of each endpoint that never exceed the quota of a catalog with this traffic."""
    per_minute = int(catalog_batch_calls_per_minute(traffic))
    return {
        Endpoint.SEND: Rate(endpoint="items_batch", calls=per_minute, per_s=60.0),
        # Catalog management: 20000 + 20000 * log2(...) calls per hour; 300 a minute stay below the smallest.
        Endpoint.POLL: Rate(endpoint="check_batch_request_status", calls=150, per_s=60.0),
        Endpoint.READ_BACK: Rate(endpoint="products", calls=150, per_s=60.0),
    }


CAPABILITIES: Final = Capabilities(
    platform="meta",
    batch_items_max=BATCH_ITEMS_MAX,
    batch_bytes_max=BODY_BYTES_MAX - ENVELOPE_BYTES_MAX,
    partial_update=True,
    read_back=True,
    read_back_items_max=READ_BACK_ITEMS_MAX,
    item_id_length_max=100,
    concurrency_max=4,
    lists_items=True,
    rates=rates(CATALOG_TRAFFIC_ASSUMED),
    stock_fields=("availability", "quantity_to_sell_on_facebook"),
)

ITEM_RULES: Final = ItemRules(
    platform_title="Meta",
    id_max=100,
    title_max=200,
    description_max=9_999,
    link_max=None,
    image_link_max=None,
    additional_images_max=20,
    additional_images_chars_max=2_000,
    availability=same_words("in_stock", "out_of_stock", "preorder", "available_for_order", "discontinued"),
    conditions=same_words("new", "refurbished", "used"),
    genders=same_words("female", "male", "unisex"),
    age_groups=same_words("adult", "all_ages", "infant", "kids", "newborn", "teen", "toddler"),
    text_max={
        "brand": 100,
        "mpn": 100,
        "color": 200,
        "size": 200,
        "material": 200,
        "pattern": 200,
        "product_type": 750,  # unverified
        **{f"custom_label_{number}": 100 for number in range(5)},  # unverified
    },
    identifier_required=True,
)
