"""Items as the platforms' attributes: exact values, and what stands against sending them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.platforms.items import MUG, mug
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.money import Money
from vitrin.platforms.base import OperationKind, Rendered
from vitrin.platforms.meta.read import FIELDS as META_READ_FIELDS
from vitrin.platforms.meta.render import render as render_meta
from vitrin.platforms.meta.render import render_offer as offer_for_meta
from vitrin.platforms.pinterest.channel import PinterestCatalog
from vitrin.platforms.pinterest.channel import open_channel as open_pinterest
from vitrin.platforms.pinterest.render import render as render_pinterest
from vitrin.platforms.pinterest.render import render_offer as offer_for_pinterest
from vitrin.platforms.pinterest.rules import LANGUAGES, LOCALES, locale_of
from vitrin.platforms.rendering import stable_item_id

RENDERERS = {"meta": render_meta, "pinterest": render_pinterest}
SPECS = Path(__file__).resolve().parents[2].parent / "shared" / "specs"


def codes(rendered: Rendered) -> list[str]:
    return [problem.code for problem in rendered.problems]


def warned(rendered: Rendered) -> list[str]:
    return [problem.code for problem in rendered.warnings]


def test_meta_gets_every_attribute_and_clears_those_the_item_lacks() -> None:
    assert render_meta(MUG, currency="USD") == Rendered(
        {
            "title": "Blue mug",
            "description": "A mug of blue stoneware.",
            "link": "https://shop.example/products/mug",
            "image_link": "https://cdn.example/mug.jpg",
            "additional_image_link": ["https://cdn.example/mug-2.jpg"],
            "condition": "new",
            "gender": "unisex",
            "age_group": "adult",
            "gtin": "4006381333931",
            "google_product_category": "Home & Garden > Kitchen & Dining",
            "item_group_id": "mug",
            "visibility": "published",
            "brand": "Vitrin Pottery",
            "mpn": "",
            "color": "blue",
            "size": "",
            "material": "",
            "pattern": "",
            "product_type": "Mugs > Stoneware",
            "custom_label_0": "gift",
            "custom_label_1": "",
            "custom_label_2": "",
            "custom_label_3": "",
            "custom_label_4": "",
            "price": "12.34 USD",
            "sale_price": "",
            "sale_price_effective_date": "",
            "availability": "in stock",
            "quantity_to_sell_on_facebook": 7,
        }
    )


def test_pinterest_gets_every_attribute_and_clears_those_the_item_lacks() -> None:
    assert render_pinterest(MUG, currency="USD") == Rendered(
        {
            "title": "Blue mug",
            "description": "A mug of blue stoneware.",
            "link": "https://shop.example/products/mug",
            "image_link": ["https://cdn.example/mug.jpg"],
            "price": "12.34 USD",
            "availability": "in stock",
            "condition": "new",
            "additional_image_link": ["https://cdn.example/mug-2.jpg"],
            "video_link": None,
            "item_group_id": "mug",
            "gender": "unisex",
            "age_group": "adult",
            "gtin": "4006381333931",
            "google_product_category": "Home & Garden > Kitchen & Dining",
            "sale_price": None,
            "sale_price_effective_date": None,
            "brand": "Vitrin Pottery",
            "mpn": None,
            "color": "blue",
            "size": None,
            "material": None,
            "pattern": None,
            "product_type": "Mugs > Stoneware",
            "custom_label_0": "gift",
            "custom_label_1": None,
            "custom_label_2": None,
            "custom_label_3": None,
            "custom_label_4": None,
        }
    )


@pytest.mark.parametrize("platform", sorted(RENDERERS))
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "  "}, ["missing_title"]),
        ({"description": ""}, ["missing_description"]),
        ({"link": ""}, ["missing_link"]),
        ({"link": "shop.example/mug"}, ["link_invalid"]),
        ({"image_link": ""}, ["missing_image_link"]),
        ({"image_link": "https://cdn.example/a mug.jpg"}, ["image_link_invalid"]),
        ({"price": None}, ["missing_price"]),
        ({"price": Money(1234, "EUR")}, ["currency_mismatch"]),
        ({"sale_price": Money(999, "EUR")}, ["currency_mismatch"]),
        ({"availability": "soon"}, ["availability_unknown"]),
        ({"condition": "broken"}, ["condition_unknown"]),
        (
            {"title": "", "description": "", "image_link": ""},
            ["missing_title", "missing_description", "missing_image_link"],
        ),
    ],
)
def test_what_keeps_an_item_out_has_the_same_code_on_every_platform(
    platform: str, changes: dict[str, object], expected: list[str]
) -> None:
    rendered = RENDERERS[platform](mug(**changes), currency="USD")
    assert codes(rendered) == expected
    assert all(problem.message and problem.fix and problem.field for problem in rendered.problems)


@pytest.mark.parametrize(
    ("platform", "field", "limit"),
    [
        ("meta", "title", 200),
        ("meta", "description", 9_999),
        ("pinterest", "title", 500),
        ("pinterest", "description", 10_000),
    ],
)
def test_a_text_that_is_too_long_is_a_problem_and_never_cut(platform: str, field: str, limit: int) -> None:
    fits = RENDERERS[platform](mug(**{field: "x" * limit}), currency="USD")
    assert codes(fits) == []
    assert fits.attributes[field] == "x" * limit
    too_long = RENDERERS[platform](mug(**{field: "x" * (limit + 1)}), currency="USD")
    assert codes(too_long) == [f"{field}_too_long"]
    assert too_long.problems[0].message == (
        f"The {field} has {limit + 1} characters; {platform.title()} takes at most {limit}."
    )


def test_only_pinterest_limits_links() -> None:
    link = "https://shop.example/" + "x" * 491
    assert len(link) == 512
    assert codes(render_pinterest(mug(link=link), currency="USD")) == ["link_too_long"]
    assert codes(render_meta(mug(link=link), currency="USD")) == []
    assert codes(render_pinterest(mug(link=link[:-1]), currency="USD")) == []


def test_only_meta_needs_a_brand_or_an_identifier() -> None:
    bare = mug(brand="", gtin="", mpn="")
    assert codes(render_meta(bare, currency="USD")) == ["missing_brand_or_identifier"]
    assert codes(render_pinterest(bare, currency="USD")) == []
    for name, value in (("brand", "B"), ("gtin", "40063813"), ("mpn", "M1")):
        assert (
            codes(render_meta(mug(**{"brand": "", "gtin": "", "mpn": "", name: value}), currency="USD")) == []
        )


def test_a_brand_too_long_for_meta_is_left_out_and_then_missing() -> None:
    rendered = render_meta(mug(brand="b" * 101, gtin="", mpn=""), currency="USD")
    assert (codes(rendered), warned(rendered)) == (["missing_brand_or_identifier"], ["brand_too_long"])
    assert rendered.attributes["brand"] == ""


@pytest.mark.parametrize(("platform", "limit"), [("meta", 20), ("pinterest", 10)])
def test_surplus_pictures_are_left_out_with_a_warning(platform: str, limit: int) -> None:
    links = tuple(f"https://cdn.example/{number}.jpg" for number in range(limit + 3))
    rendered = RENDERERS[platform](mug(additional_image_links=links), currency="USD")
    assert rendered.attributes["additional_image_link"] == list(links[:limit])
    assert (codes(rendered), warned(rendered)) == ([], ["too_many_images"])
    assert "3 are left out" in rendered.warnings[0].message


def test_meta_takes_2000_characters_of_further_pictures() -> None:
    links = tuple(f"https://cdn.example/{'x' * 480}{number}" for number in range(5))
    assert [len(link) for link in links] == [501] * 5
    rendered = render_meta(mug(additional_image_links=links), currency="USD")
    assert rendered.attributes["additional_image_link"] == list(links[:3])
    assert warned(rendered) == ["too_many_images"]


def test_unusable_extras_are_left_out_with_a_warning() -> None:
    item = mug(gtin="123", gender="robot", age_group="teen", additional_image_links=("ftp://cdn.example/x",))
    meta, pinterest = render_meta(item, currency="USD"), render_pinterest(item, currency="USD")
    assert warned(meta) == ["image_link_invalid", "gender_unknown", "gtin_invalid"]
    assert meta.attributes["age_group"] == "teen"
    assert sorted(warned(pinterest)) == [
        "age_group_unknown",
        "gender_unknown",
        "gtin_invalid",
        "image_link_invalid",
    ]
    assert pinterest.attributes["age_group"] is None
    assert codes(meta) == codes(pinterest) == []


def test_words_of_the_events_become_words_of_the_platform() -> None:
    shown = {
        word: (
            render_meta(mug(availability=word), currency="USD").attributes["availability"],
            render_pinterest(mug(availability=word), currency="USD").attributes["availability"],
        )
        for word in ("in_stock", "out_of_stock", "preorder", "available_for_order", "discontinued")
    }
    assert shown == {
        "in_stock": ("in stock", "in stock"),
        "out_of_stock": ("out of stock", "out of stock"),
        "preorder": ("preorder", "preorder"),
        "available_for_order": ("available for order", "in stock"),
        "discontinued": ("discontinued", "out of stock"),
    }
    assert render_meta(mug(age_group="all_ages"), currency="USD").attributes["age_group"] == "all ages"
    assert render_meta(mug(condition=""), currency="USD").attributes["condition"] == "new"


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(5, "USD"), "0.05 USD"),
        (Money(1200, "JPY"), "1200 JPY"),
        (Money(1250, "OMR"), "1.25 OMR"),
        (Money(1, "USD"), "0.01 USD"),
    ],
)
def test_prices_have_the_decimals_of_their_currency_and_at_most_two(money: Money, text: str) -> None:
    for render in RENDERERS.values():
        rendered = render(mug(price=money), currency=money.currency)
        assert (rendered.attributes["price"], codes(rendered)) == (text, [])


def test_nothing_is_offered_for_nothing() -> None:
    for render in RENDERERS.values():
        assert codes(render(mug(price=Money(0, "USD")), currency="USD")) == ["price_zero"]


def test_a_third_decimal_that_is_not_zero_is_a_problem() -> None:
    for render in RENDERERS.values():
        rendered = render(mug(price=Money(1255, "OMR")), currency="OMR")
        assert codes(rendered) == ["price_decimals"]
        sale = render(mug(price=Money(2000, "OMR"), sale_price=Money(1999, "OMR")), currency="OMR")
        assert [(problem.code, problem.field) for problem in sale.problems] == [
            ("price_decimals", "sale_price")
        ]


def test_a_sale_price_is_sent_only_below_the_price() -> None:
    for sale, text, warnings in ((999, "9.99 USD", []), (1234, "", ["sale_price_not_below_price"])):
        rendered = render_meta(mug(sale_price=Money(sale, "USD")), currency="USD")
        assert (rendered.attributes["sale_price"], warned(rendered), codes(rendered)) == (text, warnings, [])


def test_sale_windows() -> None:
    start = datetime(2026, 11, 24, tzinfo=timezone(timedelta(hours=-5)))
    end = datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC)
    on_sale = mug(sale_price=Money(999, "USD"), sale_start=start, sale_end=end)
    assert (
        render_meta(on_sale, currency="USD").attributes["sale_price_effective_date"]
        == "2026-11-24T05:00+00:00/2026-12-01T00:00+00:00"
    )
    assert (
        render_pinterest(on_sale, currency="USD").attributes["sale_price_effective_date"]
        == "2026-11-24T05:00:00+00:00/2026-11-30T23:59:30+00:00"
    )
    open_end = mug(sale_price=Money(999, "USD"), sale_start=start)
    assert (
        render_meta(open_end, currency="USD").attributes["sale_price_effective_date"]
        == "2026-11-24T05:00+00:00/2099-12-31T00:00+00:00"
    )
    backwards = render_meta(mug(sale_price=Money(999, "USD"), sale_start=end, sale_end=start), currency="USD")
    assert backwards.attributes["sale_price"] == ""
    assert warned(backwards) == ["sale_window_invalid"]


def test_offers_carry_only_what_an_offer_is() -> None:
    assert offer_for_meta(MUG, currency="USD") == {
        "price": "12.34 USD",
        "sale_price": "",
        "sale_price_effective_date": "",
        "availability": "in stock",
        "quantity_to_sell_on_facebook": 7,
    }
    assert offer_for_pinterest(MUG, currency="USD") == {
        "availability": "in stock",
        "price": "12.34 USD",
        "sale_price": None,
    }


def test_a_sale_on_pinterest_goes_as_a_whole_item_since_its_window_cannot_be_masked() -> None:
    on_sale = mug(sale_price=Money(999, "USD"))
    assert (
        offer_for_pinterest(on_sale, currency="USD") == render_pinterest(on_sale, currency="USD").attributes
    )


def test_item_ids_fit_and_never_meet() -> None:
    assert stable_item_id("AB 12/ä", length_max=100) == "AB 12/ä"
    exact, long_one, long_two = "x" * 100, "x" * 100 + "1", "x" * 100 + "2"
    assert stable_item_id(exact, length_max=100) == exact
    cut = stable_item_id(long_one, length_max=100)
    assert cut == "x" * 83 + "~" + cut[-16:]
    assert len(cut) == 100
    assert len({cut, stable_item_id(long_two, length_max=100), exact}) == 3
    assert stable_item_id(long_one, length_max=100) == cut
    assert stable_item_id(" a", length_max=100) != stable_item_id("a", length_max=100)
    assert stable_item_id("a\tb", length_max=100).startswith("a-b~")
    with pytest.raises(ValueError, match="never empty"):
        stable_item_id("", length_max=100)


@pytest.mark.parametrize(
    ("language", "market", "locale"),
    [
        ("en", "US", "en-US"),
        ("de", "AT", "de"),
        ("en", "DE", "EN"),
        ("pt-BR", "BR", "pt-BR"),
        ("xy", "US", None),
    ],
)
def test_pinterest_locales(language: str, market: str, locale: str | None) -> None:
    assert locale_of(language, market) == locale


def _rules(platform: str) -> Any:
    path = SPECS / "product_feed_rules.json"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against the published item rules: {path} is missing")
    return json.loads(path.read_text())["rules"][platform]


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_limits_and_enums_are_those_of_the_published_rules(platform: str) -> None:
    fields = _rules(platform)["fields"]
    rules = {"meta": render_meta, "pinterest": render_pinterest}[platform].__globals__["ITEM_RULES"]
    assert rules.id_max == fields["id"]["max"] == fields["item_group_id"]["max"]
    assert rules.title_max == fields["title"]["max"]
    assert rules.description_max == fields["description"]["max"]
    assert rules.link_max == fields["link"].get("max")
    assert rules.image_link_max == fields["image_link"].get("max")
    assert rules.additional_images_max == fields["additional_image_link"]["list_max"]
    assert rules.additional_images_chars_max == fields["additional_image_link"].get("total_chars")
    assert set(rules.availability.values()) == set(fields["availability"]["enum"])
    assert set(rules.conditions.values()) == set(fields["condition"]["enum"])
    assert set(rules.genders.values()) == set(fields["gender"]["enum"])
    assert set(rules.age_groups.values()) == set(fields["age_group"]["enum"])
    for name, limit in rules.text_max.items():
        published = fields.get("custom_label_0..4" if name.startswith("custom_label") else name, {})
        assert published.get("max", limit) == limit


def _pinterest_document() -> Any:
    path = SPECS / "pinterest" / "openapi-5.23.0.json"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against Pinterest's OpenAPI description: {path} is missing")
    return json.loads(path.read_text())


def _validator(document: Any, name: str) -> jsonschema.Draft4Validator:
    reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft4Validator(_json_schema(reference))


def test_pinterest_items_are_valid_by_its_openapi_description() -> None:
    document = _pinterest_document()
    validator = _validator(document, "ItemAttributesRequest")
    names = set(_property_names(document["components"]["schemas"], "ItemAttributesRequest"))
    for item in (MUG, mug(sale_price=Money(999, "USD"), video_link="https://cdn.example/mug.mp4")):
        attributes = dict(render_pinterest(item, currency="USD").attributes)
        assert list(validator.iter_errors(attributes)) == []
        assert set(attributes) <= names
    assert list(validator.iter_errors({"image_link": []})) != []


async def test_pinterest_batches_are_valid_by_its_openapi_description() -> None:
    document = _pinterest_document()
    validator = _validator(document, "CatalogsRetailBatchRequest")
    async with PlatformHttp() as http:
        channel = open_pinterest(
            http=http,
            access_token="t",
            external_ids={"ad_account_id": "549755885175", "catalog_id": "2680059592705"},
            market="US",
            language="en",
            currency="USD",
        )
        assert isinstance(channel, PinterestCatalog)
        on_sale = mug(item_id="mug-2", sale_price=Money(999, "USD"))
        batch = [
            channel.operation(
                kind=OperationKind.UPSERT, platform_item_id="a", attributes=channel.render(MUG).attributes
            ),
            channel.operation(
                kind=OperationKind.OFFER, platform_item_id="b", attributes=channel.render_offer(MUG)
            ),
            channel.operation(
                kind=OperationKind.OFFER, platform_item_id="c", attributes=channel.render_offer(on_sale)
            ),
            channel.operation(kind=OperationKind.DELETE, platform_item_id="d"),
        ]
        body = json.loads(json.dumps(channel.batch_body(batch)))
    assert list(validator.iter_errors(body)) == []
    assert [item["operation"] for item in body["items"]] == ["UPSERT", "UPDATE", "UPSERT", "DELETE"]
    mask = document["components"]["schemas"]["UpdateMaskFieldType"]["enum"]
    assert body["items"][1]["update_mask"] == ["availability", "price", "sale_price"]
    assert set(body["items"][1]["update_mask"]) <= set(mask)
    assert list(validator.iter_errors({**body, "country": "XX"})) != []
    batch_limit = document["components"]["schemas"]["CatalogsRetailBatchRequest"]["properties"]["items"][
        "maxItems"
    ]
    assert channel.capabilities.batch_items_max == batch_limit


def test_pinterest_words_are_those_of_its_openapi_description() -> None:
    schemas = _pinterest_document()["components"]["schemas"]
    assert set(schemas["CatalogsLocale"]["enum"]) == LOCALES
    assert set(schemas["Language"]["enum"]) == LANGUAGES


async def test_meta_reads_only_fields_that_the_sdk_knows() -> None:
    path = SPECS / "meta" / "sdk_v26_core.derived.json"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against Meta's SDK: {path} is missing")
    nodes = json.loads(path.read_text())["nodes"]
    assert set(META_READ_FIELDS.split(",")) <= set(nodes["ProductItem"]["fields"])
    edges = {
        f"{endpoint['method']} {endpoint['edge']}": endpoint["params"]
        for endpoint in nodes["ProductCatalog"]["endpoints"]
    }
    assert {"item_type", "allow_upsert", "requests"} <= set(edges["POST /items_batch"])
    assert {"handle", "load_ids_of_invalid_requests"} <= set(edges["GET /check_batch_request_status"])
    assert "filter" in edges["GET /products"]


def _property_names(schemas: Any, name: str) -> list[str]:
    parts = schemas[name].get("allOf", [schemas[name]])
    found: list[str] = []
    for part in parts:
        reference = part.get("$ref")
        found += (
            _property_names(schemas, reference.rsplit("/", 1)[1]) if reference else list(part["properties"])
        )
    return found


def _json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema."""
    if isinstance(node, list):
        return [_json_schema(part) for part in node]
    if not isinstance(node, dict):
        return node
    converted = {name: _json_schema(part) for name, part in node.items() if name != "nullable"}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        converted["type"] = [node["type"], "null"]
        if isinstance(node.get("enum"), list):
            converted["enum"] = [*node["enum"], None]
    if node.get("nullable") is True and "oneOf" in node:
        converted["anyOf"] = [*converted.pop("oneOf"), {"type": "null"}]
    return converted
