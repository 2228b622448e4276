"""The custom pixel in a frame like Shopify's: no origin, no page, only what it is told."""

from typing import Any

import pytest

from tests.browser.conftest import PIXEL, Storefront, Till


@pytest.fixture
def code(till: Till) -> str:
    source = (PIXEL / "src/shopify.js").read_text(encoding="utf-8")
    assert "pk_live_..." in source
    return source.replace("pk_live_...", "pk_test_p").replace("https://events.example.com", till.url)


async def buy(page: Any, shop: Storefront, till: Till) -> None:
    """Nobody clicks as fast as a script: a page that is left before its frame knows the visitor tells nothing."""
    await page.goto(f"{shop.url}/")
    await till.wait("view_collection")
    await page.click("ul.goods a")
    await till.wait("view_item")
    await page.click("#add")
    await page.click("#checkout")
    await till.wait("begin_checkout")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=first_name]", "Ada")
    await page.fill("[name=last_name]", "Byron")
    await page.click("#buy")


async def test_a_walk_to_the_order(context: Any, storefront: Storefront, till: Till, code: str) -> None:
    storefront.pixel(till, custom=code)
    await context.add_cookies([{"name": "choice", "value": "ma", "url": storefront.sandbox}])
    page = await context.new_page()
    await buy(page, storefront, till)
    (bought,) = await till.wait("purchase")
    assert bought["event_id"] == f"purchase:{bought['order_id']}"
    assert bought["user"] == {"email": "ada@example.com"}
    assert bought["items"][0]["item_id"].removeprefix("variant:").isdecimal()
    assert bought["consent"] == {"analytics": "granted", "ads": "granted"}
    assert bought["consent_proof"].startswith("shop ")
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
    assert seen["consent"] == {"analytics": "granted", "ads": "denied"}


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
