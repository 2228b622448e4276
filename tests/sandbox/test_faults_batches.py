"""Faults of batches and items: refusals with and without names, lost and stuck batches, drift, stale reads."""

from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import PlatformAccount, create, fault, last_entry, retail, total
from vitrin.sandbox.effects import in_share

IDS = [f"sku-{number}" for number in range(40)]


def send(account: PlatformAccount, platform: str, ids: list[str]) -> httpx.Response:
    if platform == "meta":
        return account.batch(*[create(one) for one in ids])
    return account.pin_batch(*ids)


def accepted(answer: httpx.Response, platform: str) -> bool:
    return bool(answer.status_code == 200 and (platform == "pinterest" or answer.json()["handles"]))


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_a_whole_batch_is_refused_for_culprits_that_nobody_names(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, platform: str
) -> None:
    """Halving finds them, in at most ceil(log2 n) + 1 more calls for each."""
    account = meta if platform == "meta" else pinterest
    made = fault(sandbox, kind="refuse_batch", platform=platform, item_ids=["sku-5", "sku-31"])
    assert made["count"] is None
    first = send(account, platform, IDS)
    if platform == "meta":
        assert (first.status_code, first.json()) == (200, {"handles": []})
        assert "x-business-use-case-usage" in first.headers
    else:
        assert (first.status_code, first.json()["code"]) == (400, 1)
        assert "sku" not in first.text
    assert total(sandbox, platform, account) == 0
    entry = last_entry(sandbox)
    assert (entry["outcome"], entry["item_count"], entry["accepted_count"]) == ("refused", 40, 0)
    assert entry["injected"] == [
        {"id": made["id"], "kind": "refuse_batch", "item_count": 2, "item_ids": ["sku-5", "sku-31"]}
    ]
    culprits: list[str] = []
    waiting = [IDS[:20], IDS[20:]]
    while waiting:
        part = waiting.pop()
        if accepted(send(account, platform, part), platform):
            continue
        if len(part) == 1:
            culprits += part
        else:
            waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
    assert sorted(culprits) == ["sku-31", "sku-5"]
    assert total(sandbox, platform, account) == 38
    (seen,) = sandbox.get("/_sandbox/faults").json()["faults"]
    assert sorted(seen["culprits"]) == ["sku-31", "sku-5"]


def test_culprits_by_share_are_the_same_in_every_batch(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="refuse_batch", platform="meta", item_share=0.2, seed=11, error="invalid")
    guilty = {one for one in IDS if in_share(one, share=0.2, seed=11)}
    assert 0 < len(guilty) < 40
    for one in IDS:
        answer = meta.batch(create(one))
        assert (answer.status_code == 400) == (one in guilty), one
        if one in guilty:
            assert answer.json()["error"]["code"] == 100
            assert "error_data" not in answer.json()["error"]
    assert total(sandbox, "meta", meta) == 40 - len(guilty)


def test_single_items_are_refused_with_the_result(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="refuse_items", item_ids=["b"], message="Image is not allowed", code=777)
    handle = meta.batch(create("a"), create("b")).json()["handles"][0]
    status = meta.status(handle)
    assert (status["status"], status["errors_total_count"], status["ids_of_invalid_requests"]) == (
        "finished",
        1,
        ["b"],
    )
    assert "Image is not allowed" in status["errors"][0]["message"]
    assert [one["retailer_id"] for one in meta.products()["data"]] == ["a"]
    batch = pinterest.pin_status(pinterest.pin_batch("a", "b").json()["batch_id"])
    assert [(one["item_id"], one["status"]) for one in batch["items"]] == [("a", "SUCCESS"), ("b", "FAILURE")]
    assert batch["items"][1]["errors"] == [
        {"attribute": "item_id", "code": 777, "message": "Image is not allowed"}
    ]
    assert set(pinterest.pins("a", "b")) == {"a"}


def test_meta_can_refuse_items_at_once(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="refuse_items", platform="meta", item_ids=["b", "c"], at="answer", message="No")
    body = meta.batch(create("a"), create("b")).json()
    assert [(one["retailer_id"], one["errors"]) for one in body["validation_status"]] == [
        ("b", [{"message": "No"}])
    ]
    assert len(body["handles"]) == 1
    assert last_entry(sandbox)["accepted_count"] == 1
    assert meta.batch(create("c")).json()["handles"] == []
    assert total(sandbox, "meta", meta) == 1


@pytest.mark.parametrize(("works", "there"), [(False, 1), (True, 2)])
def test_verdicts_for_half_of_a_batch(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, works: bool, there: int
) -> None:
    fault(sandbox, kind="half_batch", item_ids=["b"], works=works, count=None)
    status = meta.status(meta.batch(create("a"), create("b")).json()["handles"][0])
    assert (status["status"], status["errors_total_count"], status["ids_of_invalid_requests"]) == (
        "finished",
        0,
        [],
    )
    batch = pinterest.pin_status(pinterest.pin_batch("a", "b").json()["batch_id"])
    assert (batch["status"], [one["item_id"] for one in batch["items"]]) == ("COMPLETED", ["a"])
    assert total(sandbox, "meta", meta) == total(sandbox, "pinterest", pinterest) == there


def test_half_is_the_share_without_culprits(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    made = fault(sandbox, kind="half_batch", platform="meta", seed=5)
    assert (made["item_share"], made["works"]) == (0.5, False)
    meta.batch(*[create(one) for one in IDS])
    lost = sum(in_share(one, share=0.5, seed=5) for one in IDS)
    assert 0 < lost < 40
    assert total(sandbox, "meta", meta) == 40 - lost


@pytest.mark.parametrize(("works", "there"), [(True, 1), (False, 0)])
def test_a_lost_handle(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, works: bool, there: int
) -> None:
    fault(sandbox, kind="lose_handle", count=2, **({} if works else {"works": False}))
    handle = meta.batch(create("a")).json()["handles"][0]
    poll = meta.http.get(f"/{meta.catalog_id}/check_batch_request_status", params={"handle": handle})
    assert (poll.status_code, poll.json()["error"]["code"]) == (400, 100)
    batch_id = pinterest.pin_batch("a").json()["batch_id"]
    poll = pinterest.http.get(f"/catalogs/items/batch/{batch_id}")
    assert (poll.status_code, poll.json()["code"]) == (404, 4331)
    assert total(sandbox, "meta", meta) == total(sandbox, "pinterest", pinterest) == there
    again = meta.batch(create("a")).json()["handles"][0]
    assert meta.status(again)["status"] == "finished"


def test_a_batch_that_never_finishes(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="stuck_batch", count=2)
    handle = meta.batch(create("a")).json()["handles"][0]
    batch_id = pinterest.pin_batch("a").json()["batch_id"]
    for _ in range(3):
        assert meta.status(handle)["status"] == "started"
        assert pinterest.pin_status(batch_id)["status"] == "PROCESSING"
    assert total(sandbox, "meta", meta) == total(sandbox, "pinterest", pinterest) == 1
    fault(sandbox, kind="stuck_batch", platform="meta", works=False, stuck_ms=1)
    handle = meta.batch(create("b")).json()["handles"][0]
    seen = {meta.status(handle)["status"] for _ in range(20)}
    assert "finished" in seen
    assert total(sandbox, "meta", meta) == 1


def test_a_batch_that_fails_as_a_whole(
    sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount
) -> None:
    fault(sandbox, kind="fail_batch", count=2)
    assert meta.status(meta.batch(create("a")).json()["handles"][0])["status"] == "error"
    batch = pinterest.pin_status(pinterest.pin_batch("a").json()["batch_id"])
    assert (batch["status"], batch["items"][0]["status"]) == ("FAILED", "FAILURE")
    assert total(sandbox, "meta", meta) == total(sandbox, "pinterest", pinterest) == 0
    fault(sandbox, kind="fail_batch", final_status="canceled")
    assert meta.status(meta.batch(create("a")).json()["handles"][0])["status"] == "canceled"


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_accepted_items_drift_by_themselves(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, platform: str
) -> None:
    account = meta if platform == "meta" else pinterest
    changes = ["price", "availability", "delete"]
    fault(sandbox, kind="drift", platform=platform, item_share=0.5, seed=2, changes=changes)
    send(account, platform, IDS)
    page = sandbox.get(f"/_sandbox/state/{platform}/{account.catalog_id}").json()
    shown = {one["item_id"]: one["fields"] for one in page["items"]}
    sent = create("x")["data"] if platform == "meta" else retail("x")["items"][0]["attributes"]
    seen = dict.fromkeys(changes, 0)
    for one in IDS:
        kind = _what_happened(shown.get(one), sent)
        assert (kind is not None) == in_share(one, share=0.5, seed=2), one
        if kind is not None:
            seen[kind] += 1
    assert all(seen.values()), seen


def _what_happened(shown: dict[str, Any] | None, sent: dict[str, Any]) -> str | None:
    if shown is None:
        return "delete"
    changed = [name for name in ("price", "availability") if shown[name] != sent[name]]
    assert len(changed) <= 1
    return changed[0] if changed else None


def test_drift_can_wait_and_can_be_told_at_once(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    fault(sandbox, kind="drift", platform="meta", item_ids=["a"], drift_ms=3_600_000)
    meta.batch(create("a", price="9.00 USD"), create("b"))
    url = f"/_sandbox/state/meta/{meta.catalog_id}/a"
    assert sandbox.get(url).json()["fields"]["price"] == "9.00 USD"
    command = {"platform": "meta", "catalog_id": meta.catalog_id, "item_share": 1, "changes": ["price"]}
    told = sandbox.post("/_sandbox/drift", json=command).json()
    assert told == {"changed": 2, "item_ids": ["a", "b"]}
    assert sandbox.get(url).json()["fields"]["price"] == "10.00 USD"
    wrong = sandbox.post("/_sandbox/drift", json={**command, "item_id": "a"})
    assert (wrong.status_code, "either item_id" in wrong.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
def test_reads_lag_behind(
    *, sandbox: httpx.Client, meta: PlatformAccount, pinterest: PlatformAccount, platform: str
) -> None:
    account = meta if platform == "meta" else pinterest
    send(account, platform, ["a", "b"])
    made = fault(sandbox, kind="stale_reads", platform=platform, stale_ms=3_600_000)
    if platform == "meta":
        meta.batch(
            {"method": "UPDATE", "data": {"id": "a", "price": "1.00 USD"}},
            {"method": "DELETE", "data": {"id": "b"}},
            create("c"),
        )
        old = {one["retailer_id"]: one["price"] for one in meta.products(fields="retailer_id,price")["data"]}
        assert old == {"a": "$1,234.50", "b": "$1,234.50"}
        wanted = '{"retailer_id":{"is_any":["a","b","c"]}}'
        named = meta.products(fields="retailer_id", filter=wanted)["data"]
        assert [one["retailer_id"] for one in named] == ["a", "b"]
    else:
        pinterest.pin_batch("a", "c", price="1.00 USD")
        assert {one: fields["price"] for one, fields in pinterest.pins("a", "b", "c").items()} == {
            "a": "24.99 USD",
            "b": "24.99 USD",
        }
    assert total(sandbox, platform, account) == (2 if platform == "meta" else 3)
    assert last_entry(sandbox)["injected"][0]["kind"] == "stale_reads"
    sandbox.delete(f"/_sandbox/faults/{made['id']}").raise_for_status()
    if platform == "meta":
        assert [one["retailer_id"] for one in meta.products()["data"]] == ["a", "c"]
    else:
        assert pinterest.pins("a", "c")["a"]["price"] == "1.00 USD"
