"""Pinterest's customer lists, audiences, events and quality score: every body checked against the published OpenAPI."""

import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import PlatformAccount, account_of, fault, last_entry, load_spec
from tests.sandbox.test_pinterest import OPENAPI, conforms
from tests.support.sandbox import running_sandbox
from vitrin.sandbox.pinterest import ads, events


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_sandbox(match_share=1.0, audience_latency_ms=0, conversion_latency_ms=0) as address:
        yield address


@pytest.fixture
def root(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        client.post("/_sandbox/reset").raise_for_status()
        yield client


@pytest.fixture
def place(root: httpx.Client) -> Iterator[PlatformAccount]:
    account = account_of(root, "pinterest")
    with account.http:
        yield account


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def own(place: PlatformAccount, path: str) -> str:
    return f"/ad_accounts/{place.ids['ad_account_id']}{path}"


def call(
    place: PlatformAccount, method: str, path: str, body: Any = None, *, request: str = "", answer: str = ""
) -> dict[str, Any]:
    """One call whose request and answer are valid by the description."""
    if request:
        conforms(body, request)
    reply = place.http.request(method, own(place, path), json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    conforms(found, answer)
    return found


def make_list(place: PlatformAccount, *emails: str, name: str = "Buyers") -> dict[str, Any]:
    body = {"name": name, "list_type": "EMAIL", "records": ",".join(emails)}
    return call(place, "POST", "/customer_lists", body, request="CustomerListRequest", answer="CustomerList")


def inside(root: httpx.Client, list_id: str) -> set[str]:
    found = root.get(f"/_sandbox/audiences/pinterest/{list_id}", params={"limit": 10_000}).json()
    return {one["cells"]["EMAIL"] for one in found["members"]}


def test_the_description_has_what_is_played() -> None:
    schemas = load_spec(OPENAPI)["components"]["schemas"]
    event = schemas["ConversionEvents"]["properties"]["data"]
    assert (event["minItems"], event["maxItems"]) == (1, events.EVENTS_MAX)
    assert set(event["items"]["required"]) == set(events.REQUIRED)
    assert event["items"]["properties"].keys() == events.FIELDS
    assert event["items"]["properties"]["custom_data"]["properties"].keys() == events.CUSTOM_FIELDS
    assert schemas["ConversionEventsUserDataProperties"]["properties"].keys() == events.USER_FIELDS
    named = event["items"]["properties"]["event_name"]["description"]
    assert all(f"`{name}`" in named for name in events.EVENT_NAMES.values())
    assert set(schemas["UserListType"]["enum"]) == ads.LIST_TYPES
    assert set(schemas["AudienceType"]["enum"]) == ads.AUDIENCE_TYPES


def test_a_list_and_its_audience(root: httpx.Client, place: PlatformAccount) -> None:
    made = make_list(place, "jane@x.org", hashed("bob@x.org"), "not an address")
    assert (made["num_uploaded_user_records"], made["num_batches"], made["status"]) == (2, 1, "TOO_SMALL")
    assert inside(root, made["id"]) == {hashed("jane@x.org"), hashed("bob@x.org")}
    path = f"/customer_lists/{made['id']}"
    many = ",".join(hashed(str(number)) for number in range(100))
    body = {"operation_type": "ADD", "records": many}
    grown = call(place, "PATCH", path, body, request="CustomerListUpdateRequest", answer="CustomerList")
    assert (grown["num_uploaded_user_records"], grown["status"]) == (102, "READY")
    assert (last_entry(root)["endpoint"], last_entry(root)["accepted_count"]) == ("audience", 100)
    body = {"operation_type": "REMOVE", "records": f"{hashed('0')},{hashed('nobody')}"}
    shrunk = call(place, "PATCH", path, body, request="CustomerListUpdateRequest", answer="CustomerList")
    assert shrunk["num_removed_user_records"] == 2
    assert len(inside(root, made["id"])) == 101
    wanted = {"audience_type": "CUSTOMER_LIST", "name": "Buyers", "rule": {"customer_list_id": made["id"]}}
    audience = call(place, "POST", "/audiences", wanted, request="AudienceCreateRequest", answer="Audience")
    assert (audience["size"], audience["status"]) == (101, "READY")
    removal = {"operation_type": "REMOVE"}
    path = f"/audiences/{audience['id']}"
    call(place, "PATCH", path, removal, request="AudienceUpdateRequest", answer="Audience")
    gone = place.http.get(own(place, path))
    assert gone.status_code == 404
    conforms(gone.json(), "Error")


def test_lists_are_paged_and_others_are_not_shown(root: httpx.Client, place: PlatformAccount) -> None:
    for number in range(3):
        make_list(place, f"a{number}@x.org", name=f"n{number}")
    first = place.http.get(own(place, "/customer_lists"), params={"page_size": 2}).json()
    second = place.http.get(
        own(place, "/customer_lists"), params={"page_size": 2, "bookmark": first["bookmark"]}
    ).json()
    assert [one["name"] for one in first["items"] + second["items"]] == ["n0", "n1", "n2"]
    assert second["bookmark"] is None
    neighbour = root.get("/_sandbox/accounts").json()["pinterest"]["external_ids"]["ad_account_id"]
    assert place.http.get(f"/ad_accounts/{neighbour}/customer_lists").status_code == 403
    for body in ({"name": "x"}, {"name": "x", "records": ""}, {"name": "x", "records": "a@x.org", "size": 1}):
        refused = place.http.post(own(place, "/customer_lists"), json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, 1)


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": int(time.time()),
        "event_id": event_id,
        "user_data": {"em": [hashed("jane@x.org")]},
        "custom_data": {"value": "12.50", "currency": "EUR", "order_id": f"o-{event_id}"},
        **changes,
    }


def post(place: PlatformAccount, *told: dict[str, Any], **params: Any) -> httpx.Response:
    body = {"data": list(told)}
    return place.http.post(own(place, "/events"), json=body, params=params)


def test_events_are_answered_one_by_one(root: httpx.Client, place: PlatformAccount) -> None:
    told = [
        event("a"),
        event("b", event_name="bought"),
        event("c", user_data={"em": ["jane@x.org"]}),
        event("d", event_time=int(time.time()) - 8 * 86_400),
    ]
    conforms({"data": told}, "ConversionEvents")
    answer = post(place, *told)
    assert answer.status_code == 200
    conforms(answer.json(), "ConversionApiResponse")
    assert [one["status"] for one in answer.json()["events"]] == ["processed", *["failed"] * 3]
    assert (answer.json()["num_events_received"], answer.json()["num_events_processed"]) == (4, 1)
    nobody = post(place, told[1])
    assert nobody.status_code == 422
    conforms(nobody.json(), "DetailedError")
    fault(root, kind="half_batch", platform="pinterest", endpoint="events", item_ids=["f"])
    assert len(post(place, event("e"), event("f")).json()["events"]) == 1


def test_a_body_that_breaks_its_schema_refuses_everybody(root: httpx.Client, place: PlatformAccount) -> None:
    for wrong in (
        {**event("x"), "colour": "red"},
        {name: value for name, value in event("x").items() if name != "event_id"},
        event("x", user_data={"ph": [hashed("1")]}),
        event("x", custom_data={"value": 12.5}),
        event("x", event_time="now"),
    ):
        refused = post(place, event("good"), wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, 1)
        conforms(refused.json(), "Error")
    assert post(place, *(event(f"e{number}") for number in range(1_001))).status_code == 400
    assert root.get("/_sandbox/conversions/pinterest").json()["events"] == []
    assert post(place, *(event(f"e{number}") for number in range(1_000))).status_code == 200


def test_browser_and_server_are_merged_by_event_and_order_but_never_offline(
    root: httpx.Client, url: str, place: PlatformAccount
) -> None:
    tag = {"tid": place.ids["tag_id"], "event": "checkout", "ed": '{"event_id":"a","order_id":"o-z"}'}
    assert httpx.get(f"{url}/ct.pinterest.com/v3/", params=tag).headers["content-type"] == "image/gif"
    assert httpx.get(f"{url}/ct.pinterest.com/v3/", params={**tag, "event": "init"}).status_code == 200
    post(place, event("a"), event("z"), event("b"))
    post(place, event("b", action_source="offline"), test="false")
    post(place, event("b"), test="true")
    told = root.get("/_sandbox/conversions/pinterest").json()["events"]
    assert [(one["event_id"], one["way"], one["merged_into"] is not None) for one in told] == [
        ("a", "browser", False),
        ("a", "server", True),
        ("z", "server", True),
        ("b", "server", False),
        ("b", "server", False),
        ("b", "server", False),
    ]
    assert [one["test"] for one in told] == ["", "", "", "", "", "test"]
    answer = place.http.get(own(place, "/conversion_eqs"), params={"lookback_period": "1d"})
    (score,) = answer.json()
    conforms(score, "EventQualityScore")
    assert score["quality_components"]["external_event_id"]["checkout"]["overlap"] == 50.0
    assert place.http.get(own(place, "/conversion_eqs")).status_code == 400


def test_calls_with_events_are_limited(root: httpx.Client, place: PlatformAccount) -> None:
    limit = {"platform": "pinterest", "category": "ads_conversions", "calls": 2, "window_s": 3_600}
    root.post("/_sandbox/quota", json=limit).raise_for_status()
    assert [post(place, event(name)).status_code for name in "abc"] == [200, 200, 429]
    refused = post(place, event("d"))
    assert refused.json()["code"] == 8
    assert refused.headers["x-userendpoint-ratelimit-remaining"] == "0"
