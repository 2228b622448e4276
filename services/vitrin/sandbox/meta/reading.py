"""A stored item in the shape of the ProductItem node of Graph v26.0 (names from Meta's SDK)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from vitrin.sandbox.state import StoredItem

SYMBOLS = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "BRL": "R$",
    "KRW": "₩",
    "ILS": "₪",
    "VND": "₫",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "MXN": "MX$",
    "HKD": "HK$",
    "CNY": "CN¥",
    "TWD": "NT$",
    "PHP": "₱",
}
"""Symbols of the en_US locale; a currency that is not here is written before the amount (unverified)."""

NO_DECIMALS = frozenset(
    {"JPY", "KRW", "VND", "CLP", "ISK", "UGX", "PYG", "RWF", "XAF", "XOF", "XPF", "KMF", "DJF"}
)
NO_DECIMALS_MORE = frozenset({"GNF", "BIF", "VUV"})

DEFAULT_FIELDS = ("id", "name", "retailer_id")


@lru_cache(maxsize=50_000)
def formatted_price(price: str) -> str:
    """``12.34 USD`` as the node shows it: ``$12.34``; thousands are separated by commas."""
    amount, _, currency = price.partition(" ")
    decimals = 0 if currency in NO_DECIMALS | NO_DECIMALS_MORE else 2
    number = f"{Decimal(amount):,.{decimals}f}"
    return f"{SYMBOLS[currency]}{number}" if currency in SYMBOLS else f"{currency} {number}"


def node_id(catalog_id: str, retailer_id: str) -> str:
    """The item's numeric id on the platform, always the same for the same catalog and retailer id."""
    digest = blake2b(f"{catalog_id}/{retailer_id}".encode(), digest_size=7).digest()
    return str(1_000_000_000_000_000 + int.from_bytes(digest) % 9_000_000_000_000_000)


def _list_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [link for link in value.split(",") if link]
    return list(value or [])


def _currency(fields: Mapping[str, Any]) -> str | None:
    price = fields.get("price")
    return price.partition(" ")[2] if isinstance(price, str) else None


def _money(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda fields: formatted_price(fields[name]) if fields.get(name) else None


def _window(position: int) -> Callable[[Mapping[str, Any]], str | None]:
    def read(fields: Mapping[str, Any]) -> str | None:
        window = fields.get("sale_price_effective_date")
        return window.split("/")[position] if isinstance(window, str) and "/" in window else None

    return read


def _plain(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda fields: fields.get(name)


SAME_NAME = (
    "description",
    "short_description",
    "rich_text_description",
    "availability",
    "condition",
    "brand",
    "gtin",
    "product_type",
    "fb_product_category",
    "color",
    "size",
    "gender",
    "age_group",
    "material",
    "pattern",
    "inventory",
    "quantity_to_sell_on_facebook",
    "mobile_link",
    "checkout_url",
    "origin_country",
    "expiration_date",
    "launch_date",
    "commerce_tax_category",
    *(f"custom_label_{number}" for number in range(5)),
    *(f"custom_number_{number}" for number in range(5)),
)

READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    **{name: _plain(name) for name in SAME_NAME},
    "name": _plain("title"),
    "url": _plain("link"),
    "image_url": _plain("image_link"),
    "additional_image_urls": lambda fields: _list_of(fields.get("additional_image_link")),
    "manufacturer_part_number": _plain("mpn"),
    "retailer_product_group_id": _plain("item_group_id"),
    "category": _plain("google_product_category"),
    "price": _money("price"),
    "sale_price": _money("sale_price"),
    "currency": _currency,
    "sale_price_start_date": _window(0),
    "sale_price_end_date": _window(1),
    "visibility": lambda fields: fields.get("visibility") or "published",
    "status": lambda fields: "STAGING" if fields.get("visibility") == "staging" else "PUBLISHED",
    "tags": lambda fields: _list_of(fields.get("internal_label")),
    "errors": lambda fields: [],
    "invalidation_errors": lambda fields: [],
    "review_status": lambda fields: "approved",
    "review_rejection_reasons": lambda fields: [],
    "image_fetch_status": lambda fields: "FETCHED" if fields.get("image_link") else "NO_STATUS",
}

FIELD_NAMES = frozenset(READERS) | {"id", "retailer_id"}


def node(item: StoredItem, *, catalog_id: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The node with the named fields; as on the platform a field without a value is left out, ``id`` never."""
    fields = item.fields()
    shown: dict[str, Any] = {}
    for name in names:
        if name == "retailer_id":
            shown[name] = item.key
        elif name != "id" and (value := READERS[name](fields)) is not None:
            shown[name] = value
    shown["id"] = node_id(catalog_id, item.key)
    return shown
