"""A row of WooCommerce's product export as an item, in the words that the shop's own API has for it.

Sources: WC_Product_CSV_Exporter of WooCommerce. The export names no slug, so items are called by name, options and the
shop's id, which is also how the shop's webhooks meet them. Its column names are English only in an English admin.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import Final, NamedTuple

from vitrin.catalog.domain.entities import ExternalRefs
from vitrin.catalog.domain.limits import ATTRIBUTE_NAME_CHARS_MAX, ITEM_ID_CHARS_MAX
from vitrin.catalog.domain.products import (
    Options,
    field_of_option,
    fitted,
    pictures_of,
    read_barcode,
    slug,
    status_of,
    variant_title,
)
from vitrin.catalog.importing.reader import Row
from vitrin.catalog.importing.records import ImportDefaults, text_cell
from vitrin.kit.money import Money, MoneyInvalid, parse_price

SOURCE: Final = "woocommerce"
ATTRIBUTES_MAX: Final = 100
BARCODE: Final = "GTIN, UPC, EAN, or ISBN"
PUBLISHED: Final = "1"
PARENT: Final = "parent"
BACKORDER: Final = "backorder"
_COMMA: Final = re.compile(r"(?<!\\),")
_DECIMAL_COMMA: Final = re.compile(r"[0-9]+,[0-9]+")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class Parent(NamedTuple):
    """What a variation takes from its product."""

    number: str
    name: str
    description: str
    status: str
    pictures: list[str]
    brand: str
    category: str
    tags: str
    stock: str
    backorders: str
    attributes: list[tuple[str, str]]


class Columns:
    """Cells by the name of their column, in any case."""

    def __init__(self, header: tuple[str, ...]) -> None:
        self._at = {name.strip().lower(): position for position, name in reversed(list(enumerate(header)))}
        self._width = len(header)
        self._attributes = [
            number for number in range(1, ATTRIBUTES_MAX + 1) if f"Attribute {number} name" in self
        ]

    def __len__(self) -> int:
        return self._width

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._at

    def cell(self, row: Row, name: str) -> str:
        position = self._at.get(name.lower())
        return "" if position is None else row.fields[position].strip()

    def attributes(self, row: Row) -> Iterator[tuple[str, str]]:
        """Name and values; a variation that holds for any value has none."""
        for number in self._attributes:
            name = self.cell(row, f"Attribute {number} name")
            if name:
                values = _listed(self.cell(row, f"Attribute {number} value(s)"))
                yield name, ", ".join(values)


class Mapper:
    def __init__(self, columns: Columns, defaults: ImportDefaults) -> None:
        self.columns = columns
        self._defaults = defaults

    def parent(self, row: Row) -> Parent:
        cell = self.columns.cell
        categories = _listed(cell(row, "Categories"))
        brands = _listed(cell(row, "Brands"))
        return Parent(
            number=cell(row, "ID").lstrip("0"),
            name=cell(row, "Name"),
            description=cell(row, "Description") or cell(row, "Short description"),
            status=self._status(row),
            pictures=_listed(cell(row, "Images")),
            brand=brands[0] if brands else "",
            category=categories[0].rpartition(">")[2].strip() if categories else "",
            tags=", ".join(_listed(cell(row, "Tags"))),
            stock=cell(row, "Stock"),
            backorders=cell(row, "Backorders allowed?"),
            attributes=list(self.columns.attributes(row)),
        )

    def item(self, row: Row, parent: Parent | None) -> tuple[str, dict[str, object], ExternalRefs]:
        """`parent` None: the row is a product without variations, its own one variant."""
        number = self.columns.cell(row, "ID").lstrip("0")
        product = parent or self.parent(row)
        own = list(self.columns.attributes(row)) if parent is not None else []
        options: Options = tuple((name, value) for name, value in own if value)
        telling = {name for name, _value in own}
        attributes: dict[str, str | None] = {"tags": product.tags or None}
        if product.category:
            attributes["woocommerce_category"] = product.category
        attributes.update(
            (name[:ATTRIBUTE_NAME_CHARS_MAX], value or None)
            for name, value in product.attributes
            if name not in telling
        )
        sku = text_cell(self.columns.cell(row, "SKU"))
        item_id = _item_id(product.name, options, number)
        values: dict[str, object] = {
            "id": item_id,
            "item_group_id": None if parent is None else _item_id(product.name, (), product.number),
            "title": variant_title(product.name, options) if product.name else "",
            "description_html": product.description or None,
            "sku": sku or None,
            "status": self._variant_status(row, product) if parent is not None else product.status,
            **self._pictures(row, product, parent),
            **self._stock(row, parent),
            **self._prices(row),
        }
        if product.brand:
            values["brand"] = product.brand
        if self._defaults.storefront_url:
            values["link"] = f"{self._defaults.storefront_url.rstrip('/')}/?p={product.number}"
        gtin = self._barcode(row, values, attributes)
        for name, value in options:
            field = field_of_option(name)
            if field is None:
                attributes[name[:ATTRIBUTE_NAME_CHARS_MAX]] = value
            else:
                values[field] = value
        values["attributes"] = attributes
        refs = ExternalRefs(
            source=SOURCE,
            product_id=product.number,
            variant_id=number,
            options=options,
            sku=sku,
            gtin=gtin,
        )
        return item_id, values, refs

    def _status(self, row: Row) -> str:
        """Published 1, private 0, a draft -1; a hidden one is in no list of the shop."""
        published = self.columns.cell(row, "Published") in {PUBLISHED, ""}
        hidden = self.columns.cell(row, "Visibility in catalog").lower() == "hidden"
        return status_of("active", published=published and not hidden)

    def _variant_status(self, row: Row, product: Parent) -> str:
        """A variation that is not published was switched off by the shop."""
        published = self.columns.cell(row, "Published") in {PUBLISHED, ""}
        return product.status if published else status_of("active", published=False)

    def _pictures(self, row: Row, product: Parent, parent: Parent | None) -> dict[str, object]:
        if "Images" not in self.columns:
            return {}
        own = _listed(self.columns.cell(row, "Images")) if parent is not None else []
        return pictures_of(own[0] if own else "", product.pictures)

    def _stock(self, row: Row, parent: Parent | None) -> dict[str, object]:
        """Without a managed stock only the state speaks: out of stock is a 0. A variation may have its product's."""
        stock, state = self.columns.cell(row, "Stock"), self.columns.cell(row, "In stock?").lower()
        backorders = self.columns.cell(row, "Backorders allowed?").lower()
        if stock.lower() == PARENT and parent is not None:
            stock, backorders = parent.stock, backorders or parent.backorders.lower()
        if stock:
            return {
                "quantity": _pieces(stock),
                "inventory_policy": "continue" if backorders in {"1", "notify"} else "deny",
                "availability": "available_for_order" if state == BACKORDER else None,
            }
        if "In stock?" not in self.columns:
            return {}
        return {
            "quantity": None if state in {"1", ""} else 0,
            "inventory_policy": "continue" if state == BACKORDER else "deny",
            "availability": "available_for_order" if state == BACKORDER else None,
        }

    def _prices(self, row: Row) -> dict[str, object]:
        """A sale price below the regular one is a sale; without a regular price it is the price."""
        regular, sale = (_dotted(self.columns.cell(row, name)) for name in ("Regular price", "Sale price"))
        if not regular or not sale:
            return {"price": regular or sale or None, "sale_price": None}
        before, now = self._money(regular), self._money(sale)
        if before is None or now is None or now >= before:
            return {"price": regular, "sale_price": None if now is not None else sale}
        return {
            "price": regular,
            "sale_price": sale,
            "sale_price_effective_date": {
                "start": _moment(self.columns.cell(row, "Date sale price starts"), end=False),
                "end": _moment(self.columns.cell(row, "Date sale price ends"), end=True),
            },
        }

    def _money(self, text: str) -> Money | None:
        try:
            return parse_price(text, default_currency=self._defaults.currency)
        except MoneyInvalid:
            return None

    def _barcode(self, row: Row, values: dict[str, object], attributes: dict[str, str | None]) -> str:
        if BARCODE not in self.columns:
            return ""
        barcode = read_barcode(text_cell(self.columns.cell(row, BARCODE)))
        values["gtin"] = barcode.gtin or None
        attributes["barcode"] = barcode.own or None
        return barcode.gtin


def _item_id(name: str, options: Options, number: str) -> str:
    """Names repeat in a shop, its ids do not: the id stays whole where the name is cut."""
    words = "-".join(part for part in (slug(name), *(slug(value) for _name, value in options)) if part)
    whole = f"{words}-{number}" if words else f"product-{number}"
    if len(whole) <= ITEM_ID_CHARS_MAX:
        return whole
    return f"{words[: ITEM_ID_CHARS_MAX - 40]}-{fitted(number)}"


def _listed(cell: str) -> list[str]:
    """Of several values in one cell; a comma inside of one is written with a backslash."""
    return [text for part in _COMMA.split(cell) if (text := part.replace("\\,", ",").strip())]


def _dotted(price: str) -> str:
    """The export writes prices with the shop's decimal separator, and never with one for thousands."""
    return price.replace(",", ".") if _DECIMAL_COMMA.fullmatch(price) else price


def _pieces(stock: str) -> object:
    """Whole pieces are sold, and below zero lies nothing; other texts are judged by the catalog."""
    try:
        return max(0, int(float(stock)))
    except (ValueError, OverflowError):
        return stock


def _moment(text: str, *, end: bool) -> str | None:
    """Days and moments without a zone are read as UTC (the export does not say the shop's zone): unverified for shops
    elsewhere, whose next webhook puts it right. A last day counts whole."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    if end and _DAY.fullmatch(text):
        read = datetime.combine(read.date(), time(23, 59, 59))
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).isoformat()
