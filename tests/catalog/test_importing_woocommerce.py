"""WooCommerce's product export: the real sample, variations before and after their product, and what is refused."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.test_importing_formats import applied, outcomes, records
from vitrin.catalog.domain import InventoryPolicy, Status
from vitrin.catalog.importing import ImportDefaults, ImportFormat, ImportRecord, SeenInProcess, choose_format
from vitrin.catalog.importing import woocommerce as woo
from vitrin.catalog.importing.reader import CsvFile
from vitrin.kit.money import Money

SAMPLE = Path(__file__).resolve().parents[3] / "shared/data/catalogs/woocommerce/sample_products.csv"
HEADER = (
    *("ID", "Type", "SKU", "Name", "Published", "Visibility in catalog", "Description", "In stock?", "Stock"),
    *("Backorders allowed?", "Sale price", "Regular price", "Date sale price ends", "Categories", "Images"),
    *("Parent", "Attribute 1 name", "Attribute 1 value(s)", "GTIN, UPC, EAN, or ISBN", "Tags", "Brands"),
)


def row(number: int | str, type_: str = "simple", **cells: str) -> dict[str, str]:
    named = {name.split(" ")[0].rstrip("?").lower(): name for name in reversed(HEADER)}
    named |= {
        "regular": "Regular price",
        "sale": "Sale price",
        "ends": "Date sale price ends",
        "in": "In stock?",
    }
    named |= {"option": "Attribute 1 name", "value": "Attribute 1 value(s)", "gtin": HEADER[18]}
    values = {"ID": str(number), "Type": type_, "Published": "1", "In stock?": "1"}
    if type_ != "variable":
        values["Regular price"] = "10"
    return values | {named[name]: cell for name, cell in cells.items()}


def sheet(*rows: dict[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def one(**cells: str) -> Any:
    """What a simple product becomes."""
    return applied(records(sheet(row(7, **{"name": "Mug", **cells})))[0])


@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared is not here")
def test_the_sample_is_recognised_and_every_sellable_row_is_an_item() -> None:
    found = records(SAMPLE.read_bytes())
    assert choose_format(tuple(next(csv.reader(io.StringIO(SAMPLE.read_text()))))) is ImportFormat.WOOCOMMERCE
    items = {one.item_id: one for one in found if one.kind == "item"}
    assert (len(found), len(items)) == (24, 21)
    assert not [problems for _row, _id, problems in outcomes(found) if problems]
    hoodie = items["hoodie-red-no-758"]
    assert (hoodie.refs.product_id, hoodie.refs.variant_id, hoodie.refs.sku) == (
        "742",
        "758",
        "cc-hoodie-red",
    )
    assert hoodie.refs.options == (("Color", "Red"), ("Logo", "No"))
    content, offer = applied(hoodie)[:2]
    assert content is not None
    assert offer is not None
    assert (content.title, content.item_group_id, content.color) == ("Hoodie - Red / No", "hoodie-742", "Red")
    assert content.description.startswith("Pellentesque"), "a variation has none of its own"
    assert content.image_link.endswith("hoodie-no-pocket-red.png")
    assert content.attributes == {"woocommerce_category": "Hoodies", "Logo": "No"}
    assert (offer.price, offer.sale_price) == (Money(4500, "EUR"), Money(4200, "EUR"))
    assert items["t-shirt-blue-883"].refs.options == (("Color", "Blue"),), "of any size"
    hidden = applied(items["hoodie-with-pocket-749"]).content
    assert hidden is not None
    assert hidden.status is Status.DRAFT
    assert content.link == "https://shop.example/?p=742"


def test_a_variation_may_stand_before_its_product_and_name_it_by_id_or_sku() -> None:
    found = records(
        sheet(
            row(3, "variation", parent="id:1", option="Color", value="Red"),
            row(2, "variation", parent="TEE", option="Color", value="Blue"),
            row(1, "variable", sku="TEE", name="Tee", option="Color", value="Red, Blue", tags="a, b"),
            row(4, "variation", parent="id:1", option="Color", value=""),
            row(5, "variation", parent="id:99"),
            row(6, "variation"),
            row("x", name="No id"),
        )
    )
    assert outcomes(found) == [
        (4, None, []),
        (2, "tee-red-3", []),
        (3, "tee-blue-2", []),
        (5, "tee-4", []),
        (7, None, ["parent_missing"]),
        (8, None, ["woocommerce_id_missing"]),
        (6, None, ["parent_missing"]),
    ]
    red = applied(found[1]).content
    assert red is not None
    assert (red.item_group_id, red.attributes) == ("tee-1", {"tags": "a, b"})


def test_memory_is_bounded_and_what_is_beyond_is_refused_row_by_row() -> None:
    many = [row(number, "variable", name="N", description="d" * 500) for number in range(1, 40)]
    late = [
        row(100 + number, "variation", parent=f"id:{number}", option="C", value="x")
        for number in range(1, 40)
    ]
    found = held(sheet(*many, *late), 4_000)
    codes = [one.problems[0].code if one.problems else "" for one in found if one.row_first > 40]
    assert codes == [""] * codes.count("") + ["parent_too_far"] * codes.count("parent_too_far")
    assert 5 < codes.count("") < 15
    early = held(sheet(*late, *many), 4_000)
    waited = [one for one in early if one.item_id]
    assert 5 < len(waited) < 25
    assert len(early) == len(found) == 78


def held(data: bytes, bytes_max: int) -> list[ImportRecord]:
    file = CsvFile([data], announced_bytes=len(data))
    defaults = ImportDefaults(currency="EUR")
    return list(
        woo.records(file, file.header, defaults=defaults, seen=SeenInProcess(), held_bytes_max=bytes_max)
    )


def test_prices_stock_and_codes_are_read_as_the_shop_means_them() -> None:
    sale = one(regular="45,90", sale="39,5", ends="2020-12-31").offer
    assert (sale.price, sale.sale_price) == (Money(4590, "EUR"), Money(3950, "EUR"))
    assert sale.sale_ends_at.isoformat() == "2020-12-31T23:59:59+00:00"
    assert one(regular="10", sale="12").offer.sale_price is None
    assert one(regular="", sale="12").offer.price == Money(1200, "EUR")
    assert [problem.code for problem in one(regular="").problems] == ["price_missing"]
    told = {"": (None, "deny"), "7": (7, "deny"), "3.5": (3, "deny"), "-2": (0, "deny")}
    for stock, (quantity, policy) in told.items():
        offer = one(stock=stock).offer
        assert (offer.quantity, offer.inventory_policy) == (quantity, InventoryPolicy(policy))
    assert one(**{"in": "0"}).offer.quantity == 0
    later = one(**{"in": "backorder"}).offer
    assert (later.quantity, later.inventory_policy) == (0, InventoryPolicy.CONTINUE)
    content = one(gtin="4006381333931", brands="Acme", categories="A > B\\, C, D", published="0").content
    assert (content.gtin, content.brand, content.status) == ("4006381333931", "Acme", Status.DRAFT)
    assert content.attributes == {"woocommerce_category": "B, C"}
    assert [problem.code for problem in one(gtin="4006381333932").problems] == ["gtin_check_digit"]
    own = one(gtin="A-1").content
    assert (own.gtin, own.attributes) == ("", {"barcode": "A-1"})


def test_stock_of_the_product_counts_for_its_variations_and_long_names_keep_the_id() -> None:
    name = "x" * 300
    found = records(
        sheet(
            row(1, "variable", name=name, stock="4", backorders="notify"),
            row(2, "variation", parent="id:1", stock="parent", option="C", value="y"),
            row(3, "variation", parent="id:1", published="-1", option="C", value="z"),
        )
    )
    offer = applied(found[1]).offer
    assert offer is not None
    assert (offer.quantity, offer.inventory_policy) == (4, InventoryPolicy.CONTINUE)
    content = applied(found[2]).content
    assert content is not None
    assert content.status is Status.DRAFT
    assert [len(str(one.item_id)) <= 100 and str(one.item_id)[-2:] for one in found[1:]] == ["-2", "-3"]
