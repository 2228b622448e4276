"""Bodies in the shapes of the public documentation, as texts, since a signature is about bytes."""

import base64
import hashlib
import hmac
import json
from copy import deepcopy
from typing import Any

SECRET = "shpss_0123456789abcdef"

SHOPIFY_PRODUCT: dict[str, Any] = {
    "admin_graphql_api_id": "gid://shopify/Product/788032119674292922",
    "body_html": "<p>An <em>example</em> T-Shirt</p>",
    "created_at": None,
    "handle": "example-t-shirt",
    "id": 788032119674292922,
    "product_type": "Shirts",
    "published_at": "2021-12-31T19:00:00-05:00",
    "template_suffix": None,
    "title": "Example T-Shirt",
    "updated_at": "2021-12-31T19:00:00-05:00",
    "vendor": "Acme",
    "status": "active",
    "published_scope": "web",
    "tags": "example, mens, t-shirt",
    "variants": [
        {
            "admin_graphql_api_id": "gid://shopify/ProductVariant/642667041472713922",
            "barcode": None,
            "compare_at_price": "24.99",
            "created_at": None,
            "id": 642667041472713922,
            "inventory_policy": "deny",
            "position": 1,
            "price": "19.99",
            "product_id": 788032119674292922,
            "sku": "example-shirt-s",
            "taxable": True,
            "title": "Small",
            "updated_at": None,
            "option1": "Small",
            "option2": None,
            "option3": None,
            "image_id": 2,
            "inventory_item_id": 271878346596884016,
            "inventory_management": "shopify",
            "inventory_quantity": 75,
            "old_inventory_quantity": 75,
        },
        {
            "admin_graphql_api_id": "gid://shopify/ProductVariant/757650484644203962",
            "barcode": "4006381333931",
            "compare_at_price": "0.00",
            "id": 757650484644203962,
            "inventory_policy": "continue",
            "price": "19.99",
            "sku": "example-shirt-m",
            "title": "Medium",
            "option1": "Medium",
            "option2": None,
            "option3": None,
            "image_id": None,
            "inventory_item_id": 49148385,
            "inventory_management": None,
            "inventory_quantity": 50,
        },
    ],
    "options": [{"id": 1, "name": "Size", "position": 1, "values": ["Small", "Medium"]}],
    "images": [
        {"id": 1, "position": 1, "src": "https://cdn.shopify.com/s/files/1/front.png", "variant_ids": []},
        {"id": 2, "position": 2, "src": "https://cdn.shopify.com/s/files/1/small.png", "variant_ids": [1]},
    ],
    "image": None,
    "media": [],
    "variant_gids": [
        {"admin_graphql_api_id": "gid://shopify/ProductVariant/642667041472713922", "updated_at": None},
        {"admin_graphql_api_id": "gid://shopify/ProductVariant/757650484644203962", "updated_at": None},
    ],
    "has_variants_that_requires_components": False,
    "category": {
        "admin_graphql_api_id": "gid://shopify/TaxonomyCategory/aa-1",
        "full_name": "Apparel > Shirts",
    },
}

SHOPIFY_LEVEL: dict[str, Any] = {
    "inventory_item_id": 271878346596884015,
    "location_id": 24826418,
    "available": 7,
    "updated_at": "2021-12-31T19:00:00-05:00",
    "admin_graphql_api_id": "gid://shopify/InventoryLevel/24826418?inventory_item_id=271878346596884015",
}

SHOPIFY_REFUND: dict[str, Any] = {
    "id": 890088186047892319,
    "order_id": 820982911946154508,
    "created_at": "2021-12-31T19:00:00-05:00",
    "note": "Things were damaged",
    "processed_at": "2021-12-31T19:00:00-05:00",
    "restock": False,
    "transactions": [],
    "refund_line_items": [
        {
            "id": 487817672276298627,
            "line_item_id": 487817672276298554,
            "quantity": 1,
            "subtotal": 199.0,
            "subtotal_set": {"shop_money": {"amount": "199.00", "currency_code": "USD"}},
            "total_tax": 0.0,
            "total_tax_set": {"shop_money": {"amount": "12.00", "currency_code": "USD"}},
        },
        {
            "id": 1,
            "line_item_id": 2,
            "quantity": 2,
            "subtotal_set": {"shop_money": {"amount": "10.50", "currency_code": "USD"}},
            "total_tax_set": {"shop_money": {"amount": "0.00", "currency_code": "USD"}},
        },
    ],
}

WOO_PRODUCT: dict[str, Any] = {
    "id": 794,
    "name": "Premium Quality",
    "slug": "premium-quality-19",
    "permalink": "https://example.com/product/premium-quality-19/",
    "date_created_gmt": "2017-03-23T20:01:14",
    "date_modified": "2017-03-23T17:01:14",
    "date_modified_gmt": "2017-03-23T20:01:14",
    "type": "simple",
    "status": "publish",
    "featured": False,
    "catalog_visibility": "visible",
    "description": "<p>Pellentesque habitant morbi.</p>\n",
    "short_description": "<p>Short.</p>\n",
    "sku": "PQ-19",
    "global_unique_id": "4006381333931",
    "price": "18.50",
    "regular_price": "21.99",
    "sale_price": "18.50",
    "date_on_sale_from_gmt": "2017-03-23T00:00:00",
    "date_on_sale_to_gmt": None,
    "manage_stock": True,
    "stock_quantity": 3,
    "stock_status": "instock",
    "backorders": "notify",
    "parent_id": 0,
    "categories": [{"id": 9, "name": "Clothing", "slug": "clothing"}],
    "tags": [{"id": 3, "name": "new", "slug": "new"}],
    "images": [{"id": 792, "src": "https://example.com/wp-content/T_2_front.jpg", "name": "", "alt": ""}],
    "attributes": [{"id": 0, "name": "Material", "variation": False, "options": ["Wool", "Silk"]}],
    "variations": [],
    "meta_data": [],
}

WOO_VARIATION: dict[str, Any] = {
    "id": 795,
    "date_created_gmt": "2017-03-23T20:01:14",
    "date_modified_gmt": "2017-03-24T09:00:00",
    "permalink": "https://example.com/product/premium-quality-19/?attribute_color=Black",
    "sku": "PQ-BLACK",
    "price": "9.00",
    "regular_price": "9.00",
    "sale_price": "",
    "status": "publish",
    "manage_stock": "parent",
    "stock_quantity": None,
    "stock_status": "instock",
    "image": {"id": 1, "src": "https://example.com/black.jpg"},
    "attributes": [{"id": 6, "name": "Color", "option": "Black"}],
}

WOO_ORDER: dict[str, Any] = {
    "id": 727,
    "parent_id": 0,
    "number": "727",
    "created_via": "checkout",
    "status": "processing",
    "currency": "USD",
    "date_created_gmt": "2017-03-22T19:28:02",
    "date_modified_gmt": "2017-03-22T19:28:08",
    "discount_total": "2.00",
    "discount_tax": "0.00",
    "shipping_total": "10.00",
    "shipping_tax": "0.00",
    "total": "29.35",
    "total_tax": "1.35",
    "prices_include_tax": False,
    "customer_id": 0,
    "customer_ip_address": "203.0.113.9",
    "customer_user_agent": "Mozilla/5.0",
    "billing": {
        "first_name": "John",
        "last_name": "Doe",
        "address_1": "969 Market",
        "address_2": "",
        "city": "San Francisco",
        "state": "CA",
        "postcode": "94103",
        "country": "US",
        "email": "john.doe@example.com",
        "phone": "(555) 555-5555",
    },
    "shipping": {"first_name": "", "address_1": "", "city": ""},
    "date_paid_gmt": "2017-03-22T19:28:08",
    "line_items": [
        {
            "id": 315,
            "name": "Woo Single #1",
            "product_id": 93,
            "variation_id": 0,
            "quantity": 3,
            "subtotal": "20.00",
            "subtotal_tax": "1.50",
            "total": "18.00",
            "total_tax": "1.35",
            "sku": "",
            "price": 6.0,
        }
    ],
    "coupon_lines": [{"id": 1, "code": "spring", "discount": "2"}],
    "refunds": [{"id": 726, "reason": "", "total": "-10.00"}],
    "meta_data": [
        {"id": 1, "key": "_wc_order_attribution_referrer", "value": "https://www.facebook.com/"},
        {"id": 2, "key": "_wc_order_attribution_session_entry", "value": "https://example.com/?fbclid=x"},
        {"id": 3, "key": "_other", "value": {"any": ["shape"]}},
    ],
}


def changed(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**deepcopy(body), **fields}


def raw(body: Any) -> bytes:
    return json.dumps(body).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def shopify_headers(topic: str, body: bytes, **more: str) -> dict[str, str]:
    return {
        "x-shopify-topic": topic,
        "x-shopify-hmac-sha256": signature(body),
        "x-shopify-shop-domain": "acme.myshopify.com",
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "x-shopify-event-id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
        "x-shopify-triggered-at": "2023-03-29T18:00:27.877041743Z",
        "x-shopify-api-version": "2026-07",
        **more,
    }


def woo_headers(topic: str, body: bytes) -> dict[str, str]:
    return {
        "x-wc-webhook-source": "https://shop.example/",
        "x-wc-webhook-topic": topic,
        "x-wc-webhook-resource": topic.partition(".")[0],
        "x-wc-webhook-event": topic.partition(".")[2],
        "x-wc-webhook-signature": signature(body),
        "x-wc-webhook-id": "4",
        "x-wc-webhook-delivery-id": "8f1c0b1b0b",
    }
