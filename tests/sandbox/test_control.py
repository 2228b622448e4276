"""Faults, log, state, page and metrics: the sandbox's own side."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.sandbox.conftest import PlatformAccount, meta_item, pinterest_item
from vitrin.sandbox.faults import FaultBook, FaultKind, FaultSpec
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.wire import Call
from vitrin.sandbox.world import build_world

BATCH = "/catalogs/items/batch"


def create(item_id: str, **changes: Any) -> dict[str, Any]:
    return {"method": "CREATE", "data": meta_item(item_id, **changes)}


def retail(item_id: str, **changes: Any) -> dict[str, Any]:
    item = {"operation": "UPSERT", "item_id": item_id, "attributes": pinterest_item(**changes)}
    return {"catalog_type": "RETAIL", "country": "US", "language": "EN", "items": [item]}


def fault(sandbox: httpx.Client, **spec: Any) -> dict[str, Any]:
    answer = sandbox.post("/_sandbox/faults", json=spec)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def total(sandbox: httpx.Client, platform: str, account: PlatformAccount) -> int:
    found: int = sandbox.get(f"/_sandbox/state/{platform}/{account.catalog_id}").json()["total"]
    return found


def test_ready_accounts(sandbox: httpx.Client, sandbox_url: str) -> None:
    accounts = sandbox.get("/_sandbox/accounts").json()
    assert {name: sorted(one["external_ids"]) for name, one in accounts.items()} == {
        "meta": ["app_id", "business_id", "catalog_id"],
        "pinterest": ["ad_account_id", "catalog_id", "user_id"],
    }
    assert accounts["meta"]["base_url"] == f"{sandbox_url}/graph.facebook.com/v26.0"
    assert accounts["pinterest"]["base_url"] == f"{sandbox_url}/api.pinterest.com/v5"
    again = sandbox.get("/_sandbox/accounts", params={"all": 1}).json()
    assert again["meta"][0] == accounts["meta"]


def test_named_refusals_count_down(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    made = fault(
        sandbox, kind="refuse", platform="meta", method="POST", path="items_batch$", error="throttle", count=2
    )
    answers = [meta.batch(create("a")) for _ in range(3)]
    assert [one.status_code for one in answers] == [400, 400, 200]
    assert answers[0].json()["error"]["code"] == 80014
    business = meta.ids["business_id"]
    usage = answers[0].headers["x-business-use-case-usage"]
    assert usage.startswith(f'{{"{business}":')
    assert '"estimated_time_to_regain_access":1' in usage
    (seen,) = sandbox.get("/_sandbox/faults").json()["faults"]
    assert (seen["id"], seen["hits"], seen["spent"]) == (made["id"], 2, True)


@pytest.mark.parametrize(
    ("platform", "error", "status", "code"),
    [
        ("meta", "transient", 500, 2),
        ("meta", "auth", 401, 190),
        ("meta", "reduce_data", 500, 1),
        ("pinterest", "throttle", 429, 8),
        ("pinterest", "transient", 503, 4197),
        ("pinterest", "auth", 401, 2),
    ],
)
def test_each_platform_has_its_own_errors(
    *,
    sandbox: httpx.Client,
    meta: PlatformAccount,
    pinterest: PlatformAccount,
    platform: str,
    error: str,
    status: int,
    code: int,
) -> None:
    fault(sandbox, kind="refuse", platform=platform, error=error)
    answer = meta.batch(create("a")) if platform == "meta" else pinterest.http.post(BATCH, json=retail("a"))
    body = answer.json()
    assert (answer.status_code, body.get("error", body)["code"]) == (status, code)
    assert total(sandbox, platform, meta if platform == "meta" else pinterest) == 0


def test_given_refusal(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="refuse", status=502, body={"oops": True})
    answer = meta.batch(create("a"))
    assert (answer.status_code, answer.json()) == (502, {"oops": True})


@pytest.mark.parametrize(("kind", "arrived"), [("timeout_before", 0), ("timeout_after", 1)])
@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_time_outs_before_and_after_the_work(
    *,
    sandbox: httpx.Client,
    meta: PlatformAccount,
    pinterest: PlatformAccount,
    platform: str,
    kind: str,
    arrived: int,
) -> None:
    fault(sandbox, kind=kind, platform=platform, method="POST", hold_ms=1)
    send = partial(meta.batch, create("a"))
    if platform == "pinterest":
        send = partial(pinterest.http.post, BATCH, json=retail("a"))
    with pytest.raises(httpx.RemoteProtocolError):
        send()
    assert total(sandbox, platform, meta if platform == "meta" else pinterest) == arrived
    entry = sandbox.get("/_sandbox/log").json()["entries"][-1]
    assert (entry["status"], entry["outcome"], entry["fault"].partition(":")[2]) == (None, "dropped", kind)
    assert entry["item_count"] == arrived


def test_a_client_that_gives_up_frees_the_connection(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="timeout_after", hold_ms=600_000)
    with pytest.raises(httpx.ReadTimeout):
        meta.http.get(f"/{meta.catalog_id}", timeout=0.2)
    assert meta.http.get(f"/{meta.catalog_id}").status_code == 200


def test_slow_answers_late_but_right(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="slow", delay_ms=200)
    assert len(meta.batch(create("a")).json()["handles"]) == 1
    entry = sandbox.get("/_sandbox/log").json()["entries"][-1]
    # The loop's timers may fire up to a tick early; an answer without the delay takes a few milliseconds.
    assert entry["duration_ms"] >= 100


def test_faults_can_be_cleared(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    one = fault(sandbox, kind="refuse", error="auth", platform="meta", count=None)
    assert sandbox.delete(f"/_sandbox/faults/{one['id']}").json() == {"removed": 1}
    assert sandbox.delete(f"/_sandbox/faults/{one['id']}").status_code == 404
    fault(sandbox, kind="refuse", error="auth", count=None)
    assert sandbox.delete("/_sandbox/faults").json() == {"removed": 1}
    assert meta.batch(create("a")).status_code == 200


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "refuse"}, None),
        ({"kind": "refuse", "platform": "meta", "error": "hiccup"}, "error"),
        ({"kind": "slow", "path": "["}, "path"),
        ({"kind": "slow", "platform": "myspace"}, "platform"),
        ({"kind": "slow", "times": 3}, "times"),
    ],
)
def test_a_wrong_fault_is_refused(sandbox: httpx.Client, spec: dict[str, Any], field: str | None) -> None:
    answer = sandbox.post("/_sandbox/faults", json=spec)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
    assert sandbox.get("/_sandbox/faults").json() == {"faults": []}


def test_chance_repeats_with_its_seed() -> None:
    def hits(seed: int) -> list[bool]:
        book = FaultBook(faults_max=1)
        book.add(FaultSpec(kind=FaultKind.SLOW, probability=0.5, seed=seed, count=None))
        return [book.match(platform="meta", method="GET", path="/") is not None for _ in range(64)]

    assert hits(7) == hits(7)
    assert hits(7) != hits(8)
    assert 10 < sum(hits(7)) < 54
    with pytest.raises(ValidationError):
        FaultSpec(kind=FaultKind.SLOW, probability=0)


def test_log_names_the_work_and_no_token(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    meta.batch(*[create(f"sku-{number}") for number in range(60)], {"method": "DELETE", "data": {"id": "x"}})
    httpx.get(f"{meta.url}/{meta.catalog_id}", params={"access_token": meta.token, "fields": "id"})
    page = sandbox.get("/_sandbox/log", params={"platform": "meta", "limit": 1}).json()
    (entry,) = page["entries"]
    assert (entry["method"], entry["status"], entry["outcome"]) == ("POST", 200, "ok")
    assert entry["account"] == meta.ids["business_id"]
    assert (entry["item_count"], entry["operations"]) == (61, {"CREATE": 60, "DELETE": 1})
    assert entry["item_ids"] == [f"sku-{number}" for number in range(50)]
    rest = sandbox.get("/_sandbox/log", params={"since": page["next_since"]}).json()
    assert [one["query"] for one in rest["entries"]] == [{"fields": "id"}]
    assert meta.token not in sandbox.get("/_sandbox/log").text
    assert sandbox.get("/_sandbox/log", params={"since": "yesterday"}).status_code == 400


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
