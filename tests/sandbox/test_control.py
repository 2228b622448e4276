"""Faults, log, state, page and metrics: the sandbox's own side."""

from datetime import UTC, datetime, timedelta

import httpx

from tests.sandbox.conftest import BATCH, PlatformAccount, create, fault, retail, total
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.wire import Call
from vitrin.sandbox.world import build_world


def test_ready_accounts(sandbox: httpx.Client, sandbox_url: str) -> None:
    accounts = sandbox.get("/_sandbox/accounts").json()
    assert {name: sorted(one["external_ids"]) for name, one in accounts.items()} == {
        "meta": ["ad_account_id", "app_id", "business_id", "catalog_id", "pixel_id"],
        "pinterest": ["ad_account_id", "catalog_id", "tag_id", "user_id"],
    }
    assert accounts["meta"]["base_url"] == f"{sandbox_url}/graph.facebook.com/v26.0"
    assert accounts["pinterest"]["base_url"] == f"{sandbox_url}/api.pinterest.com/v5"
    again = sandbox.get("/_sandbox/accounts", params={"all": 1}).json()
    assert again["meta"][0] == accounts["meta"]


def test_log_names_the_work_and_no_token(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    meta.batch(*[create(f"sku-{number}") for number in range(60)], {"method": "DELETE", "data": {"id": "x"}})
    httpx.get(f"{meta.url}/{meta.catalog_id}", params={"access_token": meta.token, "fields": "id"})
    page = sandbox.get("/_sandbox/log", params={"platform": "meta", "limit": 1}).json()
    (entry,) = page["entries"]
    assert (entry["method"], entry["status"], entry["outcome"]) == ("POST", 200, "ok")
    assert entry["account"] == meta.ids["business_id"]
    assert (entry["item_count"], entry["operations"]) == (61, {"CREATE": 60, "DELETE": 1})
    assert (entry["endpoint"], entry["accepted_count"], entry["injected"]) == ("send", 61, [])
    assert entry["item_ids"] == [f"sku-{number}" for number in range(50)]
    rest = sandbox.get("/_sandbox/log", params={"since": page["next_since"]}).json()
    assert [one["query"] for one in rest["entries"]] == [{"fields": "id"}]
    assert meta.token not in sandbox.get("/_sandbox/log").text
    assert sandbox.get("/_sandbox/log", params={"since": "yesterday"}).status_code == 400
    named = sandbox.get("/_sandbox/log", params={"item_id": "sku-7"}).json()["entries"]
    assert [one["seq"] for one in named] == [entry["seq"]]
    assert sandbox.get("/_sandbox/log", params={"item_id": "sku-99"}).json()["entries"] == []


def test_state_tells_when_each_field_changed() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    moments = [now]
    settings = SandboxSettings(quota=False, batch_latency_ms=500)
    world = build_world(settings, clock=lambda: moments[0])
    account = world.accounts.by_platform["meta"][0]
    catalog_id = account.catalog_ids[0]

    def send(body: bytes) -> int:
        call = Call(
            method="POST",
            path=f"/v26.0/{catalog_id}/items_batch",
            query={"access_token": account.access_token},
            headers={},
            body=body,
            body_bytes=len(body),
            form=None,
            base_url="http://sandbox",
            received_ms=world.now_ms(),
        )
        return world.platforms["meta"].handle(call).status

    first = (
        b'{"item_type":"PRODUCT_ITEM","requests":[{"method":"CREATE","data":{"id":"a","title":"T","description":"D",'
        b'"availability":"in stock","condition":"new","price":"1.00 USD","link":"https://s.example","brand":"B",'
        b'"image_link":"https://s.example/i.jpg"}}]}'
    )
    second = (
        b'{"item_type":"PRODUCT_ITEM","requests":[{"method":"UPDATE","data":{"id":"a","price":"2.00 USD"}}]}'
    )
    assert send(first) == 200
    world.settle()
    assert len(world.platforms["meta"].catalogs[catalog_id]) == 0
    moments[0] = now + timedelta(seconds=10)
    assert send(second) == 200
    moments[0] = now + timedelta(seconds=20)
    world.settle()
    stored = world.platforms["meta"].catalogs[catalog_id].get("a")
    assert stored is not None
    times = stored.field_times_ms()
    start = int(now.timestamp() * 1000)
    assert (times["title"], times["price"], stored.updated_ms) == (
        start + 500,
        start + 10_500,
        start + 10_500,
    )


def test_state_is_paged_and_counts_follow(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    meta.batch(create("a", sale_price="9.00 USD"), create("b", availability="out of stock"), create("c"))
    meta.batch({"method": "UPDATE", "data": {"id": "a", "sale_price": "", "availability": "preorder"}})
    meta.batch({"method": "DELETE", "data": {"id": "c"}})
    url = f"/_sandbox/state/meta/{meta.catalog_id}"
    page = sandbox.get(url, params={"offset": 1, "limit": 1}).json()
    assert (page["total"], [one["item_id"] for one in page["items"]]) == (2, ["b"])
    assert page["items"][0]["changed_at"].keys() == page["items"][0]["fields"].keys()
    one = sandbox.get(f"{url}/a").json()
    assert one["fields"]["availability"] == "preorder"
    assert one["changed_at"]["availability"] == one["updated_at"]
    summary = sandbox.get("/_sandbox/state").json()
    (catalog,) = [
        catalog
        for platform in summary["platforms"]
        for account in platform["accounts"]
        for catalog in account["catalogs"]
        if catalog["catalog_id"] == meta.catalog_id
    ]
    assert (catalog["items"], catalog["with_image"], catalog["on_sale"]) == (2, 2, 0)
    assert catalog["availability"] == {"out of stock": 1, "preorder": 1}
    assert sandbox.get("/_sandbox/state/meta/1").status_code == 404
    assert sandbox.get(f"{url}/c").status_code == 404


def test_drift_is_silent(sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount) -> None:
    meta.batch(create("a"))
    pinterest.http.post(BATCH, json=retail("a"))
    for platform, account in (("meta", meta), ("pinterest", pinterest)):
        command = {"platform": platform, "catalog_id": account.catalog_id, "item_id": "a"}
        drift = sandbox.post(
            "/_sandbox/drift", json={**command, "fields": {"price": "9.00 USD", "brand": None}}
        )
        assert drift.json() == {"changed": True}
        item = sandbox.get(f"/_sandbox/state/{platform}/{account.catalog_id}/a").json()
        assert (item["fields"]["price"], "brand" in item["fields"]) == ("9.00 USD", False)
        gone = sandbox.post("/_sandbox/drift", json={**command, "fields": None})
        assert gone.json() == {"changed": True}
        assert total(sandbox, platform, account) == 0
        assert sandbox.post("/_sandbox/drift", json={**command, "fields": {}}).status_code == 404


def test_reset_empties_and_restores(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    meta.batch(create("a"))
    fault(sandbox, kind="refuse", error="auth", count=None)
    command = {"platform": "meta", "access_token": meta.token, "state": "expired"}
    sandbox.post("/_sandbox/tokens", json=command).raise_for_status()
    assert sandbox.post("/_sandbox/reset").json() == {"reset": True}
    assert sandbox.get("/_sandbox/log").json()["entries"] == []
    assert meta.products() == {"data": []}


def test_page_shows_and_escapes(sandbox: httpx.Client) -> None:
    accounts = sandbox.get("/_sandbox/accounts").json()
    meta, pinterest = accounts["meta"], accounts["pinterest"]
    evil = '<script>alert("x")</script>'
    body = {"item_type": "PRODUCT_ITEM", "requests": [create("sku-<b>", title=evil)]}
    catalog = f"{meta['base_url']}/{meta['external_ids']['catalog_id']}"
    httpx.post(
        f"{catalog}/items_batch", json=body, headers={"Authorization": f"Bearer {meta['access_token']}"}
    )
    headers = {"Authorization": f"Bearer {pinterest['access_token']}"}
    httpx.post(f"{pinterest['base_url']}{BATCH}", json=retail("p<i>", title=evil), headers=headers)
    httpx.get(f"{meta['base_url']}/<script>")
    fault(sandbox, kind="slow", path="<img>")
    for path in ("/", "/_sandbox/page"):
        page = sandbox.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "alert(" in page.text
        assert evil not in page.text
        assert page.text.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") == 2
        for raw in ("sku-<b>", "p<i>", "<img>", "/<script>"):
            assert raw not in page.text
        assert pinterest["access_token"] not in page.text
    assert "src=" not in sandbox.get("/").text


def test_probes_and_metrics(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    assert sandbox.get("/livez").json() == sandbox.get("/readyz").json() == {"status": "ok"}
    before = _sample(sandbox, 'vitrin_sandbox_requests_total{outcome="ok",platform="meta"}')
    meta.batch(create("a"), create("b"))
    assert _sample(sandbox, 'vitrin_sandbox_requests_total{outcome="ok",platform="meta"}') == before + 1
    assert _sample(sandbox, 'vitrin_sandbox_items{platform="meta"}') == 2


def _sample(sandbox: httpx.Client, name: str) -> float:
    for line in sandbox.get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_seeded_catalog_held_its_items_before(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    calls = len(sandbox.get("/_sandbox/log").json()["entries"])
    path = f"/_sandbox/state/meta/{meta.catalog_id}"
    items = [{"item_id": "old-1", "fields": {"gtin": "96385074"}}, {"item_id": "old-2"}]
    assert sandbox.post(path, json={"items": items}).json() == {"total": 2}
    shown = {one["item_id"]: one["fields"] for one in sandbox.get(path).json()["items"]}
    assert (shown["old-1"]["gtin"], shown["old-2"]["title"]) == ("96385074", "Held before")
    assert len(sandbox.get("/_sandbox/log").json()["entries"]) == calls
    refused = sandbox.post(path, json={"items": []})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "items")
    assert sandbox.post("/_sandbox/state/meta/1", json={"items": items}).status_code == 404
