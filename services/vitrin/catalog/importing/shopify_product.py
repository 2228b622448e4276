"""One product of a Shopify export and the items that its variants become."""

from typing import Final, NamedTuple
from urllib.parse import quote

from vitrin.catalog.domain.entities import ExternalRefs
from vitrin.catalog.domain.limits import ATTRIBUTE_NAME_CHARS_MAX
from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.domain.products import (
    field_of_option,
    fitted,
    meaningful,
    pictures_of,
    read_barcode,
    status_of,
    variant_ids,
    variant_title,
)
from vitrin.catalog.importing.reader import Row
from vitrin.catalog.importing.records import ImportDefaults, text_cell
from vitrin.catalog.importing.shopify_columns import (
    PRODUCT_ATTRIBUTES,
    PRODUCT_TEXTS,
    PRODUCT_WORDS,
    Columns,
)
from vitrin.kit.money import MoneyInvalid, parse_price

SOURCE: Final = "shopify"


class Picture(NamedTuple):
    position: int
    row: int
    source: str


class Item(NamedTuple):
    item_id: str
    values: dict[str, object]
    refs: ExternalRefs
    problems: tuple[FieldProblem, ...]


class Product:
    """`head` is the first row, `variants` all rows with a variant, the first one included."""

    def __init__(
        self,
        head: Row,
        variants: list[Row],
        columns: Columns,
        pictures: list[Picture],
        defaults: ImportDefaults,
    ) -> None:
        self._columns = columns
        self._pictures = [picture.source for picture in pictures]
        self._defaults = defaults
        self.handle = columns.cell(head, "Handle")
        self._title = columns.cell(head, "Title")
        self._names = [columns.cell(head, f"Option{number} Name") for number in (1, 2, 3)]
        self._grouped = len(variants) > 1 or bool(self.options(head))
        self._shared = self._shared_values(head)
        self._shared_attributes = self._product_attributes(head)
        self._ids = self._assign_ids(variants)

    def options(self, row: Row) -> tuple[tuple[str, str], ...]:
        """Name and value of each option; none for the one variant of a product without options."""
        named = enumerate(self._names, start=1)
        options = [(name, self._columns.cell(row, f"Option{number} Value"), number) for number, name in named]
        kept = ((name, value, number) for name, value, number in options if meaningful(((name, value),)))
        return tuple((name or f"Option{number}", value) for name, value, number in kept)

    def _assign_ids(self, variants: list[Row]) -> dict[int, str]:
        ids = variant_ids(self.handle, [self.options(row) for row in variants])
        return {row.number: item_id for row, item_id in zip(variants, ids, strict=True)}

    def _shared_values(self, head: Row) -> dict[str, object]:
        columns = self._columns
        values: dict[str, object] = {"item_group_id": fitted(self.handle) if self._grouped else None}
        for column, field in PRODUCT_TEXTS.items():
            if column in columns:
                values[field] = columns.cell(head, column) or None
        for column, field in PRODUCT_WORDS.items():
            if column in columns:
                values[field] = columns.cell(head, column).partition("(")[0].strip() or None
        if "Body (HTML)" in columns:
            values["description_html"] = columns.cell(head, "Body (HTML)") or None
        if self._defaults.storefront_url:
            root = self._defaults.storefront_url.rstrip("/")
            values["link"] = f"{root}/products/{quote(self.handle, safe='')}"
        status = self._status(head)
        if status:
            values["status"] = status
        return values

    def _status(self, head: Row) -> str:
        published = self._columns.cell(head, "Published").lower() != "false"
        return status_of(self._columns.cell(head, "Status").lower(), published=published)

    def _product_attributes(self, head: Row) -> dict[str, str | None]:
        columns = self._columns
        attributes: dict[str, str | None] = {
            name: columns.cell(head, column) or None
            for column, name in PRODUCT_ATTRIBUTES.items()
            if column in columns
        }
        if "Gift Card" in columns:
            attributes["gift_card"] = "true" if columns.cell(head, "Gift Card").lower() == "true" else None
        attributes.update(
            (name[:ATTRIBUTE_NAME_CHARS_MAX], cell or None) for name, cell in columns.extras(head)
        )
        return attributes

    def item(self, row: Row) -> Item:
        options = self.options(row)
        item_id = self._ids[row.number]
        values: dict[str, object] = {"id": item_id, **self._shared}
        values["title"] = variant_title(self._title, options)
        attributes = dict(self._shared_attributes)
        for name, cell in self._columns.extras(row):
            if cell:
                attributes[name[:ATTRIBUTE_NAME_CHARS_MAX]] = cell
        for name, value in options:
            field = field_of_option(name)
            if field is None:
                attributes[name[:ATTRIBUTE_NAME_CHARS_MAX]] = value
            else:
                values[field] = value
        sku = text_cell(self._columns.cell(row, "Variant SKU"))
        values["sku"] = sku or None
        gtin = self._barcode(row, values, attributes)
        self._images(row, values)
        self._stock(row, values)
        problems = self._prices(row, values)
        if attributes:
            values["attributes"] = attributes
        refs = ExternalRefs(source=SOURCE, handle=self.handle, options=options, sku=sku, gtin=gtin)
        return Item(item_id, values, refs, problems)

    def _barcode(self, row: Row, values: dict[str, object], attributes: dict[str, str | None]) -> str:
        if "Variant Barcode" not in self._columns:
            return ""
        barcode = read_barcode(text_cell(self._columns.cell(row, "Variant Barcode")))
        values["gtin"] = barcode.gtin or None
        attributes["barcode"] = barcode.own or None
        return barcode.gtin

    def _images(self, row: Row, values: dict[str, object]) -> None:
        if "Image Src" not in self._columns:
            return
        values.update(pictures_of(self._columns.cell(row, "Variant Image"), self._pictures))

    def _stock(self, row: Row, values: dict[str, object]) -> None:
        """Without a tracker Shopify sells on whatever the quantity says: it is not passed on, if it is one."""
        columns = self._columns
        if "Variant Inventory Qty" in columns:
            quantity = columns.cell(row, "Variant Inventory Qty")
            tracked = "Variant Inventory Tracker" not in columns or columns.cell(
                row, "Variant Inventory Tracker"
            )
            meaningless = not tracked and quantity.isascii() and quantity.isdigit()
            values["quantity"] = None if meaningless or not quantity else quantity
        policy = columns.cell(row, "Variant Inventory Policy").lower()
        if policy:
            values["inventory_policy"] = policy

    def _prices(self, row: Row, values: dict[str, object]) -> tuple[FieldProblem, ...]:
        """A compare-at price above the price is the regular price; one that is not above it says nothing."""
        price = self._columns.cell(row, "Variant Price")
        compare_at = self._columns.cell(row, "Variant Compare At Price")
        values["price"] = price or None
        values["sale_price"] = None
        if "Cost per item" in self._columns:
            values["cost_of_goods_sold"] = self._columns.cell(row, "Cost per item") or None
        if not compare_at:
            return ()
        try:
            regular = parse_price(compare_at, default_currency=self._defaults.currency)
        except MoneyInvalid as error:
            return (FieldProblem("Variant Compare At Price", error.reason_code, error.message, error.fix),)
        try:
            current = parse_price(price, default_currency=self._defaults.currency)
        except MoneyInvalid:
            return ()
        if regular.currency == current.currency and regular > current:
            values["price"], values["sale_price"] = str(regular), str(current)
        return ()
