"""What Shopify allows and asks for, as data. Sources: shopify.dev, read as copies of 2026, unless marked unverified."""

import re
from collections.abc import Mapping
from typing import Final

from vitrin.kit.http_client import Rate

NAME: Final = "shopify"
API_VERSION: Final = "2026-07"
"""Stable until July 2027 by Shopify's rule of twelve months; webhooks come in the version that the app is set to."""
SHOP_ID: Final = "shop"
_SHOP: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}\.myshopify\.com")

TOPICS: Final = (
    "products/create",
    "products/update",
    "products/delete",
    "inventory_levels/update",
    "orders/create",
    "orders/paid",
    "orders/updated",
    "orders/cancelled",
    "refunds/create",
    "app/uninstalled",
)
APP_TOPICS: Final = ("customers/data_request", "customers/redact", "shop/redact")
"""Set at the app: the API does not take them."""
REQUIRED_SCOPES: Final = ("read_products", "read_inventory", "read_locations", "read_orders")
GIVES_UP_AFTER_S: Final = 5.0
"""1 s to connect, 5 s in all; 8 repeats within 4 hours, then the subscription is deleted."""

VARIANTS_IN_WEBHOOK: Final = 100
"""A product's webhook holds no more; what lies beyond is named in `variant_gids` only."""

GRAPHQL: Final = Rate(endpoint="graphql", calls=40, per_s=10.0)
"""The bucket of the smallest plan gives back 100 points a second (older pages: 50); our queries of one object cost up
to 700 as asked and are charged what they return, mostly below 25 (unverified). What the bucket really holds stands in
`extensions.cost` of every answer, and teaches the limiter."""
RESULT: Final = Rate(endpoint="bulk_result", calls=600, per_s=60.0)
"""Reading a bulk result from storage that is not Shopify's; no limit is published, chosen by us."""
CONCURRENCY_MAX: Final = 4

VARIANTS_PAGE: Final = 20
LEVELS_PAGE: Final = 10
"""A query may cost 1,000 points as asked: 20 variants with 10 levels each stay below."""
LEVELS_REST_PAGE: Final = 100
LINES_PAGE: Final = 50
LISTED_PAGE: Final = 20
"""Changed products or orders of one page; each is read by its own query."""
IMAGES_MAX: Final = 20
REFUNDS_MAX: Final = 25
"""Refunds of an order that are read by the API; a webhook holds all."""
PAGES_MAX: Final = 250
"""Pages of one list; 2,048 variants are 103."""


def external_id_problem(name: str, value: str) -> str | None:
    if name != SHOP_ID:
        return f"Shopify has no external id {name!r}."
    if not _SHOP.fullmatch(value):
        return "Write the shop's own domain, without https://, as in acme.myshopify.com."
    return None


def base_url(external_ids: Mapping[str, str]) -> str:
    return f"https://{external_ids[SHOP_ID]}"
