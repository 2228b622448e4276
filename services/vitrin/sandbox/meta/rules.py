"""What Meta accepts in the ``data`` of an items_batch request.

Source: the public field reference of Meta's catalog and, for enums, the SDK of Graph v26.0. Lengths of
``product_type`` and ``custom_label_*`` and the values of ``status`` are unverified.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

ID_CHARS_MAX = 100
ADDITIONAL_IMAGES_MAX = 20
ADDITIONAL_IMAGES_CHARS_MAX = 2_000
UINT32_MAX = 4_294_967_295

REQUIRED = ("title", "description", "availability", "condition", "price", "link", "image_link")
ONE_OF = ("brand", "gtin", "mpn")

LENGTHS_MAX = {
    "title": 200,
    "description": 9_999,
    "rich_text_description": 9_999,
    "short_description": 1_000,
    "brand": 100,
    "mpn": 100,
    "item_group_id": 100,
    "product_type": 750,
    "color": 200,
    "size": 200,
    "material": 200,
    "pattern": 200,
    **{f"custom_label_{number}": 100 for number in range(5)},
}
ENUMS = {
    "availability": frozenset(
        {
            "in stock",
            "out of stock",
            "preorder",
            "available for order",
            "discontinued",
            "pending",
            "mark_as_sold",
            "mark_as_expired",
        }
    ),
    "condition": frozenset(
        {
            "new",
            "refurbished",
            "used",
            "used_like_new",
            "used_good",
            "used_fair",
            "cpo",
            "open_box_new",
        }
    ),
    "gender": frozenset({"female", "male", "unisex"}),
    "age_group": frozenset({"adult", "all ages", "infant", "kids", "newborn", "teen", "toddler"}),
    "visibility": frozenset({"published", "staging", "hidden"}),
    "status": frozenset({"active", "archived"}),
}
PRICE = re.compile(r"[0-9]+(\.[0-9]{1,2})? [A-Z]{3}")
GTIN = re.compile(r"[0-9]{8}|[0-9]{12}|[0-9]{13}|[0-9]{14}")
MOMENT = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
SALE_WINDOW = re.compile(rf"{MOMENT}/{MOMENT}")
WEIGHT = re.compile(r"[0-9]+(\.[0-9]+)? ?(lb|oz|g|kg)")
PRICES = frozenset({"price", "sale_price"})
URLS = frozenset({"link", "image_link", "mobile_link", "checkout_url"})
COUNTS = frozenset({"quantity_to_sell_on_facebook", "inventory"})
FREE = frozenset(
    {
        "google_product_category",
        "fb_product_category",
        "internal_label",
        "video",
        "shipping",
        "tax",
        "external_variant_id",
        "default_product",
        "variant",
        "additional_variant_attribute",
        "expiration_date",
        "launch_date",
        "origin_country",
        "commerce_tax_category",
        "return_policy_info",
        "applink",
        "disabled_capabilities",
        "custom_data",
    }
)


@dataclass(slots=True)
class Findings:
    """What is wrong with one item: errors keep it out, warnings only lose the field they name."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_url(value: Any) -> bool:
    if not isinstance(value, str) or any(char.isspace() for char in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_uint(value: Any, *, max_value: int = UINT32_MAX) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return value.isdecimal() and int(value) <= max_value
    return isinstance(value, int) and 0 <= value <= max_value


def _images(value: Any, findings: Findings) -> None:
    links = value.split(",") if isinstance(value, str) else value
    if not isinstance(links, list) or not all(_is_url(link) for link in links):
        findings.errors.append("Invalid value for field additional_image_link: must be a list of valid URLs")
    elif len(links) > ADDITIONAL_IMAGES_MAX:
        findings.errors.append(
            f"Invalid value for field additional_image_link: at most {ADDITIONAL_IMAGES_MAX} images are allowed"
        )
    elif sum(map(len, links)) > ADDITIONAL_IMAGES_CHARS_MAX:
        findings.warnings.append(
            f"Field additional_image_link is longer than {ADDITIONAL_IMAGES_CHARS_MAX} characters in total"
        )


def _custom_number(value: Any) -> bool:
    return _is_uint(value)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        PRICES,
        (
            lambda v: isinstance(v, str) and bool(PRICE.fullmatch(v)),
            "must be a number with at most two decimals, a space and an ISO 4217 currency, such as 9.99 USD",
        ),
    ),
    **dict.fromkeys(URLS, (_is_url, "must be a valid URL that begins with http:// or https://")),
    **dict.fromkeys(COUNTS, (_is_uint, "must be an integer of 0 or more")),
    **{f"custom_number_{n}": (_custom_number, "must be an integer from 0 to 4294967295") for n in range(5)},
    "gtin": (
        lambda v: (t := _text(v)) is not None and bool(GTIN.fullmatch(t)),
        "must have 8, 12, 13 or 14 digits",
    ),
    "sale_price_effective_date": (
        lambda v: isinstance(v, str) and bool(SALE_WINDOW.fullmatch(v)),
        "must be two ISO 8601 moments with a slash between them",
    ),
    "shipping_weight": (
        lambda v: (t := _text(v)) is not None and bool(WEIGHT.fullmatch(t)),
        "must be a number and one of lb, oz, g, kg",
    ),
}


def _check(name: str, value: Any, findings: Findings) -> None:
    if name in ENUMS:
        if not isinstance(value, str) or value not in ENUMS[name]:
            allowed = ", ".join(sorted(ENUMS[name]))
            findings.errors.append(f"Invalid value for field {name}: must be one of {allowed}")
    elif name in _CHECKS:
        accepts, wanted = _CHECKS[name]
        if not accepts(value):
            findings.errors.append(f"Invalid value for field {name}: {wanted}")
    elif name in LENGTHS_MAX:
        text = _text(value)
        if text is None:
            findings.errors.append(f"Invalid value for field {name}: must be a string")
        elif len(text) > LENGTHS_MAX[name]:
            findings.errors.append(
                f"Invalid value for field {name}: {len(text)} characters, at most {LENGTHS_MAX[name]} are allowed"
            )
    elif name == "additional_image_link":
        _images(value, findings)
    elif name not in FREE:
        findings.warnings.append(f"Unknown field: {name}")


def is_empty(value: Any) -> bool:
    """Whether a value means 'take the field away': null, an empty string or an empty list."""
    return value is None or value in ("", [])


def check_data(data: dict[str, Any]) -> Findings:
    """Everything that can be said about the fields without knowing what the catalog holds."""
    findings = Findings()
    for name, value in data.items():
        if name == "id":
            continue
        if not is_empty(value):
            _check(name, value, findings)
        elif name in REQUIRED:
            findings.errors.append(f"Invalid value for field {name}: it is required and cannot be empty")
    price, sale = data.get("price"), data.get("sale_price")
    if not findings.errors and isinstance(price, str) and isinstance(sale, str) and sale:
        _check_sale(price, sale, findings)
    return findings


def _check_sale(price: str, sale: str, findings: Findings) -> None:
    amount, _, currency = price.partition(" ")
    sale_amount, _, sale_currency = sale.partition(" ")
    if currency != sale_currency:
        findings.errors.append("Invalid value for field sale_price: its currency is not that of price")
    elif float(sale_amount) > float(amount):
        findings.warnings.append("Field sale_price is higher than price")


def missing_fields(fields: dict[str, Any]) -> list[str]:
    """The required fields that a complete item lacks; ``brand`` stands for one of brand, gtin and mpn."""
    missing = [name for name in REQUIRED if is_empty(fields.get(name))]
    if all(is_empty(fields.get(name)) for name in ONE_OF):
        missing.append("brand")
    return missing


def facts(fields: dict[str, Any]) -> tuple[str, ...]:
    """What the page counts."""
    found = ["items", f"availability:{fields.get('availability', 'unknown')}"]
    for fact, name in (
        ("image", "image_link"),
        ("title", "title"),
        ("price", "price"),
        ("sale_price", "sale_price"),
    ):
        if not is_empty(fields.get(name)):
            found.append(fact)
    return tuple(found)
