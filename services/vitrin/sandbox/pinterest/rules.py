"""What Pinterest says about one item's attributes.

What is an error and what a warning, and the words, follow ``CatalogsItemValidationErrors`` and ``...Warnings`` of
the OpenAPI 5.23. Of the numeric codes only 106 (title missing) is published; codes from 9000 are the sandbox's own.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Attributes = dict[str, Any]

ITEM_ID_CHARS_MAX = 127
LINK_CHARS_MAX = 511
IMAGE_LINK_CHARS_MAX = 2_000
ADDITIONAL_IMAGES_MAX = 10
TITLE_CHARS_MAX = 500
DESCRIPTION_CHARS_MAX = 10_000
PRODUCT_TYPE_CHARS_MAX = 1_000
ITEM_GROUP_ID_CHARS_MAX = 127

PRICE = re.compile(r"([0-9]+(?:\.[0-9]{1,2})?) ?([A-Z]{3})?")
GTIN = re.compile(r"[0-9]{8}|[0-9]{12}|[0-9]{13}|[0-9]{14}")
DEFAULT_CURRENCY = "USD"

AVAILABILITIES = frozenset({"in stock", "out of stock", "preorder"})
OPTIONAL_ENUMS = {
    "condition": (
        frozenset({"new", "used", "refurbished"}),
        9041,
        "Item includes a condition value that is formatted incorrectly.",
    ),
    "gender": (
        frozenset({"male", "female", "unisex"}),
        9042,
        "Item has a gender value that is formatted incorrectly.",
    ),
    "age_group": (
        frozenset({"newborn", "infant", "toddler", "kids", "adult"}),
        9043,
        "Item has an age group value that is formatted incorrectly.",
    ),
    "size_type": (
        frozenset({"regular", "petite", "plus", "big_and_tall", "maternity"}),
        9044,
        "Item has a size type value that is formatted incorrectly.",
    ),
    "size_system": (
        frozenset({"US", "UK", "EU", "DE", "FR", "JP", "CN", "IT", "BR", "MEX", "AU"}),
        9045,
        "Item has a size system value which is not one of the supported size systems.",
    ),
}

REQUIRED = {
    "title": (106, "Title is missing from product metadata."),
    "description": (
        9001,
        "Item is missing description in its product metadata, this item will not be published.",
    ),
    "link": (9002, "Item is missing a link URL in its product metadata, this item will not be published."),
    "image_link": (
        9003,
        "Item is missing an image link URL in its product metadata, this item will not be published.",
    ),
    "price": (9004, "Product is missing a price, this item will not be published."),
    "availability": (
        9005,
        "Item is missing availability value in its product metadata, this item will not be published.",
    ),
}

ITEM_EXISTS = (9020, "An item with this item id already exists.")
ITEM_MISSING = (9021, "Sorry! We could not find that item.")


@dataclass(slots=True)
class Verdict:
    """Events about one item: any error keeps it as it was, warnings do not."""

    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def error(self, attribute: str, code: int, message: str) -> None:
        """Add an event that fails the item."""
        self.errors.append({"attribute": attribute, "code": code, "message": message})

    def warning(self, attribute: str, code: int, message: str) -> None:
        """Add an event that lets the item through."""
        self.warnings.append({"attribute": attribute, "code": code, "message": message})


def is_empty(value: Any) -> bool:
    """Whether there is no value: null, an empty string or an empty list."""
    return value is None or value in ("", [])


def _is_url(value: str) -> bool:
    if any(char.isspace() for char in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _amount(price: str) -> tuple[float, str] | None:
    found = PRICE.fullmatch(price)
    return (float(found[1]), found[2] or DEFAULT_CURRENCY) if found else None


def normalised(attributes: Attributes) -> Attributes:
    """The attributes as they are kept: prices with their currency, ``image_link`` as a list, enums in lower case."""
    kept = {name: value for name, value in attributes.items() if not is_empty(value) and name != "id"}
    for name in ("price", "sale_price", "min_ad_price"):
        if name in kept and (found := PRICE.fullmatch(kept[name])):
            kept[name] = f"{found[1]} {found[2] or DEFAULT_CURRENCY}"
    if isinstance(kept.get("image_link"), str):
        kept["image_link"] = [kept["image_link"]]
    if isinstance(kept.get("gtin"), int):
        kept["gtin"] = str(kept["gtin"])
    for name in ("availability", "condition", "gender", "age_group", "size_type"):
        if name in kept:
            kept[name] = kept[name].lower()
    return kept


def check(attributes: Attributes) -> Verdict:
    """Judge a whole item in its normalised form; over-long texts are cut in place, as the platform does."""
    verdict = Verdict()
    for name, (code, message) in REQUIRED.items():
        if is_empty(attributes.get(name)):
            verdict.error(name, code, message)
    _check_links(attributes, verdict)
    _check_prices(attributes, verdict)
    availability = attributes.get("availability")
    if availability is not None and availability not in AVAILABILITIES:
        verdict.error("availability", *REQUIRED["availability"])
    for name, (allowed, code, message) in OPTIONAL_ENUMS.items():
        if name in attributes and attributes[name] not in allowed:
            verdict.warning(name, code, message)
    if "gtin" in attributes and not GTIN.fullmatch(attributes["gtin"]):
        verdict.warning("gtin", 9046, "Item has a GTIN value that is formatted incorrectly.")
    if len(attributes.get("item_group_id", "")) > ITEM_GROUP_ID_CHARS_MAX:
        verdict.error("item_group_id", 9016, "Item has an item_group_id that contains too many characters.")
    _cut_texts(attributes, verdict)
    return verdict


def _check_links(attributes: Attributes, verdict: Verdict) -> None:
    link = attributes.get("link")
    if link is not None and len(link) > LINK_CHARS_MAX:
        verdict.error(
            "link", 9011, "Product link contains too many characters, this item will not be published."
        )
    elif link is not None and not _is_url(link):
        verdict.error("link", 9010, "Link is invalid.")
    for image in attributes.get("image_link", []):
        if len(image) > IMAGE_LINK_CHARS_MAX:
            verdict.error(
                "image_link",
                9013,
                "Item has image_link URL that contains too many characters, so the item "
                "will not be published.",
            )
        elif not _is_url(image):
            verdict.error("image_link", 9012, "Image link is invalid.")
    extra = attributes.get("additional_image_link", [])
    if any(len(image) > IMAGE_LINK_CHARS_MAX for image in extra):
        verdict.warning(
            "additional_image_link",
            9047,
            "Item has an additional_image_link URL that contains too many characters.",
        )
    if any(not _is_url(image) for image in extra):
        verdict.warning(
            "additional_image_link",
            9048,
            "Item has additional_image_link URLs that are formatted "
            "incorrectly and will not be published with your items.",
        )
    if len(extra) > ADDITIONAL_IMAGES_MAX:
        verdict.warning(
            "additional_image_link",
            9049,
            "Item has a additional_image_link value that exceed the limit "
            "for additional images, this item will be published without some of your images.",
        )
        attributes["additional_image_link"] = extra[:ADDITIONAL_IMAGES_MAX]


def _check_prices(attributes: Attributes, verdict: Verdict) -> None:
    price = attributes.get("price")
    amount = _amount(price) if price is not None else None
    if price is not None and amount is None:
        verdict.error(
            "price",
            9014,
            "Item has a price formatting error in its product metadata, this item will not be published.",
        )
    sale_price = attributes.get("sale_price")
    if sale_price is None:
        return
    sale = _amount(sale_price)
    if sale is None:
        verdict.warning("sale_price", 9050, "Item has an incorrectly formatted sales price.")
        del attributes["sale_price"]
    elif amount is not None and (sale[0] >= amount[0] or sale[1] != amount[1]):
        verdict.warning(
            "sale_price",
            9051,
            "Item has a sale price value that is higher than the original price of the item.",
        )


def _cut_texts(attributes: Attributes, verdict: Verdict) -> None:
    if len(attributes.get("title", "")) > TITLE_CHARS_MAX:
        attributes["title"] = attributes["title"][:TITLE_CHARS_MAX]
        verdict.warning(
            "title", 9052, "The title for the item was truncated because it contains too many characters."
        )
    if len(attributes.get("description", "")) > DESCRIPTION_CHARS_MAX:
        attributes["description"] = attributes["description"][:DESCRIPTION_CHARS_MAX]
        verdict.warning(
            "description",
            9053,
            "The description for this item was truncated because it contains too many characters.",
        )
    if len(attributes.get("product_type", "")) > PRODUCT_TYPE_CHARS_MAX:
        del attributes["product_type"]
        verdict.warning(
            "product_type",
            9054,
            "Item has a product_type value that is too long, this item will be "
            "published without that product type.",
        )


def facts(stored: Attributes) -> tuple[str, ...]:
    """What the page counts."""
    found = ["items", f"availability:{stored.get('availability', 'unknown')}"]
    for fact, name in (
        ("image", "image_link"),
        ("title", "title"),
        ("price", "price"),
        ("sale_price", "sale_price"),
    ):
        if not is_empty(stored.get(name)):
            found.append(fact)
    return tuple(found)
