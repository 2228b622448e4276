"""Faults of whole calls on real sockets: refusals, throttles, outages, time-outs, spoiled answers, delays."""

import json
from functools import partial
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import BATCH, PlatformAccount, create, fault, last_entry, retail, total


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
        ("meta", "unavailable", 503, 2),
        ("meta", "auth", 401, 190),
        ("meta", "permission_app", 403, 10),
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
    answer = meta.batch(create("a")) if platform == "meta" else pinterest.pin_batch("a")
    body = answer.json()
    assert (answer.status_code, body.get("error", body)["code"]) == (status, code)
    assert total(sandbox, platform, meta if platform == "meta" else pinterest) == 0
    entry = last_entry(sandbox)
    assert (entry["item_ids"], entry["accepted_count"], entry["operations"]) == (["a"], 0, {})


def test_given_refusal(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="refuse", status=502, body={"oops": True})
    answer = meta.batch(create("a"))
    assert (answer.status_code, answer.json()) == (502, {"oops": True})


def test_an_error_body_under_http_200(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="refuse", platform="meta", error="transient", status=200)
    answer = meta.batch(create("a"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, 2)
    assert total(sandbox, "meta", meta) == 0


@pytest.mark.parametrize(
    ("code", "status", "use_case"),
    [
        (4, 400, "catalog_management"),
        (17, 400, "ads_management"),
        (613, 400, "ads_management"),
        (80009, 400, "catalog_management"),
        (80014, 400, "catalog_batch"),
        (80014, 200, "catalog_batch"),
        (80014, 429, "catalog_batch"),
    ],
)
def test_meta_throttles_with_headers_that_say_when(
    *, sandbox: httpx.Client, meta: PlatformAccount, code: int, status: int, use_case: str
) -> None:
    spec: dict[str, Any] = {"kind": "throttle", "platform": "meta", "code": code, "regain_s": 90}
    fault(sandbox, **spec, **({} if status == 400 else {"status": status}))
    answer = meta.batch(create("a"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    (usage,) = json.loads(answer.headers["x-business-use-case-usage"])[meta.ids["business_id"]]
    assert (usage["type"], usage["call_count"], usage["estimated_time_to_regain_access"]) == (
        use_case,
        100,
        2,
    )
    assert (json.loads(answer.headers["x-app-usage"])["call_count"] == 100) == (code == 4)
    if code in (17, 613):
        assert json.loads(answer.headers["x-ad-account-usage"])["reset_time_duration"] == 90
    entry = last_entry(sandbox)
    assert (entry["outcome"], entry["error_code"], entry["item_ids"]) == ("throttled", code, ["a"])
    assert meta.batch(create("a")).json()["handles"]


def test_a_throttle_without_a_code_is_that_of_the_endpoint(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="throttle", regain_s=7, count=None)
    assert meta.batch(create("a")).json()["error"]["code"] == 80014
    assert meta.http.get(f"/{meta.catalog_id}/products").json()["error"]["code"] == 80009
    answer = pinterest.pin_batch("a")
    assert (answer.status_code, answer.json()["code"]) == (429, 8)
    limits = {name.rpartition("-")[2]: answer.headers[name] for name in answer.headers if "ratelimit" in name}
    assert limits == {"limit": "1000", "remaining": "0", "reset": "7"}


def test_a_partial_outage_hits_what_was_selected(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="outage", platform="meta", endpoint="read", account=meta.ids["business_id"])
    for _ in range(2):
        down = meta.http.get(f"/{meta.catalog_id}/products")
        assert (down.status_code, down.json()["error"]["code"]) == (503, 2)
    assert meta.batch(create("a")).status_code == 200
    assert pinterest.pin_batch("a").status_code == 200
    other = sandbox.get("/_sandbox/accounts").json()["meta"]
    url = f"{other['base_url']}/{other['external_ids']['catalog_id']}/products"
    assert httpx.get(url, params={"access_token": other["access_token"]}).status_code == 200
    sandbox.delete("/_sandbox/faults")
    fault(sandbox, kind="outage", drop=True, platform="pinterest")
    with pytest.raises(httpx.RemoteProtocolError):
        pinterest.pins("a")
    assert last_entry(sandbox)["status"] is None


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
    entry = last_entry(sandbox)
    assert (entry["status"], entry["outcome"], entry["fault"].partition(":")[2]) == (None, "dropped", kind)
    assert (entry["item_ids"], entry["accepted_count"]) == (["a"], arrived)


@pytest.mark.parametrize("works", [False, True])
def test_a_hang_ends_when_the_client_gives_up(
    *, sandbox: httpx.Client, meta: PlatformAccount, works: bool
) -> None:
    fault(sandbox, kind="hang", platform="meta", works=works)
    with pytest.raises(httpx.ReadTimeout):
        meta.http.post(
            f"/{meta.catalog_id}/items_batch",
            json={"item_type": "PRODUCT_ITEM", "requests": [create("a")]},
            timeout=1,
        )
    deadline = monotonic() + 30
    while not (seen := sandbox.get("/_sandbox/log").json()["entries"]):
        assert monotonic() < deadline, "the sandbox never took the request"
        sleep(0.02)
    assert (seen[0]["outcome"], seen[0]["accepted_count"]) == ("dropped", int(works))
    assert total(sandbox, "meta", meta) == int(works)
    assert meta.http.get(f"/{meta.catalog_id}").status_code == 200


def test_a_reset_in_the_middle_of_an_answer(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="reset", endpoint="send", count=2)
    for send in (partial(meta.batch, create("a")), partial(pinterest.pin_batch, "a")):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            send()
        entry = last_entry(sandbox)
        assert (entry["status"], entry["outcome"], entry["accepted_count"]) == (None, "reset", 1)
    assert total(sandbox, "meta", meta) == total(sandbox, "pinterest", pinterest) == 1
    assert meta.batch(create("b")).status_code == 200


def test_a_reset_is_seen_after_the_head_of_the_answer(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="reset", platform="meta")
    with meta.http.stream("GET", f"/{meta.catalog_id}") as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            answer.read()
    assert last_entry(sandbox)["outcome"] == "reset"


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_answers_that_cannot_be_read(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, platform: str
) -> None:
    send = partial(meta.batch, create("a")) if platform == "meta" else partial(pinterest.pin_batch, "a")
    fault(sandbox, kind="truncate", platform=platform, endpoint="send")
    answer = send()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.content) > 0
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert total(sandbox, platform, meta if platform == "meta" else pinterest) == 1
    entry = last_entry(sandbox)
    assert (entry["readable"], entry["accepted_count"], entry["status"]) == (False, 1, 200)
    fault(sandbox, kind="garbage", platform=platform, endpoint="send")
    assert send().text.startswith("<html>")
    fault(sandbox, kind="garbage", platform=platform, status=502, body="\x00\x01", content_type="text/plain")
    answer = send()
    assert (answer.status_code, answer.content) == (502, b"\x00\x01")


def test_slow_answers_late_but_right(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="slow", delay_ms=200, jitter_ms=1)
    assert len(meta.batch(create("a")).json()["handles"]) == 1
    # The loop's timers may fire up to a tick early; an answer without the delay takes a few milliseconds.
    assert last_entry(sandbox)["duration_ms"] >= 100


def test_faults_combine(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    """Delays add up, effects on the work join, and one fault spoils the answer."""
    fault(sandbox, kind="slow", delay_ms=20)
    fault(sandbox, kind="slow", delay_ms=20)
    fault(sandbox, kind="refuse_items", item_ids=["b"])
    fault(sandbox, kind="half_batch", item_ids=["c"])
    fault(sandbox, kind="truncate")
    fault(sandbox, kind="garbage")
    answer = meta.batch(create("a"), create("b"), create("c"))
    assert answer.text.startswith("{")
    assert [one["retailer_id"] for one in meta_items(meta)] == ["a"]
    (entry,) = [one for one in sandbox.get("/_sandbox/log").json()["entries"] if one["endpoint"] == "send"]
    assert [one["kind"] for one in entry["injected"]] == [
        "slow",
        "slow",
        "refuse_items",
        "half_batch",
        "truncate",
    ]
    assert [one["item_ids"] for one in entry["injected"]] == [[], [], ["b"], ["c"], []]
    assert entry["duration_ms"] >= 20


def meta_items(meta: PlatformAccount) -> list[dict[str, Any]]:
    """What the catalog shows, past a fault that waits for one call."""
    meta.http.get(f"/{meta.catalog_id}")
    found: list[dict[str, Any]] = meta.products(fields="retailer_id")["data"]
    return found
