"""Two brands: every route of every service, tried with the other's key and ids, with too small keys and with none."""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.system import PLATFORMS, Brand, System, equal, item, problem_of, until
from tests.e2e.walk import Operation, ids_of, operations

FEED = "id,title,price,link,image_link,description,brand\nrow,Row,3.00 EUR,https://a.example,https://a.example/i,Row,Holm\n"
MOVING = {"/v1/lag", "/v1/webhook_events", "/v1/event_health", "/v1/export"}
"""Says something else a moment later, whoever asks."""
OF_A_SHOP = (
    "/v1/shops/",
    "/v1/orders/",
    "/v1/privacy_requests/",
    "/v1/checkout/",
    "/v1/channels/{channel_id}/checkout",
)
"""They need a connected shop, and this brand has none: tests/catalog and tests/shop_sync/test_checkouts.py show that
another's are not found. `/v1/checkout/` is opened by its id alone."""
ASKING_A_PLATFORM = {"/v1/connections/{connection_id}/assets"}
"""Costs calls at a platform: for those who may write."""
FOR_OWNERS = {"/v1/export"}
FOR_PAGES = {"/v1/events", "/v1/track", "/v1/page", "/v1/identify", "/v1/batch"}
"""Where a publishable key sends events to, from a page of the brand: these requests come from none."""


@pytest.fixture(scope="module")
def walked(system: System) -> list[Operation]:
    found = [one for one in operations(system) if not one.is_ops and not one.has_own_token]
    found = [one for one in found if not one.path.startswith(OF_A_SHOP)]
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def ids(brand_a: Brand) -> dict[str, str]:
    """A brand with something behind every route: an item that is live, one from an import, channels, keys, and a
    removal that waits for its approval."""
    items = [item("a-mug"), item("a/slash"), item("a-held")]
    brand_a.ok("catalog", "POST", "/v1/items:batch", json={"items": items})
    imported = brand_a.ok("catalog", "POST", "/v1/imports", content=FEED)
    until(
        lambda: brand_a.ok("catalog", "GET", f"/v1/imports/{imported['id']}")["state"],
        equal("done"),
    )
    until(brand_a.counts, equal({platform: {"live": 4} for platform in PLATFORMS}))
    brand_a.ok("shop_sync", "PATCH", "/v1/removal-policy", json={"percent": 0, "at_least": 0})
    brand_a.ok("catalog", "DELETE", "/v1/items/a-held")
    until(brand_a.counts, equal({platform: {"live": 3, "held": 1} for platform in PLATFORMS}))
    endpoint = {"url": "https://holm.example/hooks", "enabled": False}
    brand_a.ok("notify", "POST", "/v1/webhook_endpoints", json=endpoint)
    until(lambda: len(brand_a.ok("notify", "GET", "/v1/webhook_events")["data"]), lambda count: count > 0)
    until(
        lambda: [one["kind"] for one in brand_a.ok("notify", "GET", "/v1/notifications")["data"]],
        lambda kinds: set(kinds) == {"removal.held"},
    )
    channel = {"type": "slack", "slack_url": "https://hooks.slack.com/services/T0/B0/x"}
    made = brand_a.ok("notify", "POST", "/v1/notification_channels", json=channel)
    brand_a.ok("notify", "PATCH", f"/v1/notification_channels/{made['id']}", json={"enabled": False})
    return ids_of(brand_a, item_id="a-mug", import_id=imported["id"])


def everything(brand: Brand, walked: list[Operation], ids: dict[str, str]) -> dict[str, object]:
    """What every reading route says to the brand itself: all of them answer 200, so the ids are real."""
    reading = [one for one in walked if one.method == "GET" and one.path not in MOVING]
    return {str(one): still(brand.ok(one.service, "GET", one.url(ids))) for one in reading}


def still(document: Any) -> Any:
    """Without what moves because somebody looked: the last use of a key."""
    if isinstance(document, list):
        return [still(one) for one in document]
    if isinstance(document, dict):
        return {name: still(value) for name, value in document.items() if name != "last_used_at"}
    return document


def without_emails(document: Any) -> Any:
    """Those of people, which a viewer does not see."""
    if isinstance(document, list):
        return [without_emails(one) for one in document]
    if isinstance(document, dict):
        return {name: "" if name == "email" else without_emails(one) for name, one in document.items()}
    return document


def secrets_of(brand: Brand, ids: dict[str, str]) -> set[str]:
    """Words that no answer to a stranger may contain."""
    tokens = {account["access_token"] for account in brand.accounts.values()}
    return (
        tokens | {value for name, value in ids.items() if name != "item_id"} | set(brand.connections.values())
    )


def test_nothing_of_a_brand_is_there_for_the_key_of_another(
    walked: list[Operation], ids: dict[str, str], brand_a: Brand, brand_b: Brand
) -> None:
    before = everything(brand_a, walked, ids)
    words = secrets_of(brand_a, ids)
    for one in walked:
        answer = brand_b.call(one.service, one.method, one.url(ids), **one.request())
        if one.names:
            assert answer.status_code == 404, f"{one}: {answer.status_code} {answer.text}"
            assert answer.json()["code"].endswith(("not_found", "_unknown")), f"{one}: {answer.text}"
        elif not one.writes:
            assert answer.status_code == 200, f"{one}: {answer.text}"
            found = {word for word in words if word in answer.text}
            assert not found, f"{one} shows {found}: {answer.text}"
        else:
            assert answer.status_code < 500, f"{one}: {answer.text}"
    assert everything(brand_a, walked, ids) == before


def test_lists_and_batches_reach_only_the_own_brand(
    ids: dict[str, str], brand_a: Brand, system: System
) -> None:
    stranger = system.new_brand(connected=False)
    for service, path in (
        ("catalog", "/v1/items"),
        ("catalog", "/v1/imports"),
        ("catalog", "/v1/orders"),
        ("catalog", "/v1/privacy_requests"),
        ("shop_sync", "/v1/channels"),
        ("shop_sync", "/v1/removals"),
        ("notify", "/v1/webhook_endpoints"),
        ("notify", "/v1/webhook_events"),
        ("notify", "/v1/notifications"),
        ("notify", "/v1/notification_channels"),
        ("accounts", "/v1/connections"),
        ("retargeting", "/v1/events"),
    ):
        assert stranger.ok(service, "GET", path) == {"data": [], "next_cursor": None}
    cursor = brand_a.ok("catalog", "GET", "/v1/items", params={"limit": 1})["next_cursor"]
    assert stranger.ok("catalog", "GET", "/v1/items", params={"cursor": cursor})["data"] == []
    before = brand_a.catalog()
    offers = {"items": [{"id": "a-mug", "price": "1.00 EUR"}]}
    (refused,) = stranger.ok("catalog", "POST", "/v1/offers:batch", json=offers)["results"]
    assert (refused["outcome"], refused["errors"][0]["code"]) == ("refused", "item_unknown")
    deletion = {
        "items": [{"op": "delete", "id": "a-mug"}, {"op": "upsert", "id": "a/slash", "title": "Mine"}]
    }
    results = stranger.ok("catalog", "POST", "/v1/items:batch", json=deletion)["results"]
    assert [result["outcome"] for result in results] == ["refused", "refused"]
    assert (
        stranger.ok("catalog", "POST", "/v1/items", json=item("a-mug", title="Mine"))["content_version"] == 1
    )
    assert brand_a.catalog() == before
    assert stranger.ok("shop_sync", "GET", "/v1/lag")["data"] == []


def test_without_a_key_nothing_answers(walked: list[Operation], ids: dict[str, str], system: System) -> None:
    for one in walked:
        for headers in ({}, {"Authorization": "Bearer vk_live_0123456789abcdef_" + "x" * 43}):
            request = one.request()
            request["headers"] = {**request.get("headers", {}), **headers}
            answer = system.http[one.service].request(one.method, one.url(ids), **request)
            assert answer.status_code == 401, f"{one} {headers}: {answer.status_code} {answer.text}"
            assert answer.json()["fix"], one


def test_no_key_opens_the_operators_doors(system: System, brand_a: Brand) -> None:
    doors = [one for one in operations(system) if one.is_ops]
    assert len(doors) > 5
    for one in doors:
        url = one.url(dict.fromkeys(one.names, "00000000-0000-0000-0000-000000000000"))
        problem_of(brand_a.call(one.service, one.method, url, **one.request()), 401, "operator_token_wrong")
        answer = system.http[one.service].request(one.method, url, **one.request())
        problem_of(answer, 401, "operator_token_wrong")


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_publishable_key_opens_none_of_these_doors(
    mode: str, walked: list[Operation], ids: dict[str, str], brand_a: Brand
) -> None:
    key = brand_a.new_key(kind="publishable", mode=mode)["key"]
    assert key.startswith(f"pk_{mode}_")
    for one in walked:
        answer = brand_a.call(one.service, one.method, one.url(ids), key=key, **one.request())
        if one.writes and one.path in FOR_PAGES:
            problem_of(answer, 403, "origin_missing")
        else:
            refused(one, answer)


def test_a_viewer_reads_and_writes_nothing(
    walked: list[Operation], ids: dict[str, str], brand_a: Brand
) -> None:
    key = brand_a.new_key(mode="live", role="viewer")["key"]
    before = everything(brand_a, walked, ids)
    for one in walked:
        answer = brand_a.call(one.service, one.method, one.url(ids), key=key, **one.request())
        if one.writes or one.path in ASKING_A_PLATFORM | FOR_OWNERS:
            refused(one, answer)
        else:
            assert answer.status_code == 200, f"{one}: {answer.text}"
            if one.path not in MOVING:
                assert without_emails(still(answer.json())) == without_emails(before[str(one)]), one
    assert json.dumps(everything(brand_a, walked, ids)) == json.dumps(before)


def refused(one: Operation, answer: httpx.Response) -> None:
    if one.for_the_operator:
        problem_of(answer, 401, "operator_token_wrong")
    else:
        assert problem_of(answer, 403, "scope_missing")["fix"], one
