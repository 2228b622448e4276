"""Webhooks of the shops, in the shapes that their documentation shows: heads, signatures, news."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.platforms import shop_payloads as data
from tests.platforms.shop_payloads import SECRET, changed, raw, shopify_headers, woo_headers
from vitrin.kit.money import Money
from vitrin.platforms.registry import PLATFORMS, SHOPS
from vitrin.platforms.shop import BodyInvalid, HeadInvalid, News, NewsKind, ShopSpec

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SHOPIFY, WOO = SHOPS["shopify"], SHOPS["woocommerce"]
MADE = datetime(2022, 1, 1, tzinfo=UTC)
TRIGGERED = datetime(2023, 3, 29, 18, 0, 27, 877041, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[3] / "shared"
ORDER_FILE = SHARED / "data/catalogs/shopify/orders_create_webhook.json"


def shopify(topic: str, body: Any, currency: str = "USD") -> News:
    sent = raw(body)
    head = SHOPIFY.read_head(shopify_headers(topic, sent), sent)
    return SHOPIFY.read_news(head, sent, currency=currency, received_at=NOW)


def woo(topic: str, body: Any, currency: str = "USD") -> News:
    sent = raw(body)
    head = WOO.read_head(woo_headers(topic, sent), sent)
    return WOO.read_news(head, sent, currency=currency, received_at=NOW)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def test_shops_are_no_platforms_and_name_what_they_need() -> None:
    assert set(SHOPS) == {"shopify", "woocommerce"}
    assert not SHOPS.keys() & PLATFORMS.keys()
    for name, spec in SHOPS.items():
        assert spec.name == spec.refs_source == name
        assert spec.topics
        assert spec.token_form


def test_shopify_head_says_what_the_headers_say() -> None:
    head = SHOPIFY.read_head(shopify_headers("products/update", b"{}"), b"{}")
    assert (head.topic, head.shop, head.api_version) == ("products/update", "acme.myshopify.com", "2026-07")
    assert head.delivery_id == "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"
    assert head.triggered_at == TRIGGERED
    assert not head.ping


@pytest.mark.parametrize("gone", ["x-shopify-topic", "x-shopify-webhook-id", "x-shopify-shop-domain"])
def test_a_shopify_head_without_a_name_is_refused(gone: str) -> None:
    headers = shopify_headers("products/update", b"{}")
    del headers[gone]
    with pytest.raises(HeadInvalid, match=gone):
        SHOPIFY.read_head(headers, b"{}")


@pytest.mark.parametrize("shop", ["evil.example", "a.myshopify.com.evil.example", "-a.myshopify.com"])
def test_a_foreign_domain_is_no_shop(shop: str) -> None:
    with pytest.raises(HeadInvalid):
        SHOPIFY.read_head(shopify_headers("x", b"{}", **{"x-shopify-shop-domain": shop}), b"{}")


@pytest.mark.parametrize("spec", [SHOPIFY, WOO], ids=lambda spec: spec.name)
@given(body=st.binary(max_size=200), at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_signature_is_about_exactly_these_bytes(spec: ShopSpec, body: bytes, at: int, bit: int) -> None:
    headers = (shopify_headers if spec is SHOPIFY else woo_headers)("product.updated", body)
    assert spec.signed(headers, body, [SECRET])
    assert spec.signed(headers, body, ["old", SECRET])
    assert not spec.signed(headers, body, ["old"])
    assert not spec.signed(headers, body, [])
    assert not spec.signed({}, body, [SECRET])
    assert not spec.signed(headers, body + b" ", [SECRET])
    if body:
        flipped = bytearray(body)
        flipped[at % len(body)] ^= 1 << bit
        assert not spec.signed(headers, bytes(flipped), [SECRET])


def test_an_empty_secret_signs_nothing() -> None:
    body = b"{}"
    headers = {"x-shopify-hmac-sha256": data.signature(body, "")}
    assert not SHOPIFY.signed(headers, body, [""])
    assert not SHOPIFY.signed({"x-shopify-hmac-sha256": "ä\udc80"}, body, [SECRET])


def test_a_shopify_product_is_read_whole() -> None:
    news = shopify("products/update", data.SHOPIFY_PRODUCT)
    product = news.product
    assert product is not None
    assert (news.kind, news.subject, news.at) == (NewsKind.PRODUCT, "product:788032119674292922", MADE)
    assert (product.handle, product.vendor, product.category) == (
        "example-t-shirt",
        "Acme",
        "Apparel > Shirts",
    )
    assert product.tags == ("example", "mens", "t-shirt")
    assert (product.status, product.published) == ("active", True)
    small, medium = product.variants
    assert (small.variant_id, small.inventory_item_id) == ("642667041472713922", "271878346596884016")
    assert (small.price, small.compare_at) == (usd(1999), usd(2499))
    assert (small.options, small.quantity, small.oversell) == ((("Size", "Small"),), 75, False)
    assert small.image_link == "https://cdn.shopify.com/s/files/1/small.png"
    assert (medium.compare_at, medium.quantity, medium.oversell) == (None, None, True)
    assert medium.barcode == "4006381333931"


def test_a_shopify_product_without_options_has_none() -> None:
    only = changed(
        data.SHOPIFY_PRODUCT["variants"][0], option1="Default Title", title="Default Title", price="1000.00"
    )
    body = changed(
        data.SHOPIFY_PRODUCT,
        variants=[only],
        options=[{"name": "Title", "values": ["Default Title"]}],
        variant_gids=None,
        status="draft",
        published_at=None,
    )
    product = shopify("products/create", body, currency="JPY").product
    assert product is not None
    assert (product.variants[0].options, product.variants[0].title) == ((), "")
    assert product.variants[0].price == Money(1000, "JPY")
    assert (product.status, product.published) == ("draft", False)


def test_more_variants_than_a_webhook_holds_have_to_be_asked_for() -> None:
    beyond = [
        *data.SHOPIFY_PRODUCT["variant_gids"],
        {"admin_graphql_api_id": "gid://shopify/ProductVariant/5"},
    ]
    news = shopify("products/update", changed(data.SHOPIFY_PRODUCT, variant_gids=beyond))
    assert (news.kind, news.product_id, news.product, news.at) == (
        NewsKind.PRODUCT_TOUCHED,
        "788032119674292922",
        None,
        MADE,
    )
    one = data.SHOPIFY_PRODUCT["variants"][0]
    many = [changed(one, id=number) for number in range(1, 101)]
    news = shopify("products/update", changed(data.SHOPIFY_PRODUCT, variants=many, variant_gids=None))
    assert news.kind is NewsKind.PRODUCT_TOUCHED
    nameless = changed(data.SHOPIFY_PRODUCT, variants=None, variant_gids=None)
    assert shopify("products/update", nameless).kind is NewsKind.PRODUCT_TOUCHED


def test_a_body_that_leaves_out_whether_stock_is_tracked_does_not_say_that_it_is_not() -> None:
    """As newer versions of the webhook are; the sandbox sends them so."""
    variants = [
        {name: value for name, value in one.items() if name != "inventory_management"}
        for one in data.SHOPIFY_PRODUCT["variants"]
    ]
    body = changed(data.SHOPIFY_PRODUCT, variants=variants)
    product = shopify("products/update", body).product
    assert product is not None
    assert [one.tracking_told for one in product.variants] == [False] * len(variants)
    assert [one.quantity for one in product.variants] == [one["inventory_quantity"] for one in variants]
    assert shopify("products/create", body).kind is NewsKind.PRODUCT_TOUCHED, "nothing is known of it yet"


def test_a_shopify_deletion_takes_its_moment_from_the_head() -> None:
    news = shopify("products/delete", {"id": 788032119674292922})
    assert (news.kind, news.product_id, news.at) == (
        NewsKind.PRODUCT_DELETED,
        "788032119674292922",
        TRIGGERED,
    )


def test_a_shopify_level_names_item_and_location() -> None:
    news = shopify("inventory_levels/update", data.SHOPIFY_LEVEL)
    assert news.stock is not None
    assert news.subject == "stock:271878346596884015/24826418"
    assert (news.stock.available, news.at) == (7, MADE)
    gone = shopify("inventory_levels/update", changed(data.SHOPIFY_LEVEL, available=None)).stock
    assert gone is not None
    assert gone.available is None


def test_a_shopify_order_of_the_shared_data_is_read() -> None:
    if not ORDER_FILE.is_file():
        pytest.skip(f"NOT READ: {ORDER_FILE} is not here")
    news = shopify("orders/create", orjson.loads(ORDER_FILE.read_bytes()))
    order = news.order
    assert order is not None
    assert (news.subject, order.name, order.test, order.state) == (
        "order:820982911946154508",
        "#9999",
        True,
        "cancelled",
    )
    assert (order.total, order.subtotal, order.discounts) == (usd(40300), usd(39300), usd(500))
    assert (order.shipping, order.tax) == (usd(1000), usd(0))
    assert [(line.line_id, line.discount) for line in order.lines] == [
        ("866550311766439020", usd(0)),
        ("141249953214522974", usd(500)),
    ]
    assert (order.cancel_reason, order.updated_at) == (
        "customer",
        datetime(2019, 6, 4, 17, 53, 6, tzinfo=UTC),
    )
    assert (order.person.customer_id, order.person.email) == ("115310627314723954", "jon@doe.ca")
    assert "jon@doe.ca" not in repr(news)


def shopify_order(**fields: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "currency": "USD",
        "created_at": "2024-05-01T10:00:00Z",
        "updated_at": "2024-05-01T10:00:00Z",
        "total_price": "10.00",
        "presentment_currency": "CAD",
        **fields,
    }


@pytest.mark.parametrize(
    ("financial", "cancelled_at", "state"),
    [
        ("paid", None, "paid"),
        ("pending", None, "open"),
        ("partially_paid", None, "open"),
        ("partially_refunded", None, "partially_refunded"),
        ("refunded", None, "refunded"),
        ("voided", None, "failed"),
        ("paid", "2024-05-01T10:00:00Z", "cancelled"),
    ],
)
def test_states_of_shopify_orders(financial: str, cancelled_at: str | None, state: str) -> None:
    news = shopify("orders/updated", shopify_order(financial_status=financial, cancelled_at=cancelled_at))
    assert news.order is not None
    assert news.order.state == state


def test_amounts_are_those_of_the_shop_not_of_the_shopper() -> None:
    prices = {
        "shop_money": {"amount": "10.00", "currency_code": "USD"},
        "presentment_money": {"amount": "13.60", "currency_code": "CAD"},
    }
    news = shopify("orders/paid", shopify_order(total_price_set=prices))
    assert news.order is not None
    assert news.order.total == usd(1000)
    prices["shop_money"]["currency_code"] = "CAD"
    with pytest.raises(BodyInvalid, match="currency_code"):
        shopify("orders/paid", shopify_order(total_price_set=prices))


def test_a_shopify_refund_is_what_was_given_back() -> None:
    news = shopify("refunds/create", data.SHOPIFY_REFUND)
    refund = news.refund
    assert refund is not None
    assert (news.subject, refund.amount) == ("order:820982911946154508", usd(22150))
    assert [(line.quantity, line.amount) for line in refund.lines] == [(1, usd(19900)), (2, usd(1050))]
    transactions = [
        {"kind": "refund", "status": "success", "amount": "50.00", "currency": "USD"},
        {"kind": "refund", "status": "failure", "amount": "60.00", "currency": "USD"},
        {"kind": "void", "status": "success", "amount": "70.00", "currency": "USD"},
    ]
    refund = shopify("refunds/create", changed(data.SHOPIFY_REFUND, transactions=transactions)).refund
    assert refund is not None
    assert refund.amount == usd(5000)


def test_topics_of_the_shop_and_of_persons() -> None:
    asked = {"customer": {"id": 191167, "email": "john@example.com"}, "orders_to_redact": [299938, 280263]}
    erase = shopify("customers/redact", {"shop_id": 1, "shop_domain": "acme.myshopify.com", **asked})
    assert erase.kind is NewsKind.PERSON_ERASE
    assert erase.person is not None
    assert (erase.person.customer_id, erase.person.order_ids) == ("191167", ("299938", "280263"))
    export = shopify("customers/data_request", {"customer": {"id": 1}, "orders_requested": [7]})
    assert export.person is not None
    assert (export.kind, export.person.order_ids) == (NewsKind.PERSON_EXPORT, ("7",))
    assert shopify("shop/redact", {"shop_id": 1}).kind is NewsKind.SHOP_ERASE
    assert shopify("app/uninstalled", {"id": 1}).kind is NewsKind.UNINSTALLED
    assert shopify("carts/update", {}).kind is NewsKind.NOTHING


def test_the_first_delivery_of_woocommerce_is_a_trial() -> None:
    head = WOO.read_head({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id=123")
    assert head.ping
    news = WOO.read_news(head, b"webhook_id=123", currency="EUR", received_at=NOW)
    assert news.kind is NewsKind.NOTHING
    with pytest.raises(HeadInvalid):
        WOO.read_head({}, b"webhook_id=123&product=5")


def test_two_woocommerce_deliveries_of_one_second_are_two() -> None:
    heads = [WOO.read_head(woo_headers("product.updated", body), body) for body in (b"{}", b"{ }", b"{}")]
    assert heads[0].shop == "https://shop.example"
    assert heads[0].delivery_id == heads[2].delivery_id != heads[1].delivery_id


def test_a_woocommerce_product_is_read_whole() -> None:
    news = woo("product.updated", data.WOO_PRODUCT)
    product = news.product
    assert product is not None
    assert (news.kind, news.at) == (NewsKind.PRODUCT, datetime(2017, 3, 23, 20, 1, 14, tzinfo=UTC))
    assert (product.status, product.published, product.category) == ("active", True, "Clothing")
    assert product.attributes == {"Material": "Wool, Silk"}
    (only,) = product.variants
    assert (only.variant_id, only.sku, only.barcode) == ("794", "PQ-19", "4006381333931")
    assert (only.price, only.compare_at) == (usd(1850), usd(2199))
    assert (only.sale_starts_at, only.sale_ends_at) == (datetime(2017, 3, 23, tzinfo=UTC), None)
    assert (only.quantity, only.oversell, only.options) == (3, True, ())


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"manage_stock": False, "stock_status": "instock"}, (None, False, False)),
        ({"manage_stock": False, "stock_status": "outofstock"}, (0, False, False)),
        ({"manage_stock": False, "stock_status": "onbackorder"}, (0, True, True)),
        ({"stock_quantity": 2.0, "backorders": "no"}, (2, False, False)),
        ({"stock_quantity": -1, "stock_status": "onbackorder"}, (-1, True, True)),
    ],
)
def test_stock_of_woocommerce(fields: dict[str, Any], seen: tuple[int | None, bool, bool]) -> None:
    product = woo("product.updated", changed(data.WOO_PRODUCT, **fields)).product
    assert product is not None
    only = product.variants[0]
    assert (only.quantity, only.oversell, only.on_backorder) == seen


@pytest.mark.parametrize(
    ("fields", "status", "published", "variants"),
    [
        ({"status": "draft"}, "draft", False, 1),
        ({"status": "private"}, "draft", False, 1),
        ({"status": "pending"}, "draft", False, 1),
        ({"status": "trash"}, "archived", False, 1),
        ({"catalog_visibility": "hidden"}, "active", False, 1),
        ({"type": "grouped", "price": "9"}, "active", True, 0),
        ({"type": "external"}, "active", True, 1),
        ({"price": "", "regular_price": "", "sale_price": ""}, "active", True, 0),
    ],
)
def test_what_woocommerce_sells(fields: dict[str, Any], status: str, published: bool, variants: int) -> None:
    product = woo("product.created", changed(data.WOO_PRODUCT, **fields)).product
    assert product is not None
    assert (product.status, product.published, len(product.variants)) == (status, published, variants)


def test_variations_are_asked_for_by_their_product() -> None:
    variable = changed(data.WOO_PRODUCT, type="variable", variations=[795, 796])
    news = woo("product.updated", variable)
    assert (news.kind, news.product_id) == (NewsKind.PRODUCT_TOUCHED, "794")
    news = woo("product.updated", changed(data.WOO_VARIATION, type="variation", parent_id=794))
    assert (news.kind, news.product_id) == (NewsKind.PRODUCT_TOUCHED, "794")
    news = woo("product.deleted", {"id": 794})
    assert (news.kind, news.product_id, news.at) == (NewsKind.PRODUCT_DELETED, "794", NOW)


def test_a_woocommerce_order_is_read() -> None:
    news = woo("order.updated", data.WOO_ORDER)
    order = news.order
    assert order is not None
    assert (news.subject, order.state, order.total) == ("order:727", "partially_refunded", usd(2935))
    assert (order.subtotal, order.discounts, order.shipping, order.tax) == (
        usd(1800),
        usd(200),
        usd(1000),
        usd(135),
    )
    (line,) = order.lines
    assert (line.price, line.discount, line.quantity, line.variant_id) == (usd(667), usd(200), 3, "93")
    assert [(one.refund_id, one.amount) for one in order.refunds] == [("726", usd(1000))]
    assert (order.discount_codes, order.person.city) == (("spring",), "San Francisco")
    assert order.landing_site == "https://example.com/?fbclid=x"
    with_tax = woo("order.updated", changed(data.WOO_ORDER, prices_include_tax=True)).order
    assert with_tax is not None
    assert with_tax.lines[0].price == usd(717)
    assert woo("order.deleted", {"id": 727}).kind is NewsKind.NOTHING


@pytest.mark.parametrize(
    ("status", "refunds", "state"),
    [
        ("pending", [], "open"),
        ("on-hold", [], "open"),
        ("checkout-draft", [], "open"),
        ("completed", [], "paid"),
        ("completed", [{"id": 1, "total": "-29.35"}], "refunded"),
        ("cancelled", [], "cancelled"),
        ("refunded", [], "refunded"),
        ("failed", [], "failed"),
        ("shipped-by-a-plugin", [], "paid"),
    ],
)
def test_states_of_woocommerce_orders(status: str, refunds: list[Any], state: str) -> None:
    order = woo("order.updated", changed(data.WOO_ORDER, status=status, refunds=refunds)).order
    assert order is not None
    assert order.state == state


def test_an_amount_that_was_a_float_is_refused_and_never_quoted() -> None:
    wrong = changed(data.WOO_PRODUCT, regular_price=21.99)
    with pytest.raises(BodyInvalid, match=r"^\$\.regular_price: no amount$"):
        woo("product.updated", wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = {
    "products/update": data.SHOPIFY_PRODUCT,
    "inventory_levels/update": data.SHOPIFY_LEVEL,
    "orders/updated": shopify_order(line_items=[{"id": 1, "quantity": 1, "price": "1.00"}]),
    "refunds/create": data.SHOPIFY_REFUND,
    "products/delete": {"id": 1},
    "customers/redact": {"customer": {"id": 1}, "orders_to_redact": [1]},
    "product.updated": data.WOO_PRODUCT,
    "order.updated": data.WOO_ORDER,
    "product.deleted": {"id": 1},
}


def _replaced(body: Any, draw: st.DrawFn, value: Any) -> Any:
    """The body with one of its values, however deep, replaced."""
    if isinstance(body, dict) and body and draw(st.booleans()) is True:
        name = draw(st.sampled_from(sorted(body)))
        return {**body, name: _replaced(body[name], draw, value)}
    if isinstance(body, list) and body and draw(st.booleans()) is True:
        return [_replaced(body[0], draw, value), *body[1:]]
    return value


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    topic = draw(st.sampled_from(sorted(BODIES)))
    value = draw(
        JSON | st.sampled_from(["0001-01-01T00:00:00+14:00", "-1.999", "gid://shopify/A/0", 2**63, ""])
    )
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return topic, draw(st.binary(max_size=40))
    return topic, raw(value if kind == 1 else _replaced(BODIES[topic], draw, value))


@given(damaged())
@settings(max_examples=400, deadline=None)
def test_any_body_is_news_or_refused(sent: tuple[str, bytes]) -> None:
    topic, body = sent
    spec, headers = (SHOPIFY, shopify_headers) if "/" in topic else (WOO, woo_headers)
    head = spec.read_head(headers(topic, body), body)
    where = ""
    try:
        news = spec.read_news(head, body, currency="USD", received_at=NOW)
    except BodyInvalid as error:
        where = str(error)
    else:
        assert news.at.tzinfo is UTC
    assert where == "" or where.startswith("$")
