"""The custom pixel in a frame like Shopify's: no origin, no page, only what it is told."""

from typing import Any

import pytest

from tests.browser.conftest import PIXEL, Storefront, Till


@pytest.fixture
def code(till: Till) -> str:
    source = (PIXEL / "src/shopify.js").read_text(encoding="utf-8")
    assert "vk_live_..." in source
    return source.replace("vk_live_...", "vk_test_p").replace("https://events.example.com", till.url)


async def buy(page: Any, shop: Storefront, query: str = "") -> None:
    await page.goto(f"{shop.url}/{query}")
    await page.click("ul.goods a")
    await page.click("#add")
    await page.click("#checkout")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=first_name]", "Ada")
    await page.fill("[name=last_name]", "Byron")
    await page.click("#buy")


async def test_a_walk_to_the_order(context: Any, storefront: Storefront, till: Till, code: str) -> None:
    storefront.pixel(till, custom=code)
    await context.add_cookies([{"name": "choice", "value": "ma", "url": storefront.sandbox}])
    page = await context.new_page()
    await buy(page, storefront)
    (bought,) = await till.wait("purchase")
    assert bought["event_id"] == f"purchase:{bought['order_id']}"
    assert bought["person"] == {"email": "ada@example.com"}
    assert bought["items"][0]["shop_variant_id"].isdecimal()
    assert bought["consent"] == bought["consent"] | {"measurement": True, "ads": True, "source": "shop"}
    visitors = {one["visitor_id"] for one in till.events.values()}
    assert visitors == {bought["visitor_id"]}
    for name in ("page_view", "view_collection", "view_item", "begin_checkout"):
        assert till.named(name), name


async def test_it_waits_for_the_choice(context: Any, storefront: Storefront, till: Till, code: str) -> None:
    storefront.pixel(till, custom=code)
    page = await context.new_page()
    await page.goto(f"{storefront.url}/")
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert till.bodies == []
    consent = "{analyticsProcessingAllowed: true, marketingAllowed: false, saleOfDataAllowed: false}"
    await page.evaluate(f"() => window.shopConsent({consent})")
    (seen,) = await till.wait("page_view")
    assert (seen["consent"]["measurement"], seen["consent"]["ads"]) == (True, False)


async def test_who_refuses_is_not_followed(
    context: Any, storefront: Storefront, till: Till, code: str
) -> None:
    storefront.pixel(till, custom=code)
    await context.add_cookies([{"name": "choice", "value": "", "url": storefront.sandbox}])
    page = await context.new_page()
    await page.goto(f"{storefront.url}/")
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert till.bodies == []
    assert "_vt_id" not in await page.evaluate("() => document.cookie")
