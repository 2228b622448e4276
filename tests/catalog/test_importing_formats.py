"""From files to records: the format by its header, the meaning of rows, the demo and a real export."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vitrin.catalog.domain import (
    Condition,
    ExternalRefs,
    InventoryPolicy,
    ItemContent,
    Offer,
    Patched,
    Status,
    apply_patch,
)
from vitrin.catalog.importing import (
    FileRefused,
    ImportDefaults,
    ImportFile,
    ImportFormat,
    ImportRecord,
    SeenInProcess,
    choose_format,
)
from vitrin.catalog.importing import shopify as shopify_format
from vitrin.kit.money import Money

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "services/vitrin/cli/demo"
PACKT = ROOT.parent / "shared/data/catalogs/shopify/packt_products.csv"
DEFAULTS = ImportDefaults(currency="EUR", storefront_url="https://shop.example/")


def records(data: bytes, *, chunk: int = 50, claimed: str | None = None) -> list[ImportRecord]:
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    file = ImportFile(
        chunks, defaults=DEFAULTS, claimed_format=claimed, announced_bytes=len(data), seen=SeenInProcess()
    )
    return list(file)


def applied(record: ImportRecord, currency: str = "EUR") -> Patched:
    return apply_patch(None, None, record.values, market_currency=currency, default_currency=currency)


def outcomes(found: list[ImportRecord]) -> list[tuple[int, str | None, list[str]]]:
    """Row, item id, codes: of the importer, else of the catalog's rules."""
    result = []
    for record in found:
        problems = record.problems
        if not problems and record.kind == "item":
            problems = applied(record).problems
        result.append((record.row_first, record.item_id, [problem.code for problem in problems]))
    return result


SHOPIFY_HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,"
    "Variant Compare At Price,Variant Barcode,Image Src,Image Position,Gift Card,Variant Image,Cost per item,"
    "Status,Google Shopping / Age Group,Care"
)
NAMES = SHOPIFY_HEADER.split(",")


def shopify(*rows: dict[str, str]) -> list[ImportRecord]:
    lines = [SHOPIFY_HEADER]
    for row in rows:
        assert set(row) <= set(NAMES)
        lines.append(",".join('"' + row.get(name, "").replace('"', '""') + '"' for name in NAMES))
    return records(("\n".join(lines) + "\n").encode())


def row(handle: str, title: str = "", **cells: str) -> dict[str, str]:
    short = {
        "o1": "Option1 Name", "v1": "Option1 Value", "o2": "Option2 Name", "v2": "Option2 Value",
        "price": "Variant Price", "was": "Variant Compare At Price", "qty": "Variant Inventory Qty",
        "tracker": "Variant Inventory Tracker", "policy": "Variant Inventory Policy", "sku": "Variant SKU",
        "barcode": "Variant Barcode", "img": "Image Src", "pos": "Image Position", "body": "Body (HTML)",
        "own": "Variant Image", "cost": "Cost per item", "age": "Google Shopping / Age Group",
    }  # fmt: skip
    named = {short.get(name, name.replace("_", " ")): cell for name, cell in cells.items()}
    return {"Handle": handle, "Title": title, **named}


def test_variants_pictures_and_options() -> None:
    found = shopify(
        row(
            "gloves", "Gloves", body="<p>Thorns <b>stay</b> out.</p><ul><li>Bamboo</li></ul>", Vendor="Nordhang",
            Type="Garden", Tags="a, b", Published="true", o1="Color", v1="Green", o2="Fit", v2="Slim",
            sku="'007", tracker="shopify", qty="0", policy="deny", price="9.99", was="12.50",
            barcode="'4006381333931", img="https://cdn.example/2.jpg", pos="2", cost="3", Status="active",
            age="Adult (13+ years)", Care="30 °C",
        ),
        row("gloves", v1="Yellow", v2="Wide", qty="5", policy="continue", price="9.99", was="9.99", barcode="AB-1",
            own="https://cdn.example/3.jpg"),
        row("gloves", img="https://cdn.example/1.jpg", pos="1"),
        row("gloves", img="https://cdn.example/3.jpg", pos="3"),
        row("cup", "Cup", o1="Title", v1="Default Title", price="1"),
    )  # fmt: skip
    assert [(record.row_first, record.kind, record.item_id) for record in found] == [
        (2, "item", "gloves-green-slim"),
        (3, "item", "gloves-yellow-wide"),
        (4, "image", None),
        (5, "image", None),
        (6, "item", "cup"),
    ]
    assert [record.problems for record in found] == [()] * 5
    green, yellow, cup = applied(found[0]), applied(found[1]), applied(found[4])
    shared: dict[str, Any] = {
        "item_group_id": "gloves",
        "description": "Thorns stay out.\n\n- Bamboo",
        "link": "https://shop.example/products/gloves",
        "brand": "Nordhang",
        "product_type": "Garden",
        "age_group": "adult",
    }
    assert green.problems == ()
    assert green.content == ItemContent(
        id="gloves-green-slim",
        title="Gloves - Green / Slim",
        color="Green",
        sku="007",
        gtin="4006381333931",
        image_link="https://cdn.example/1.jpg",
        additional_image_links=("https://cdn.example/2.jpg", "https://cdn.example/3.jpg"),
        attributes={"Fit": "Slim", "tags": "a, b", "Care": "30 °C"},
        **shared,
    )
    assert green.offer == Offer(
        price=Money(1250, "EUR"),
        sale_price=Money(999, "EUR"),
        cost_of_goods_sold=Money(300, "EUR"),
        quantity=0,
    )
    assert found[0].refs == ExternalRefs(
        source="shopify",
        handle="gloves",
        options=(("Color", "Green"), ("Fit", "Slim")),
        sku="007",
        gtin="4006381333931",
    )
    assert yellow.content == ItemContent(
        id="gloves-yellow-wide",
        title="Gloves - Yellow / Wide",
        color="Yellow",
        image_link="https://cdn.example/3.jpg",
        additional_image_links=("https://cdn.example/1.jpg", "https://cdn.example/2.jpg"),
        attributes={"Fit": "Wide", "tags": "a, b", "Care": "30 °C", "barcode": "AB-1"},
        **shared,
    )
    assert yellow.offer == Offer(price=Money(999, "EUR"), inventory_policy=InventoryPolicy.CONTINUE)
    assert cup.content == ItemContent(id="cup", title="Cup", link="https://shop.example/products/cup")


@pytest.mark.parametrize(
    ("published", "status", "stored"),
    [
        ("true", "active", Status.ACTIVE),
        ("false", "active", Status.DRAFT),
        ("FALSE", "", Status.DRAFT),
        ("", "", Status.ACTIVE),
        ("true", "Draft", Status.DRAFT),
        ("false", "archived", Status.ARCHIVED),
        ("true", "unlisted", Status.DRAFT),
    ],
)
def test_what_is_not_published_in_the_shop_is_not_active(published: str, status: str, stored: Status) -> None:
    (record,) = shopify(row("cup", "Cup", price="1", Published=published, Status=status))
    content = applied(record).content
    assert content is not None
    assert content.status is stored


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"price": "12,50"}, "price_comma"),
        ({"price": ""}, "price_missing"),
        ({"price": "1E+3"}, "price_not_decimal"),
        ({"price": "-1"}, "price_negative"),
        ({"price": "10", "was": "12,50"}, "price_comma"),
        ({"price": "1", "qty": "-3", "tracker": "shopify"}, "quantity_negative"),
        ({"price": "1", "qty": "-3"}, "quantity_negative"),
        ({"price": "1", "qty": "some"}, "quantity_not_integer"),
        ({"price": "1", "barcode": "4006381333932"}, "gtin_check_digit"),
        ({"price": "1", "policy": "maybe"}, "value_not_allowed"),
        ({"price": "1", "img": "cdn.example/1.jpg"}, "url_scheme"),
        ({"price": "1", "Status": "gone"}, "value_not_allowed"),
    ],
)
def test_a_bad_cell_refuses_its_row_only(cells: dict[str, str], code: str) -> None:
    found = shopify(row("cup", "Cup", **cells), row("mug", "Mug", price="1"))
    assert outcomes(found) == [(2, "cup", [code]), (3, "mug", [])]


def test_untracked_stock_is_not_a_quantity() -> None:
    found = shopify(row("a", "A", price="1", qty="0"), row("b", "B", price="1", qty="0", tracker="shopify"))
    assert [applied(record).offer for record in found] == [
        Offer(price=Money(100, "EUR")),
        Offer(price=Money(100, "EUR"), quantity=0),
    ]


def test_rows_that_belong_to_nothing_are_refused() -> None:
    found = shopify(
        row("", price="1"),
        row("lost", img="https://cdn.example/1.jpg"),
        row("lost", v1="Red", price="1"),
        row("cup", "Cup", price="1"),
        row("cup"),
        row("cup", img="//cdn.example/1.jpg"),
        row("x" * 10_000, "Long handle", price="1"),
        row("long", "T" * 10_000, price="1"),
    )
    got = outcomes(found)
    assert [(number, codes) for number, _id, codes in got] == [
        (2, ["handle_missing"]),
        (3, ["title_missing"]),
        (4, ["title_missing"]),
        (5, []),
        (6, ["row_without_content"]),
        (7, ["url_scheme"]),
        (8, ["url_too_long"]),
        (9, ["title_too_long"]),
    ]


def test_the_same_variant_twice_names_the_first_row() -> None:
    found = shopify(
        row("cup", "Cup", o1="Color", v1="Red", price="1"),
        row("cup", v1="red", price="2"),
        row("cup", v1="Red", price="3"),
        row("cup-red", "Other", price="4"),
    )
    assert [record.item_id for record in found] == ["cup-red", "cup-red-59098f6cd3", "cup-red", "cup-red"]
    assert found[1].problems == ()
    for record in (found[2], found[3]):
        assert [(problem.code, problem.message) for problem in record.problems] == [
            ("duplicate_id", "row 2 already has the id cup-red")
        ]


def test_long_handles_give_ids_of_100_characters_that_stay_apart() -> None:
    found = shopify(
        row("h" * 120, "Long", o1="Color", v1="Red", price="1"),
        row("h" * 120, v1="Blue", price="1"),
    )
    ids = [record.item_id for record in found]
    assert [len(item_id or "") for item_id in ids] == [100, 100]
    assert len(set(ids)) == 2
    contents = [applied(record).content for record in found]
    assert len({content.item_group_id for content in contents if content}) == 1


def test_text_stays_text() -> None:
    (record,) = shopify(row("cup", '=HYPERLINK("x")', price="1", sku="=1+1", Care="@SUM(A1)"))
    content = applied(record).content
    assert content is not None
    assert (content.title, content.sku, content.attributes["Care"]) == ('=HYPERLINK("x")', "=1+1", "@SUM(A1)")


def test_a_gift_card_is_marked() -> None:
    (record,) = shopify(row("card", "Card", price="10", Gift_Card="true"))
    content = applied(record).content
    assert content is not None
    assert content.attributes == {"gift_card": "true"}


def test_a_product_of_very_many_rows_is_bounded() -> None:
    limit = shopify_format.PRODUCT_ROWS_MAX
    rows = [row("p", "P", price="1", img="https://cdn.example/0.jpg")]
    rows += [row("p", img=f"https://cdn.example/{n}.jpg") for n in range(1, limit + 10)]
    counts = Counter(codes[0] if codes else "fine" for _row, _id, codes in outcomes(shopify(*rows)))
    assert counts == {"fine": 250, "too_many_images": limit - 250, "product_too_large": 10}


def test_new_column_names_mean_the_same() -> None:
    found = records(
        b"Title,URL handle,Description,Vendor,Published on online store,Status,SKU,Barcode,Option1 name,Option1 value,"
        b"Price,Compare-at price,Inventory tracker,Inventory quantity,Continue selling when out of stock,"
        b"Product image URL,Variant image URL\n"
        b"Cup,cup,<p>x</p>,Lume,TRUE,Active,C-1,4006381333931,Size,S,8.00,10.00,shopify,3,CONTINUE,"
        b"https://cdn.example/1.jpg,\n"
    )
    made = applied(found[0])
    assert made.problems == ()
    assert made.content == ItemContent(
        id="cup-s", title="Cup - S", item_group_id="cup", description="x", brand="Lume", sku="C-1", size="S",
        gtin="4006381333931", link="https://shop.example/products/cup", image_link="https://cdn.example/1.jpg",
    )  # fmt: skip
    assert made.offer == Offer(
        price=Money(1000, "EUR"),
        sale_price=Money(800, "EUR"),
        quantity=3,
        inventory_policy=InventoryPolicy.CONTINUE,
    )


def test_generations_of_columns_mix_in_any_order() -> None:
    found = records(
        b"Variant Price,Google Shopping / Manufacturer part number (MPN),Tax code,Inventory quantity,URL handle,"
        b"Variant SKU,Title,Inventory tracker\n"
        b"8.00,M-7,T1,3,cup,C-1,Cup,shopify\n"
    )
    made = applied(found[0])
    assert made.problems == ()
    assert made.content is not None
    assert made.offer is not None
    assert (made.content.sku, made.content.mpn, made.content.attributes) == ("C-1", "M-7", {})
    assert (made.offer.price, made.offer.quantity) == (Money(800, "EUR"), 3)


FEED = (
    "id,title,description,link,image_link,additional_image_link,price,sale_price,availability,quantity,gtin,"
    "g:condition,Custom Label 0,margin class\n"
)


def test_the_common_feed() -> None:
    found = records(
        (
            FEED
            + 'm-1, Mug ,"<p>a</p><p>b</p>",https://shop.example/m,https://c.example/1.jpg,'
            + '"https://c.example/2,x.jpg,https://c.example/3.jpg",12.34 EUR,10,in stock,3,\'4006381333931,new,top,A\n'
            + "m-2,Cup,R&amp;D,,,,5,,,,,,,\n"
        ).encode()
    )
    first, second = applied(found[0]), applied(found[1])
    assert first.problems == second.problems == ()
    assert first.content == ItemContent(
        id="m-1", title="Mug", description="a\n\nb", link="https://shop.example/m",
        image_link="https://c.example/1.jpg",
        additional_image_links=("https://c.example/2,x.jpg", "https://c.example/3.jpg"),
        gtin="4006381333931", condition=Condition.NEW, custom_label_0="top",
        attributes={"margin class": "A"},
    )  # fmt: skip
    assert first.offer is not None
    assert (first.offer.price, first.offer.sale_price) == (Money(1234, "EUR"), Money(1000, "EUR"))
    assert second.content == ItemContent(id="m-2", title="Cup", description="R&amp;D")
    assert found[0].refs == ExternalRefs(source="feed", gtin="4006381333931")


def test_a_blank_cell_clears_and_a_missing_column_does_not() -> None:
    before = apply_patch(
        None,
        None,
        {"id": "m-1", "title": "Mug", "price": "9 EUR", "brand": "Lume", "mpn": "7", "status": "draft"},
        market_currency="EUR",
    )
    (record,) = records(b"id,title,price,brand,status\nm-1,Mug,9,,\n")
    after = apply_patch(
        before.content, before.offer, record.values, market_currency="EUR", default_currency="EUR"
    )
    assert after.content == ItemContent(id="m-1", title="Mug", mpn="7", status=Status.DRAFT)
    assert after.offer == before.offer


def test_rows_of_the_common_feed_are_refused_one_by_one() -> None:
    rows = [
        "a,A,1 EUR,1",
        'b,B,"1,50 EUR",1',
        "c,C,1 USD,1",
        "d,D,1 EUR,-1",
        ",E,1 EUR,1",
        "a,F,1 EUR,1",
        "g,G,1,50 EUR,1",
        f"h,{'x' * 10_000},1 EUR,1",
        "i,I,,1",
        f"{'i' * 101},I,1,1",
        "z,Z,1 EUR,1",
    ]
    found = records(("id,title,price,quantity\n" + "\n".join(rows) + "\n").encode())
    assert outcomes(found) == [
        (2, "a", []),
        (3, "b", ["price_comma"]),
        (4, "c", ["currency_mismatch"]),
        (5, "d", ["quantity_negative"]),
        (6, None, ["id_missing"]),
        (7, "a", ["duplicate_id"]),
        (8, None, ["row_shape"]),
        (9, "h", ["title_too_long"]),
        (10, "i", ["price_missing"]),
        (11, "i" * 101, ["id_too_long"]),
        (12, "z", []),
    ]


@pytest.mark.parametrize(
    ("header", "claimed", "code", "words"),
    [
        ("id,type,sku,name,description", None, "format_unknown", "title"),
        ("sku,name,price", None, "format_unknown", "Handle"),
        (
            "id,title,price",
            "shopify",
            "format_mismatch",
            "Handle, Variant Price; it looks like a common item feed",
        ),
        (
            "Handle,Title,Variant Price",
            "common",
            "format_mismatch",
            "id, link, price; it looks like a Shopify product export",
        ),
        ("id,title,price", "excel", "format_unknown", "'excel'"),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_refused(
    header: str, claimed: str | None, code: str, words: str
) -> None:
    with pytest.raises(FileRefused) as refused:
        choose_format(tuple(header.split(",")), claimed)
    assert refused.value.code == code
    assert words in refused.value.message


def test_formats_are_known_by_their_header() -> None:
    assert choose_format(("Handle", "Title", "Variant Price")) is ImportFormat.SHOPIFY
    assert choose_format(("id", "title", "price"), "common") is ImportFormat.COMMON


def test_every_row_of_the_demo_has_the_outcome_that_is_written_down() -> None:
    expected = json.loads((DEMO / "expected.json").read_text("utf-8"))
    data = (DEMO / "catalog.csv").read_bytes()
    file = ImportFile(
        [data],
        defaults=ImportDefaults(expected["currency"], expected["storefront_url"]),
        announced_bytes=len(data),
        seen=SeenInProcess(),
    )
    found = list(file)
    got = []
    for record, (number, item_id, codes) in zip(found, outcomes(found), strict=True):
        assert len(codes) <= 1
        if codes:
            got.append({"row": number, "item_id": item_id, "outcome": "refused", "code": codes[0]})
        elif record.kind == "image":
            got.append({"row": number, "item_id": None, "outcome": "image"})
        else:
            content = applied(record).content
            assert content is not None
            active = content.status is Status.ACTIVE
            got.append({"row": number, "item_id": item_id, "outcome": "accepted" if active else "excluded"})
    wanted = [
        {name: entry[name] for name in ("row", "item_id", "outcome", "code") if name in entry}
        for entry in expected["rows"]
    ]
    assert got == wanted
    tally = Counter(entry["outcome"] for entry in wanted)
    assert expected["counts"]["items_in_catalog"] == tally["accepted"] + tally["excluded"] == 189
    assert (expected["counts"]["refused"], expected["counts"]["rows"]) == (tally["refused"], 214)


def test_a_real_shopify_export() -> None:
    if not PACKT.exists():
        pytest.skip(f"NOT TESTED on a real export: {PACKT} is missing")
    found = records(PACKT.read_bytes(), claimed="shopify")
    contents = [applied(record).content for record in found]
    assert [codes for _row, _id, codes in outcomes(found)] == [[]] * 21
    assert len({record.refs.handle for record in found}) == 20
    assert len({record.item_id for record in found}) == 21
    assert [record.item_id for record in found[-2:]] == ["gardening-gloves-green", "gardening-gloves-yellow"]
    assert all(
        content and content.image_link and content.description and content.brand for content in contents
    )
    assert "<" not in "".join(content.description for content in contents if content)
    for cut in range(3_000, len(PACKT.read_bytes()), 1_009):
        with pytest.raises(FileRefused) as refused:
            list(ImportFile([PACKT.read_bytes()[:cut]], defaults=DEFAULTS))
        assert refused.value.code == "file_truncated"
