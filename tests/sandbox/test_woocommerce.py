"""WooCommerce's REST v3 and webhooks as the sandbox plays them."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import SPECS
from tests.sandbox.shop_support import Receiver, TheShop, new_shop, receiving, until
from tests.support.sandbox import running_sandbox

SAMPLES = SPECS.parent / "data/catalogs"
SECRET = "of-this-webhook"


@pytest.fixture(scope="module")
def root() -> Iterator[httpx.Client]:
    with running_sandbox() as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def shop(root: httpx.Client) -> TheShop:
    return new_shop(root, "woocommerce", seed={"products": 5, "variants_each": 2})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def call(
    shop: TheShop, path: str, *, method: str = "GET", auth: Any = None, **request: Any
) -> httpx.Response:
    key, _, secret = shop.made["access_token"].partition(":")
    url = f"{shop.made['base_url']}/wp-json/wc/v3/{path}"
    return shop.root.request(method, url, auth=auth or (key, secret), **request)


def test_keys_are_checked(shop: TheShop) -> None:
    key, _, _secret = shop.made["access_token"].partition(":")
    url = f"{shop.made['base_url']}/wp-json/wc/v3/products"
    assert shop.root.get(url).json()["code"] == "woocommerce_rest_cannot_view"
    for auth, words in (
        (("ck_0", "cs_0"), "Consumer key is invalid."),
        ((key, "cs_0"), "Consumer secret is invalid."),
    ):
        refused = call(shop, "products", auth=auth)
        assert (refused.status_code, refused.json()["message"]) == (401, words)


def test_products_are_paged_with_headers(shop: TheShop) -> None:
    first = call(shop, "products", params={"per_page": 2, "orderby": "id", "order": "asc"})
    assert (first.headers["x-wp-total"], first.headers["x-wp-totalpages"]) == ("5", "3")
    assert 'rel="next"' in first.headers["link"]
    last = call(shop, "products", params={"per_page": 2, "page": 3, "orderby": "id", "order": "asc"})
    assert [one["name"] for one in first.json() + last.json()] == ["Product 1", "Product 2", "Product 5"]
    assert call(shop, "products", params={"per_page": 101}).json()["code"] == "rest_invalid_param"
    one = first.json()[0]
    assert (one["type"], len(one["variations"]), one["sku"]) == ("variable", 2, "")
    variations = call(shop, f"products/{one['id']}/variations").json()
    assert [each["sku"] for each in variations] == ["P1-1", "P1-2"]
    assert variations[0]["attributes"] == [{"id": 0, "name": "Size", "slug": "Size", "option": "Size 1"}]
    assert call(shop, "products", params={"modified_after": "2999-01-01T00:00:00"}).json() == []
    assert call(shop, "products/1").json()["code"] == "woocommerce_rest_product_invalid_id"
    assert call(shop, "system_status").json()["settings"]["currency"] == "EUR"


def test_a_file_of_each_kind_seeds_a_shop(root: httpx.Client) -> None:
    for kind, name, count in (
        ("woocommerce", "sample_products.csv", 13),
        ("shopify", "packt_products.csv", 1),
    ):
        path = SAMPLES / kind / name
        if not path.is_file():
            pytest.skip(f"the sample {path} is missing")
        made = new_shop(root, kind)
        answer = root.post(
            f"{made.control}/seed", content=path.read_bytes(), headers={"content-type": "text/csv"}
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["products"] >= count
        assert all(one["variants"] for one in made.see("products")["items"])
    refused = root.post(f"{made.control}/seed", content=b"a,b\n1,2", headers={"content-type": "text/csv"})
    assert refused.status_code == 400


def webhook(shop: TheShop, receiver: Receiver, topic: str) -> dict[str, Any]:
    body = {"topic": topic, "delivery_url": receiver.url, "secret": SECRET}
    answer = call(shop, "webhooks", method="POST", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    until(lambda: receiver.caught, what="the ping")
    assert receiver.caught.pop(0).body == f"webhook_id={made['id']}".encode()
    return made


def test_a_changed_stock_is_a_changed_product(shop: TheShop, receiver: Receiver) -> None:
    webhook(shop, receiver, "product.updated")
    variant = shop.see("products")["items"][0]["variants"][0]
    shop.do("stock", variant_id=variant["id"], available=0)
    until(lambda: len(receiver.caught) == 2, what="two webhooks")
    bodies = {json.loads(one.body)["type"]: json.loads(one.body) for one in receiver.caught}
    assert (bodies["variation"]["stock_quantity"], bodies["variation"]["stock_status"]) == (0, "outofstock")
    assert bodies["variable"]["id"] == bodies["variation"]["parent_id"]
    for one in receiver.caught:
        wanted = base64.b64encode(hmac.new(SECRET.encode(), one.body, sha256).digest()).decode()
        assert one.headers["x-wc-webhook-signature"] == wanted
        assert one.headers["x-wc-webhook-topic"] == "product.updated"
        assert one.headers["x-wc-webhook-source"] == f"https://{shop.made['host']}/"


def test_orders_and_refunds(shop: TheShop) -> None:
    variant = shop.see("products")["items"][0]["variants"][0]
    order = shop.do("orders", lines=[{"variant_id": variant["id"], "quantity": 2}])["order"]
    seen = call(shop, f"orders/{order['id']}").json()
    assert (seen["status"], seen["total"], seen["line_items"][0]["variation_id"]) == (
        "processing",
        "22.00",
        variant["id"],
    )
    shop.do(f"orders/{order['id']}/refund", lines={order["lines"][0]["id"]: 1})
    refunds = call(shop, f"orders/{order['id']}/refunds").json()
    assert (refunds[0]["amount"], refunds[0]["line_items"][0]["quantity"]) == ("11.00", -1)
    shop.do(f"orders/{order['id']}/cancel")
    assert [one["status"] for one in call(shop, "orders", params={"status": "cancelled"}).json()] == [
        "cancelled"
    ]


def test_too_many_failures_in_a_row_disable_a_webhook(shop: TheShop, receiver: Receiver) -> None:
    made = webhook(shop, receiver, "product.created")
    receiver.always = 500
    product = {"title": "Mug", "variants": [{"price": "3.00"}]}
    for number in range(1, 8):
        shop.do("products", **product)
        until(lambda number=number: len(receiver.caught) == number, what="a webhook")
    until(lambda: call(shop, f"webhooks/{made['id']}").json()["status"] == "disabled", what="the end")
    shop.do("products", **product)
    assert len(shop.see("hooks", topic="product.created")["hooks"]) == 7
    assert call(shop, f"webhooks/{made['id']}", method="DELETE").status_code == 501
    assert call(shop, f"webhooks/{made['id']}", method="DELETE", params={"force": "true"}).status_code == 200
    assert call(shop, "webhooks").json() == []
