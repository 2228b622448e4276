"""pixel.js in Chromium, on the pages of a storefront."""

from typing import Any

from tests.browser.conftest import Storefront, Till, kept, until


async def first_product(page: Any, shop: Storefront, query: str = "") -> None:
    await page.goto(f"{shop.url}/{query}")
    await page.click("ul.goods a")
    await page.wait_for_url("**/products/*")
    await page.wait_for_function("window.vitrin.loaded")


async def test_nothing_leaves_or_is_kept_before_the_choice_and_all_of_it_after(
    page: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till)
    await first_product(page, storefront)
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert till.bodies == []
    assert await kept(page) == []
    await page.click("#allow")
    (view,) = await till.wait("view_item")
    (seen,) = await till.wait("page_view")
    assert view["visitor_id"] == seen["visitor_id"] != ""
    assert view["consent"] == {"analytics": "granted", "ads": "granted"}
    assert view["consent_proof"].startswith("site 20")
    assert view["items"][0]["item_id"].removeprefix("variant:").isdecimal()
    assert set(await kept(page)) >= {"_vt_id", "_vt_choice", "_vt_seen"}
    assert till.keys == {"pk_test_p"}


async def test_who_refuses_is_not_followed(page: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till)
    await first_product(page, storefront)
    await page.click("#refuse")
    await page.goto(f"{storefront.url}/cart")
    await page.wait_for_function("window.vitrin.loaded")
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert till.bodies == []
    assert [one for one in await kept(page) if one != "_vt_choice"] == []


async def test_a_choice_holds_on_the_next_page_and_can_be_taken_back(
    page: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till)
    await first_product(page, storefront)
    await page.click("#allow")
    (view,) = await till.wait("view_item")
    await page.goto(f"{storefront.url}/")
    (listed,) = await till.wait("view_collection")
    assert listed["visitor_id"] == view["visitor_id"]
    assert listed["session_id"] == view["session_id"]
    await page.evaluate("() => vitrin('consent', {analytics: false, ads: false})")
    count = len(till.bodies)
    await page.evaluate("() => vitrin('track', 'custom', {})")
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert len(till.bodies) == count
    assert [one for one in await kept(page) if one != "_vt_choice"] == []


async def test_measured_only_means_no_click_ids_and_no_person(
    page: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till)
    await first_product(page, storefront, "?fbclid=abc123&utm_source=mail")
    await page.evaluate("() => vitrin('identify', {email: 'ada@example.com', customer_id: 7})")
    await page.click("#measure")
    (view,) = await till.wait("view_item")
    assert view["consent"]["ads"] == "denied"
    assert "click_ids" not in view
    assert "user" not in view


async def test_global_privacy_control_wins_over_a_click_on_allow(
    context: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till)
    await context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    page = await context.new_page()
    await first_product(page, storefront)
    await page.click("#allow")
    (view,) = await till.wait("view_item")
    assert (view["consent"], view["gpc"]) == ({"analytics": "granted", "ads": "denied"}, True)


async def test_a_tcf_tool_that_comes_late_is_asked(context: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till)
    await context.add_init_script(
        """setTimeout(() => { window.__tcfapi = (command, version, callback) => callback({
             gdprApplies: true, eventStatus: 'useractioncomplete', tcString: 'CTCSTRING',
             purpose: {consents: {1: true, 3: true, 4: false, 7: true}}}, true) }, 800)"""
    )
    page = await context.new_page()
    await first_product(page, storefront)
    (view,) = await till.wait("view_item")
    assert view["consent"] == {"analytics": "granted", "ads": "denied"}
    assert view["consent_proof"].endswith("CTCSTRING")


async def test_a_walk_from_an_ad_to_the_order(page: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till, consent="granted")
    before = storefront.orders()
    await first_product(page, storefront, "?fbclid=abc123&utm_source=meta&utm_campaign=autumn")
    await page.click("#add")
    await page.click("#checkout")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=first_name]", "Ada")
    await page.fill("[name=last_name]", "</script><b>")
    await page.click("#buy")
    (bought,) = await till.wait("purchase")
    for name in ("view_collection", "view_item", "add_to_cart", "begin_checkout"):
        (one,) = await till.wait(name)
        assert one["visitor_id"] == bought["visitor_id"]
        assert one["click_ids"]["fbclid"] == "abc123", "the first page's click id belongs to the whole visit"
        assert one["click_ids"]["fbc"].startswith("fb.1.")
        assert one["utm"] == {"source": "meta", "campaign": "autumn"}
    assert storefront.orders() == before + 1
    assert bought["event_id"] == f"purchase:{bought['order_id']}"
    assert bought["user"] == {"email": "ada@example.com", "first_name": "Ada", "last_name": "</script><b>"}
    await page.reload()
    await till.wait("page_view", 6)
    assert len(till.named("purchase")) == 1, "a reloaded page has not bought again"


async def test_a_page_left_at_once_still_tells(page: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till, consent="granted")
    await first_product(page, storefront)
    sent = await page.evaluate(
        "() => { const id = vitrin('track', 'custom', {}); location.href = 'about:blank'; return id }"
    )
    await until(lambda: sent in till.events, "the last event of the page")


async def test_what_could_not_be_sent_is_sent_by_the_next_page(
    context: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till, consent="granted")
    till.refusals = [503] * 100
    page = await context.new_page()
    await first_product(page, storefront)
    await until(lambda: till.refused >= 1, "a first try")
    await page.close()
    till.refusals.clear()
    again = await context.new_page()
    await again.goto(f"{storefront.url}/cart")
    (view,) = await till.wait("view_item")
    (listed,) = await till.wait("view_collection")
    assert listed["visitor_id"] == view["visitor_id"]
    assert len(await till.wait("page_view", 3)) == 3


async def test_a_refusal_that_passes_is_tried_again(page: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till, consent="granted")
    till.refusals = [503, 429]
    await first_product(page, storefront)
    await till.wait("view_item")
    assert till.refused == 2


async def test_a_wrong_key_ends_the_tries(page: Any, storefront: Storefront, till: Till) -> None:
    storefront.pixel(till, consent="granted")
    till.refusals = [401] * 100
    await page.goto(f"{storefront.url}/cart")
    await until(lambda: till.refused >= 1, "a first try")
    await page.evaluate("() => { for (let i = 0; i < 5; i++) vitrin('track', 'custom', {}) }")
    await page.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert till.refused == 1


async def test_pages_of_a_single_page_shop_are_seen_once_each(
    page: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till, consent="granted")
    await page.goto(f"{storefront.url}/")
    await till.wait("page_view", 1)
    await page.evaluate(
        "() => { history.pushState({}, '', '?page=2'); history.replaceState({}, '', '?page=2') }"
    )
    await till.wait("page_view", 2)
    await page.evaluate("() => history.pushState({}, '', '?page=2#below')")
    await page.go_back()
    await page.go_back()
    third = (await till.wait("page_view", 3))[-1]
    assert third["url"] == f"{storefront.url}/"
    assert third["referrer"].endswith("?page=2")


async def test_many_events_go_in_parts_that_a_browser_takes(
    page: Any, storefront: Storefront, till: Till
) -> None:
    storefront.pixel(till, consent="granted")
    await page.goto(f"{storefront.url}/cart")
    await page.wait_for_function("window.vitrin.loaded")
    ids = await page.evaluate(
        "() => [...Array(60).keys()].map(i => vitrin('track', 'custom', {note: 'x'.repeat(3000) + i}))"
    )
    await until(lambda: set(ids) <= set(till.events), "all sixty")
    assert max(len(body["events"]) for body in till.bodies) <= 25
