"""Shops without I/O: ids, carts, refusals, the signed callback, and the cutting of a bulk result."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrin.kit.http_client import PlatformHttp
from vitrin.platforms.base import ChannelMisconfigured, FailureKind
from vitrin.platforms.registry import OAUTH, SHOPS
from vitrin.platforms.shop import BodyInvalid, CartLine, DeliveryHead, ShopProduct, StockLevel
from vitrin.platforms.shopify import errors as shopify_errors
from vitrin.platforms.shopify.bulk import cut
from vitrin.platforms.shopify.oauth import callback_signed
from vitrin.platforms.woocommerce import errors as woo_errors

SHOPIFY, WOO = SHOPS["shopify"], SHOPS["woocommerce"]
LINES = [CartLine("1", "42", 2), CartLine("3", "43", 1)]


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("acme.myshopify.com", True),
        ("a-1.myshopify.com", True),
        ("Acme.myshopify.com", False),
        ("-acme.myshopify.com", False),
        ("https://acme.myshopify.com", False),
        ("acme.myshopify.com.evil.example", False),
        ("acme.myshopify.com\n", False),
        ("acme.example", False),
        ("", False),
    ],
)
def test_a_shopify_shop_is_named_by_its_domain(value: str, right: bool) -> None:
    assert (SHOPIFY.external_id_problem("shop", value) is None) is right
    assert SHOPIFY.external_id_problem("store", value) is not None


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("https://shop.example", True),
        ("https://shop.example/en/store", True),
        ("http://shop.example", False),
        ("https://shop.example/", False),
        ("https://shop.example?x=1", False),
        ("https://shop.example#x", False),
        ("https://u:p@shop.example", False),
        ("https://shop.example:8443", False),
        ("https://Shop.example", False),
        ("https://127.0.0.1", False),
        ("https://[::1]", False),
        ("https://[::1", False),
        ("https://localhost", False),
        ("https://shop.example/../x", False),
        ("https://shop.example\n", False),
    ],
)
def test_a_store_is_named_by_its_address(value: str, right: bool) -> None:
    assert (WOO.external_id_problem("store", value) is None) is right
    assert WOO.external_id_problem("shop", value) is not None


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_any_text_is_an_id_or_has_a_problem(value: str) -> None:
    for spec in SHOPS.values():
        problem = spec.external_id_problem(spec.required_external_ids[0], value)
        assert problem is None or problem


def test_carts_of_both_shops() -> None:
    assert SHOPIFY.cart_url("https://acme.example/", LINES, ["A B", "C&D"]) == (
        "https://acme.example/cart/42:2,43:1?discount=A%20B,C%26D"
    )
    assert SHOPIFY.cart_url("https://acme.example", LINES, []) == "https://acme.example/cart/42:2,43:1"
    assert WOO.cart_url("https://shop.example/en", [CartLine("7", "", 1), *LINES], ["S/1", "second"]) == (
        "https://shop.example/en/checkout-link/?products=7:1,42:2,43:1&coupon=S%2F1"
    )


async def test_a_source_is_opened_with_what_fits_only() -> None:
    async with PlatformHttp() as http:
        wrong: list[tuple[Any, dict[str, Any], str]] = [
            (SHOPIFY, {"access_token": "t", "external_ids": {"shop": "x"}}, "external_id_invalid"),
            (SHOPIFY, {"access_token": "a b", "external_ids": {"shop": "a.myshopify.com"}}, "token_invalid"),
            (WOO, {"access_token": "ck_1", "external_ids": {"store": "https://a.example"}}, "token_invalid"),
            (
                WOO,
                {
                    "access_token": "ck_1:cs_1",
                    "external_ids": {"store": "https://a.example"},
                    "base_url": "http://a.example",
                },
                "base_url_invalid",
            ),
        ]
        for spec, given_, code in wrong:
            with pytest.raises(ChannelMisconfigured) as refusal:
                spec.open_shop(http=http, **given_)
            assert refusal.value.code == code
        shop = WOO.open_shop(
            http=http,
            access_token="ck_1:cs_secret",
            external_ids={"store": "https://a.example"},
            base_url="http://127.0.0.1:9/woocommerce/a.example",
        )
        assert "cs_secret" not in repr(shop)


def callback(secret: str, **answer: str) -> dict[str, str]:
    said = "&".join(f"{name}={value}" for name, value in sorted(answer.items()))
    return {**answer, "hmac": hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()}


def test_the_callback_of_shopify_is_signed_and_about_the_shop_that_was_asked() -> None:
    flow = OAUTH["shopify"]
    ids = {"shop": "acme.myshopify.com"}
    answer = callback(
        "s", code="0907", shop="acme.myshopify.com", state="x", timestamp="1337178173", host="YWRt"
    )
    assert flow.callback_problem(answer, ids, "s") is None
    assert flow.callback_problem({**answer, "code": "0908"}, ids, "s") is not None
    assert flow.callback_problem({**answer, "more": "1"}, ids, "s") is not None
    assert flow.callback_problem(answer, ids, "other") is not None
    assert flow.callback_problem(answer, {"shop": "b.myshopify.com"}, "s") is not None
    assert flow.callback_problem({}, ids, "s") is not None
    assert not callback_signed(callback("", shop="a"), "")
    assert OAUTH["meta"].callback_problem({}, {}, "s") is None


def test_consent_is_asked_at_the_shop() -> None:
    flow = OAUTH["shopify"]
    assert flow.needs == ("shop",)
    assert flow.consent_url({"shop": "acme.myshopify.com"}) == (
        "https://acme.myshopify.com/admin/oauth/authorize"
    )
    for ids in ({}, {"shop": "evil.example/?.myshopify.com"}):
        with pytest.raises(ChannelMisconfigured):
            flow.consent_url(ids)


def graphql(code: str, **cost: Any) -> dict[str, Any]:
    return {
        "errors": [{"message": "Said by Shopify", "extensions": {"code": code}}],
        "extensions": {"cost": cost} if cost else {},
    }


THROTTLED = graphql(
    "THROTTLED",
    requestedQueryCost=202,
    actualQueryCost=None,
    throttleStatus={"maximumAvailable": 2000.0, "currentlyAvailable": 118, "restoreRate": 100.0},
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, {"data": {}}, None, ""),
        (200, THROTTLED, FailureKind.THROTTLED, "throttled"),
        (200, graphql("ACCESS_DENIED"), FailureKind.PERMISSION, "permission_missing"),
        (200, graphql("INTERNAL_SERVER_ERROR"), FailureKind.UNKNOWN_OUTCOME, "platform_unwell"),
        (200, graphql("undefinedField"), FailureKind.INVALID_REQUEST, "invalid_query"),
        (200, {"errors": ["x", {"extensions": []}, {}]}, FailureKind.INVALID_REQUEST, "invalid_query"),
        (200, {"errors": "x"}, FailureKind.INVALID_REQUEST, "invalid_query"),
        (200, None, FailureKind.UNKNOWN_OUTCOME, "unreadable_answer"),
        (401, {"errors": "[API] Invalid API key or access token"}, FailureKind.AUTH, "token_invalid"),
        (402, {"errors": "Unavailable Shop"}, FailureKind.PERMISSION, "shop_frozen"),
        (403, None, FailureKind.PERMISSION, "permission_missing"),
        (404, {"errors": "Not Found"}, FailureKind.PERMISSION, "shop_gone"),
        (423, {"errors": "Locked"}, FailureKind.PERMISSION, "shop_locked"),
        (429, None, FailureKind.THROTTLED, "throttled"),
        (400, {"error": "invalid_request"}, FailureKind.AUTH, "grant_refused"),
        (503, None, FailureKind.UNKNOWN_OUTCOME, "http_503"),
    ],
)
def test_answers_of_shopify(status: int, body: Any, kind: FailureKind | None, code: str) -> None:
    failure = shopify_errors.classify(status, {}, body)
    assert (failure.kind, failure.code) == (kind, code) if failure else kind is None


def test_shopify_says_when_its_bucket_holds_enough() -> None:
    failure = shopify_errors.classify(200, {}, THROTTLED)
    assert failure is not None
    assert failure.retry_after_s == pytest.approx(0.84)
    assert shopify_errors.used_share(THROTTLED) == (pytest.approx(0.941), pytest.approx(0.0005))
    assert shopify_errors.used_share({"extensions": {"cost": 3}}) is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, [], None, ""),
        (200, None, FailureKind.UNKNOWN_OUTCOME, "unreadable_answer"),
        (301, None, FailureKind.INVALID_REQUEST, "shop_moved"),
        (401, {"code": "woocommerce_rest_cannot_view"}, FailureKind.AUTH, "token_invalid"),
        (403, {"code": "woocommerce_rest_cannot_view"}, FailureKind.PERMISSION, "permission_missing"),
        (403, None, FailureKind.PERMISSION, "shop_shielded"),
        (404, None, FailureKind.TRANSIENT, "shop_api_missing"),
        (404, {"code": "rest_no_route"}, FailureKind.PERMISSION, "shop_api_missing"),
        (404, {"code": "woocommerce_rest_product_invalid_id"}, FailureKind.INVALID_REQUEST, "no_such_object"),
        (429, None, FailureKind.THROTTLED, "throttled"),
        (500, {"code": "internal_server_error"}, FailureKind.UNKNOWN_OUTCOME, "platform_unwell"),
        (502, None, FailureKind.UNKNOWN_OUTCOME, "http_502"),
    ],
)
def test_answers_of_woocommerce(status: int, body: Any, kind: FailureKind | None, code: str) -> None:
    failure = woo_errors.classify(status, {}, body)
    assert (failure.kind, failure.code) == (kind, code) if failure else kind is None


def bulk_lines(products: int) -> bytes:
    """The result of a bulk operation: each product with two variants, one of them stocked at two locations."""
    rows: list[dict[str, Any]] = []
    for number in range(1, products + 1):
        gid = f"gid://shopify/Product/{number}"
        rows.append(
            {
                "id": gid,
                "handle": f"p{number}",
                "title": "Zoë's – " + "x" * (number % 7),
                "updatedAt": "2026-01-02T03:04:05Z",
                "tags": ["a", "b"],
                "status": "ACTIVE",
                "publishedAt": "2026-01-01T00:00:00Z",
                "onlineStoreUrl": None,
                "category": None,
            }
        )
        picture = {"id": f"gid://shopify/MediaImage/{number}", "image": {"url": "https://a.example/1.png"}}
        rows += [{**picture, "__parentId": gid}, {"__parentId": gid}]
        for variant in (2 * number, 2 * number + 1):
            item = {"id": f"gid://shopify/InventoryItem/{variant}", "tracked": True, "unitCost": None}
            variant_gid = f"gid://shopify/ProductVariant/{variant}"
            rows.append(
                {
                    "id": variant_gid,
                    "title": "L",
                    "price": "19.99",
                    "compareAtPrice": None,
                    "inventoryPolicy": "DENY",
                    "inventoryQuantity": 5,
                    "selectedOptions": [{"name": "Size", "value": "L"}],
                    "image": None,
                    "inventoryItem": item,
                    "__parentId": gid,
                }
            )
            for location in (7, 8) if variant % 2 else ():
                rows.append(
                    {
                        "id": f"gid://shopify/InventoryLevel/{location}?inventory_item_id={variant}",
                        "updatedAt": "2026-01-02T03:04:05Z",
                        "location": {"id": f"gid://shopify/Location/{location}"},
                        "item": {"id": item["id"]},
                        "quantities": [{"name": "available", "quantity": location}],
                        "__parentId": variant_gid,
                    }
                )
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


@given(products=st.integers(0, 6), size=st.integers(1, 4_000), newline=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_window_cuts_the_same_products(products: int, size: int, newline: bool) -> None:
    file = bulk_lines(products)
    file = file if newline else file.removesuffix(b"\n")
    found: list[ShopProduct] = []
    levels: list[StockLevel] = []
    start, window = 0, size
    while start < len(file):
        at_end = start + window >= len(file)
        part = cut(file[start : start + window], at_end=at_end, currency="EUR")
        if not part.used_bytes:
            window *= 2
            continue
        found += part.products
        levels += part.levels
        start, window = start + part.used_bytes, size
    assert [product.product_id for product in found] == [str(number) for number in range(1, products + 1)]
    assert all(len(product.variants) == 2 and len(product.images) == 1 for product in found)
    assert [(one.inventory_item_id, one.location_id, one.available) for one in levels] == [
        (str(2 * number + 1), str(location), location)
        for number in range(1, products + 1)
        for location in (7, 8)
    ]


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"id": "gid://shopify/ProductVariant/1", "__parentId": "x"}']
)
def test_a_bulk_result_that_is_none_says_where(line: bytes) -> None:
    with pytest.raises(BodyInvalid, match=r"^byte 0"):
        cut(line + b"\n", at_end=True, currency="EUR")


@pytest.mark.parametrize(
    ("topic", "body", "named"),
    [
        ("customers/redact", {"shop_id": 1, "shop_domain": "Acme.myshopify.com"}, "acme.myshopify.com"),
        (
            "app/uninstalled",
            {"domain": "x.example", "myshopify_domain": "acme.myshopify.com"},
            "acme.myshopify.com",
        ),
        ("app/uninstalled", {"id": 1, "domain": "acme.example"}, ""),
        ("customers/redact", {"shop_domain": ["acme.myshopify.com"]}, ""),
        ("products/update", {"id": 1, "shop_domain": "acme.myshopify.com"}, ""),
    ],
)
def test_the_shop_that_a_signed_body_names(topic: str, body: Any, named: str) -> None:
    head = DeliveryHead(delivery_id="1", topic=topic, shop="acme.myshopify.com")
    assert SHOPS["shopify"].body_shop(head, json.dumps(body).encode()) == named
    assert SHOPS["woocommerce"].body_shop(head, json.dumps(body).encode()) == ""
