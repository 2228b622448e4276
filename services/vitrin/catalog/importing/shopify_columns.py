"""Column names of Shopify's product export, old and new."""

from collections.abc import Iterator
from typing import Final

from vitrin.catalog.importing.reader import Row

_NEW_NAMES: Final = {
    "url handle": "handle",
    "description": "body (html)",
    "published on online store": "published",
    "sku": "variant sku",
    "barcode": "variant barcode",
    "price": "variant price",
    "compare-at price": "variant compare at price",
    "inventory tracker": "variant inventory tracker",
    "inventory quantity": "variant inventory qty",
    "continue selling when out of stock": "variant inventory policy",
    "weight value (grams)": "variant grams",
    "product image url": "image src",
    "variant image url": "variant image",
    "requires shipping": "variant requires shipping",
    "fulfillment service": "variant fulfillment service",
    "charge tax": "variant taxable",
    "weight unit for display": "variant weight unit",
    "tax code": "variant tax code",
    "google shopping / manufacturer part number (mpn)": "google shopping / mpn",
    "google shopping / product category": "google shopping / google product category",
}

VARIANT_MARKS: Final = (
    "Option1 Value",
    "Variant SKU",
    "Variant Price",
    "Variant Inventory Qty",
    "Variant Barcode",
    "Variant Compare At Price",
)
"""A row with any of these is a variant; weight unit, policy and the like stand in picture rows too."""

PRODUCT_TEXTS: Final = {
    "Vendor": "brand",
    "Type": "product_type",
    "Google Shopping / Google Product Category": "google_product_category",
    "Google Shopping / MPN": "mpn",
    "Google Shopping / Custom Label 0": "custom_label_0",
    "Google Shopping / Custom Label 1": "custom_label_1",
    "Google Shopping / Custom Label 2": "custom_label_2",
    "Google Shopping / Custom Label 3": "custom_label_3",
    "Google Shopping / Custom Label 4": "custom_label_4",
}
"""Columns of the first row that hold for every variant, and their fields."""

PRODUCT_WORDS: Final = {
    "Google Shopping / Gender": "gender",
    "Google Shopping / Age Group": "age_group",
    "Google Shopping / Condition": "condition",
}

PRODUCT_ATTRIBUTES: Final = {
    "Tags": "tags",
    "SEO Title": "seo_title",
    "SEO Description": "seo_description",
    "Product Category": "shopify_category",
}

_HANDLED: Final = frozenset(
    name.lower()
    for name in (
        *("Handle", "Title", "Body (HTML)", "Published", "Status", "Gift Card", "Cost per item"),
        *("Image Src", "Image Position", "Image Alt Text", "Variant Image"),
        *("Variant Inventory Tracker", "Variant Inventory Policy", "Variant Fulfillment Service"),
        *("Variant Taxable", "Variant Tax Code", "Variant Weight Unit"),
        *(f"Option{number} {part}" for number in (1, 2, 3) for part in ("Name", "Value", "Linked To")),
        *VARIANT_MARKS,
        *PRODUCT_TEXTS,
        *PRODUCT_WORDS,
        *PRODUCT_ATTRIBUTES,
    )
)


class Columns:
    """Cells by their classic name, whatever the case and generation of the header."""

    def __init__(self, header: tuple[str, ...]) -> None:
        names = [name.strip().lower() for name in header]
        new = "url handle" in names
        self._at: dict[str, int] = {}
        self._extra: dict[str, int] = {}
        for position, name in enumerate(names):
            classic = _NEW_NAMES.get(name, name) if new else name
            self._at.setdefault(classic, position)
            if classic not in _HANDLED:
                self._extra[header[position]] = position
        self._width = len(header)

    def __len__(self) -> int:
        return self._width

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._at

    def cell(self, row: Row, name: str) -> str:
        position = self._at.get(name.lower())
        return "" if position is None else row.fields[position].strip()

    def extras(self, row: Row) -> Iterator[tuple[str, str]]:
        """Columns that are not Shopify's or have no field here, with their cells."""
        for name, position in self._extra.items():
            yield name, row.fields[position].strip()
