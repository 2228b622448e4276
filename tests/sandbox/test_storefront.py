"""A stand-in shop's storefront without a browser: its purchase is an order of the shop, and what a shopper types stays
text."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.sandbox import running_sandbox

HOST = "front.myshopify.com"
ROOT = f"/storefront/shopify/{HOST}"


@pytest.fixture(scope="module")
def shopper() -> Iterator[httpx.Client]:
    with running_sandbox(quota=False) as url, httpx.Client(base_url=url, follow_redirects=True) as http:
        body = {"kind": "shopify", "host": HOST, "seed": {"products": 2}}
        assert http.post("/_sandbox/shops", json=body).status_code == 201
        yield http


def test_a_purchase_is_an_order_of_the_shop(shopper: httpx.Client) -> None:
    product = shopper.get(f"{ROOT}/products/product-1")
    variant = product.text.split('<option value="')[1].split('"')[0]
    assert "Remove" in shopper.post(f"{ROOT}/cart/add", data={"variant": variant}).text
    person = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron"}
    assert "is placed" in shopper.post(f"{ROOT}/checkout", data=person).text
    assert shopper.get(f"/_sandbox/shops/shopify/{HOST}").json()["orders"] == 1
    assert "is empty" in shopper.get(f"{ROOT}/cart").text


def test_words_of_a_shopper_stay_words(shopper: httpx.Client) -> None:
    pixel = {"endpoint": "http://127.0.0.1:1", "key": "vk_test_x"}
    assert shopper.put(f"/_sandbox/shops/shopify/{HOST}/storefront", json=pixel).status_code == 200
    page = shopper.get(f"{ROOT}/search", params={"q": "</script><script>alert(1)</script>"}).text
    assert "alert(1)</script>" not in page


@pytest.mark.parametrize(
    "pixel", [{"endpoint": 'http://x"onload='}, {"key": "a b"}, {"consent": "maybe"}, {"x": 1}]
)
def test_a_pixel_that_is_none_is_refused(shopper: httpx.Client, pixel: dict[str, object]) -> None:
    answer = shopper.put(f"/_sandbox/shops/shopify/{HOST}/storefront", json=pixel)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] in pixel


def test_an_unknown_shop_has_no_pages(shopper: httpx.Client) -> None:
    assert shopper.get("/storefront/shopify/nobody.myshopify.com/").status_code == 404
