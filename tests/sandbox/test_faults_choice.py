"""Which requests a fault meets, what the sandbox says about faults, and limits that are set on command."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.sandbox.conftest import PlatformAccount, account_of, create, fault, last_entry
from vitrin.sandbox.effects import in_share
from vitrin.sandbox.fault_book import FaultBook, Plan, Subject
from vitrin.sandbox.fault_kinds import FaultKind
from vitrin.sandbox.faults import FaultSpec
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.wire import Call, Reply
from vitrin.sandbox.world import build_world


def test_faults_can_be_cleared(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    one = fault(sandbox, kind="refuse", error="auth", platform="meta", count=None)
    assert sandbox.delete(f"/_sandbox/faults/{one['id']}").json() == {"removed": 1}
    assert sandbox.delete(f"/_sandbox/faults/{one['id']}").status_code == 404
    fault(sandbox, kind="refuse", error="auth", count=None)
    assert sandbox.delete("/_sandbox/faults").json() == {"removed": 1}
    assert meta.batch(create("a")).status_code == 200


@pytest.mark.parametrize(
    ("spec", "status", "field", "words"),
    [
        ({"kind": "explode"}, 400, "kind", "'refuse'"),
        ({"kind": "refuse"}, 400, None, "needs error"),
        ({"kind": "refuse", "error": "auth", "body": {}}, 400, None, "either error or body"),
        (
            {"kind": "refuse", "platform": "meta", "error": "hiccup"},
            400,
            "error",
            "meta knows: appsecret, audience_flagged",
        ),
        ({"kind": "throttle", "platform": "pinterest", "code": 17}, 400, "code", "throttles with: 8"),
        ({"kind": "slow", "path": "["}, 400, "path", "not a regular expression"),
        ({"kind": "slow", "platform": "myspace"}, 400, "platform", "there are meta, pinterest"),
        ({"kind": "slow", "account": "nobody"}, 404, "account", "/_sandbox/accounts"),
        ({"kind": "slow", "times": 3}, 400, "times", "there is no such field; there are kind"),
        ({"kind": "slow", "error": "auth"}, 400, None, "slow does not take error"),
        ({"kind": "garbage", "body": {}}, 400, None, "body must be a string"),
        ({"kind": "refuse_batch"}, 400, None, "needs the culprits: item_ids, or item_share"),
        (
            {"kind": "refuse_batch", "item_ids": ["a"], "item_share": 0.1},
            400,
            None,
            "either item_ids or item_share",
        ),
        ({"kind": "refuse_items", "item_ids": []}, 400, "item_ids", "at least 1"),
        ({"kind": "stale_reads", "endpoint": "send"}, 400, None, "happens on endpoint read only"),
        ({"kind": "drift", "item_share": 0.5, "changes": ["colour"]}, 400, "changes.0", "'price'"),
    ],
)
def test_a_wrong_fault_is_refused_and_told_what_to_do(
    *, sandbox: httpx.Client, spec: dict[str, Any], status: int, field: str | None, words: str
) -> None:
    answer = sandbox.post("/_sandbox/faults", json=spec)
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (status, field)
    assert words in error["message"]
    assert sandbox.get("/_sandbox/faults").json() == {"faults": []}


def test_every_kind_is_documented_with_an_example_that_works(sandbox: httpx.Client) -> None:
    book = sandbox.get("/_sandbox/faults/kinds").json()
    assert [one["kind"] for one in book["kinds"]] == list(FaultKind)
    for one in book["kinds"]:
        made = fault(sandbox, **one["example"])
        assert made["kind"] == one["kind"]
        known = {"id", "kind", "hits", "spent", "culprits", *book["selectors"], *one["fields"]}
        assert set(made) == known
    assert "/_sandbox/faults/kinds" in sandbox.get("/").text
    assert len(sandbox.get("/_sandbox/faults").json()["faults"]) == len(FaultKind)
    assert 80014 in book["throttle_codes"]["meta"]
    assert "transient" in book["errors"]["pinterest"]


def test_one_account_is_sick_and_its_neighbour_is_not(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    other = account_of(sandbox, "meta")
    for name in (meta.ids["business_id"], meta.catalog_id):
        made = fault(sandbox, kind="refuse", error="transient", account=name, count=None)
        with_parameter = httpx.get(f"{meta.url}/{meta.catalog_id}", params={"access_token": meta.token})
        assert (meta.batch(create("a")).status_code, with_parameter.status_code) == (500, 500)
        assert other.batch(create("a")).status_code == 200
        sandbox.delete(f"/_sandbox/faults/{made['id']}")
    other.http.close()
    fault(sandbox, kind="refuse", error="transient", account=pinterest.ids["ad_account_id"])
    assert pinterest.pin_batch("a").status_code == 503
    assert last_entry(sandbox)["account"] == pinterest.ids["ad_account_id"]


def test_calls_that_name_an_item(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="refuse", error="transient", item_ids=["bad"], count=None)
    assert meta.batch(create("good")).status_code == 200
    assert meta.batch(create("good"), create("bad")).status_code == 500
    form = {"item_type": "PRODUCT_ITEM", "requests": json.dumps([create("bad")])}
    assert meta.http.post(f"/{meta.catalog_id}/items_batch", data=form).status_code == 500
    read = {"filter": '{"retailer_id":{"is_any":["bad"]}}'}
    assert meta.http.get(f"/{meta.catalog_id}/products", params=read).status_code == 500
    assert pinterest.pin_batch("good").status_code == 200
    assert pinterest.pin_batch("bad").status_code == 503
    assert pinterest.pins("good").keys() == {"good"}


def plans(*specs: FaultSpec, times_ms: list[int], **subject: Any) -> list[Plan]:
    book = FaultBook(faults_max=len(specs))
    for spec in specs:
        book.add(spec, now_ms=1_000)
    chosen = {"platform": "meta", "method": "GET", "path": "/", "endpoint": "read", **subject}
    return [book.plan(Subject(**chosen, now_ms=now_ms)) for now_ms in times_ms]


def hit(found: list[Plan]) -> list[bool]:
    return [bool(plan.hits) for plan in found]


def test_chance_repeats_with_its_seed() -> None:
    def hits(seed: int) -> list[bool]:
        spec = FaultSpec(kind=FaultKind.SLOW, probability=0.5, seed=seed, count=None)
        return hit(plans(spec, times_ms=[1_000] * 64))

    assert hits(7) == hits(7)
    assert hits(7) != hits(8)
    assert 10 < sum(hits(7)) < 54
    with pytest.raises(ValidationError):
        FaultSpec(kind=FaultKind.SLOW, probability=0)


def test_a_share_is_about_as_large_as_it_says() -> None:
    chosen = {one for one in range(10_000) if in_share(f"sku-{one}", share=0.1, seed=3)}
    assert 800 < len(chosen) < 1_200
    wider = {one for one in range(10_000) if in_share(f"sku-{one}", share=0.2, seed=3)}
    assert chosen < wider
    assert all(in_share(f"sku-{one}", share=1.0, seed=3) for one in range(100))


def test_a_fault_has_its_time() -> None:
    spec = FaultSpec(kind=FaultKind.OUTAGE, after_ms=500, duration_ms=1_000)
    times_ms = [1_000, 1_499, 1_500, 2_499, 2_500, 9_000]
    assert hit(plans(spec, times_ms=times_ms)) == [False, False, True, True, False, False]


def test_some_requests_go_well_first() -> None:
    spec = FaultSpec(kind=FaultKind.REFUSE, error="transient", skip=2, count=2)
    assert hit(plans(spec, times_ms=[1_000] * 6)) == [False, False, True, True, False, False]


def test_what_answers_instead_acts_alone() -> None:
    refuse = FaultSpec(kind=FaultKind.REFUSE, error="transient")
    stale = FaultSpec(kind=FaultKind.STALE_READS)
    slow = FaultSpec(kind=FaultKind.SLOW, delay_ms=5, count=None)
    first, second = plans(stale, refuse, slow, times_ms=[1_000] * 2)
    assert [one.spec.kind for one in first.hits] == ["slow", "refuse"]
    assert [one.spec.kind for one in second.hits] == ["slow", "stale_reads"]
    assert (first.delay_ms, second.effects.stale_ms) == (5, 5_000)


@pytest.mark.parametrize(
    ("platform", "category", "calls"),
    [("meta", "catalog_batch", 3), ("pinterest", "catalogs_write", 3), ("pinterest", "all", 4)],
)
def test_limits_can_be_set_for_one_account(
    *,
    sandbox: httpx.Client,
    meta: PlatformAccount,
    pinterest: PlatformAccount,
    platform: str,
    category: str,
    calls: int,
) -> None:
    account = meta if platform == "meta" else pinterest
    limit = {"platform": platform, "category": category, "account": account.catalog_id, "calls": calls}
    made = sandbox.post("/_sandbox/quota", json={**limit, "window_s": 3_600})
    assert made.status_code == 201
    other = account_of(sandbox, platform)
    one = other if platform == "meta" else pinterest
    send = account.batch if platform == "meta" else None
    answers = [
        send(create(f"{number}")) if send else account.pin_batch(f"{number}") for number in range(calls + 1)
    ]
    refused = 400 if platform == "meta" else 429
    assert [answer.status_code for answer in answers] == [200] * calls + [refused]
    if platform == "meta":
        business = account.ids["business_id"]
        usage = [json.loads(answer.headers["x-business-use-case-usage"])[business][0] for answer in answers]
        assert [one["call_count"] for one in usage] == [33, 66, 100, 100]
        assert usage[-1]["estimated_time_to_regain_access"] > 50
        assert one.batch(create("x")).status_code == 200
    else:
        left = [answer.headers["x-userendpoint-ratelimit-remaining"] for answer in answers]
        assert left[-1] == "0"
        assert int(answers[-1].headers["x-userendpoint-ratelimit-reset"]) > 3_000
        assert other.pin_batch("x").status_code == 200
    other.http.close()
    assert sandbox.get("/_sandbox/quota").json()[platform]["set"] == [
        {"category": category, "account": account.catalog_id, "calls": calls, "window_s": 3_600}
    ]
    assert sandbox.delete("/_sandbox/quota").json() == {"removed": 1}
    answer = account.batch(create("z")) if platform == "meta" else account.pin_batch("z")
    assert answer.status_code == 200


def test_pinterest_counts_all_calls_of_an_account_in_a_second() -> None:
    moments = [datetime.now(UTC)]
    world = build_world(SandboxSettings(quota=True), clock=lambda: moments[0])
    platform, (account,) = world.platforms["pinterest"], world.accounts.by_platform["pinterest"]

    def read() -> Reply:
        call = Call(
            method="GET",
            path="/v5/user_account",
            query={},
            headers={"authorization": f"Bearer {account.access_token}"},
            body=b"",
            body_bytes=0,
            form=None,
            base_url="http://sandbox",
            received_ms=world.now_ms(),
        )
        return platform.handle(call)

    assert [read().status for _ in range(101)] == [200] * 100 + [429]
    headers = read().headers
    assert (headers["x-userendpoint-ratelimit-limit"], headers["x-userendpoint-ratelimit-reset"]) == (
        "100",
        "1",
    )
    moments[0] += timedelta(seconds=1)
    answer = read()
    assert (answer.status, answer.headers["x-userendpoint-ratelimit-limit"]) == (200, "1000")


def test_a_wrong_limit_is_refused(sandbox: httpx.Client) -> None:
    limit = {"platform": "meta", "category": "catalogs_write", "calls": 1}
    answer = sandbox.post("/_sandbox/quota", json=limit)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "meta has the categories catalog_batch, catalog_management, custom_audience",
    )
    answer = sandbox.post("/_sandbox/quota", json={**limit, "category": "catalog_batch", "account": "1"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (404, "account")
