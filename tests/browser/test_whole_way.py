"""From a click in a real browser to the row: the shop's page, the pixel, the collector, the catalog's item."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import PIXEL
from tests.e2e.system import Brand, System, equal, until

HOST = "clicks.myshopify.com"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(tmp_path_factory.mktemp("whole-way"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    """Its shop is connected and loaded."""
    made = system.new_brand(connected=False)
    body = {"kind": "shopify", "host": HOST, "seed": {"products": 3}}
    assert system.http["sandbox"].post("/_sandbox/shops", json=body).status_code == 201
    asked = {"platform": "shopify", "mode": "sandbox", "external_ids": {"shop": HOST}}
    started = made.ok("accounts", "POST", "/v1/connections:authorize", json=asked)
    accounts = system.http["accounts"]
    screen = accounts.get(started["authorize_url"])  # the browser is marked here
    back = system.http["sandbox"].post(screen.headers["location"], data={"decision": "approve"})
    assert accounts.get(back.headers["location"]).is_success
    until(lambda: len(made.catalog()), equal(3))
    return made


async def walk(browser: Any, system: System, *, choice: str | None) -> None:
    context = await browser.new_context()
    front = f"{system.http['sandbox'].base_url}/storefront/shopify/{HOST}/"
    if choice is not None:
        await context.add_cookies([{"name": "choice", "value": choice, "url": front}])
    page = await context.new_page()
    await page.goto(front)
    if choice is None:
        await page.click("#allow")
    await page.wait_for_timeout(600)
    await page.click("ul.goods a")
    await page.wait_for_timeout(600)
    await page.click("#add")
    await page.click("#checkout")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=first_name]", "Ada")
    await page.fill("[name=last_name]", "Byron")
    await page.click("#buy")
    await page.wait_for_timeout(600)
    await page.close()
    await context.close()


def stored(brand: Brand, visitor: str | None = None) -> list[Any]:
    found: list[Any] = brand.ok("retargeting", "GET", "/v1/events", params={"limit": 500})["data"]
    return [one for one in found if visitor in (None, one["visitor_id"])]


@pytest.mark.parametrize("way", ["page", "custom pixel"])
async def test_a_click_becomes_a_row(browser: Any, system: System, brand: Brand, way: str) -> None:
    before = len(stored(brand))
    key = brand.new_key(kind="publishable")["key"]
    collector, sandbox = (str(system.http[name].base_url).rstrip("/") for name in ("retargeting", "sandbox"))
    brand.ok(
        "retargeting", "PUT", "/v1/event_sources", json={"data": [{"origin": sandbox}, {"origin": "null"}]}
    )
    pixel = {"endpoint": collector, "key": key}
    if way == "custom pixel":
        code = (PIXEL / "src/shopify.js").read_text(encoding="utf-8")
        code = code.replace("pk_live_...", key).replace("https://events.example.com", collector)
        pixel = {"custom_pixel": code}
    path = f"/_sandbox/shops/shopify/{HOST}/storefront"
    assert system.http["sandbox"].put(path, json=pixel).status_code == 200
    assert system.http["retargeting"].get("/pixel.js").headers["content-type"].startswith("text/javascript")
    await walk(browser, system, choice=None if way == "page" else "ma")
    names = until(
        lambda: sorted(one["name"] for one in stored(brand)[: len(stored(brand)) - before]),
        lambda seen: "purchase" in seen and "view_item" in seen,
    )
    assert {"page_view", "view_collection", "view_item", "begin_checkout", "purchase"} <= set(names)
    bought = next(one for one in stored(brand) if one["name"] == "purchase")
    assert bought["items"][0]["item_id"] in brand.catalog(), "by the shop's variant to the item"
    assert bought["consents"] == {"ads": True, "analytics": True}
    assert "ada@example.com" not in str(bought)
