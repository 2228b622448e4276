"""Meta's official SDK makes custom audiences, fills them and sends server events to the sandbox; browsers call /tr."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adspixel import AdsPixel
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError

from tests.sandbox.conftest import PlatformAccount, account_of, fault, last_entry, load_spec
from tests.sandbox.test_facebook_business import refused, sdk
from tests.support.sandbox import running_sandbox
from vitrin.sandbox.meta import audiences as edges
from vitrin.sandbox.meta import events as event_edges
from vitrin.sandbox.page import render_fragment

# The SDK's own tables call payload and session objects and data a list of strings; it sends what Meta documents.
pytestmark = pytest.mark.filterwarnings("ignore:value of .* might not be compatible:UserWarning")

SCHEMA = ["EXTERN_ID", "EMAIL", "FN"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_sandbox(
        match_share=1.0, audience_latency_ms=0, conversion_latency_ms=0, meta_audience_people_min=3
    ) as address:
        yield address


@pytest.fixture
def root(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        client.post("/_sandbox/reset").raise_for_status()
        yield client


@pytest.fixture
def place(root: httpx.Client) -> Iterator[PlatformAccount]:
    account = account_of(root, "meta")
    with account.http:
        yield account


@pytest.fixture
def graph(place: PlatformAccount) -> Iterator[FacebookAdsApi]:
    made = sdk(place)
    yield made
    made._session.requests.close()


@pytest.fixture
def audience(place: PlatformAccount, graph: FacebookAdsApi) -> CustomAudience:
    made = AdAccount(f"act_{place.ids['ad_account_id']}", api=graph).create_custom_audience(
        params={
            "name": "All buyers",
            "subtype": CustomAudience.Subtype.custom,
            "description": "bought once",
            "customer_file_source": CustomAudience.CustomerFileSource.user_provided_only,
            "audience_labels": [CustomAudience.AudienceLabels.recent_purchasers],
        }
    )
    return CustomAudience(made["id"], api=graph)


def people(*numbers: int) -> list[list[str]]:
    return [[f"c-{number}", f" Shopper{number}@Example.org", "Jane"] for number in numbers]


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def inside(root: httpx.Client, audience: CustomAudience) -> list[dict[str, str]]:
    found = root.get(f"/_sandbox/audiences/meta/{audience['id']}", params={"limit": 10_000}).json()
    return [one["cells"] for one in found["members"]]


def test_the_spec_has_what_is_played() -> None:
    nodes = load_spec("meta/sdk_v26_core.derived.json")["nodes"]
    made = {(one["method"], one["edge"]): one for one in nodes["CustomAudience"]["endpoints"]}
    assert made["POST", "/users"]["params"].keys() == edges.USERS_PARAMS
    assert made["DELETE", "/users"]["params"] == made["POST", "/usersreplace"]["params"]
    assert made["POST", "/"]["params"].keys() >= edges.UPDATE_PARAMS
    assert set(edges.FIELDS) <= nodes["CustomAudience"]["fields"].keys()
    assert set(nodes["CustomAudience"]["enums"]["AudienceLabels"]) == edges.LABELS
    assert set(nodes["CustomAudience"]["enums"]["CustomerFileSource"]) == edges.SOURCES
    account = {(one["method"], one["edge"]): one for one in nodes["AdAccount"]["endpoints"]}
    assert account["POST", "/customaudiences"]["params"].keys() >= edges.CREATE_PARAMS
    pixel = {(one["method"], one["edge"]): one for one in nodes["AdsPixel"]["endpoints"]}
    assert pixel["POST", "/events"]["params"].keys() == event_edges.EVENT_PARAMS
    assert pixel["GET", "/stats"]["params"].keys() == event_edges.STATS_PARAMS
    assert set(Event.param_types) <= event_edges.EVENT_FIELDS
    assert {one.value for one in ActionSource} == event_edges.ACTION_SOURCES


def test_users_come_and_go_through_the_sdk(root: httpx.Client, audience: CustomAudience) -> None:
    answer = audience.add_users(SCHEMA, people(1, 2, 3, 4, 5), is_raw=True).json()
    assert (answer["audience_id"], answer["num_received"], answer["num_invalid_entries"]) == (
        audience["id"],
        5,
        0,
    )
    assert answer["invalid_entry_samples"] == {}
    audience.add_users(SCHEMA, people(5), is_raw=True)
    assert inside(root, audience)[4] == {
        "EXTERN_ID": "c-5",
        "EMAIL": hashed("shopper5@example.org"),
        "FN": hashed("jane"),
    }
    assert len(inside(root, audience)) == 5
    # By the address alone, as a single key, and by the id.
    gone = audience.remove_users(CustomAudience.Schema.email_hash, ["shopper1@example.org"]).json()
    assert gone["num_received"] == 1
    audience.remove_users(["EXTERN_ID"], [["c-2"]], is_raw=True)
    assert [row["EXTERN_ID"] for row in inside(root, audience)] == ["c-3", "c-4", "c-5"]
    small = refused(audience.remove_users, SCHEMA, people(3), is_raw=True)
    assert (small.http_status(), small.api_error_code(), small.api_error_subcode()) == (403, 200, 1870047)
    assert "low audience size" in small.body()["error"]["error_user_msg"]
    assert len(inside(root, audience)) == 3
    session = {"session_id": 7, "batch_seq": 1, "last_batch_flag": False, "estimated_num_total": 4}
    payload = {"schema": ["EMAIL"], "data": [[hashed(f"new{number}@x.org")] for number in range(2)]}
    audience.create_users_replace(params={"payload": payload, "session": session})
    assert len(inside(root, audience)) == 3
    payload = {"schema": ["EMAIL"], "data": [[hashed(f"new{number}@x.org")] for number in range(2, 4)]}
    audience.create_users_replace(
        params={"payload": payload, "session": {**session, "batch_seq": 2, "last_batch_flag": True}}
    )
    assert {row["EMAIL"] for row in inside(root, audience)} == {hashed(f"new{n}@x.org") for n in range(4)}


def test_what_is_wrong_is_named_and_left_out(root: httpx.Client, audience: CustomAudience) -> None:
    answer = audience.add_users(
        ["EMAIL", "FN"],
        [[hashed("a@x.org"), ""], ["plain@x.org", ""], ["", hashed("jane")]],
        pre_hashed=True,
        is_raw=True,
    ).json()
    assert (answer["num_received"], answer["num_invalid_entries"]) == (3, 2)
    assert answer["invalid_entry_samples"] == {"1": "plain@x.org", "2": ""}
    assert inside(root, audience) == [{"EMAIL": hashed("a@x.org")}]
    for payload in (
        {"schema": ["EMAIL"], "data": [["a", "b"]]},
        {"schema": ["EMAIL"], "data": []},
        {"schema": ["SHOESIZE"], "data": [["a"]]},
        {"schema": ["EMAIL"], "data": [[hashed("x")]] * 10_001},
    ):
        error = refused(audience.create_user, params={"payload": payload})
        assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["payload"]])
    assert audience.create_user(
        params={"payload": {"schema": ["EMAIL"], "data": [[hashed(str(n))] for n in range(10_000)]}}
    )
    assert len(inside(root, audience)) == 10_000


def test_sizes_states_lists_and_the_end(
    root: httpx.Client, place: PlatformAccount, graph: FacebookAdsApi, audience: CustomAudience
) -> None:
    names = [*edges.FIELDS]
    assert audience.api_get(fields=names)["delivery_status"]["code"] == 300
    audience.add_users(SCHEMA, people(*range(1_250)), is_raw=True)
    shown = audience.api_get(fields=names).export_all_data()
    assert (shown["approximate_count_lower_bound"], shown["approximate_count_upper_bound"]) == (1_200, 1_500)
    assert (shown["operation_status"]["code"], shown["delivery_status"]["code"]) == (200, 200)
    assert abs(shown["time_content_updated"] - time.time()) < 600
    assert shown["audience_labels"] == ["RECENT_PURCHASERS"]
    fault(root, kind="no_match", platform="meta")
    assert audience.api_get(fields=names)["approximate_count_lower_bound"] == 1_000
    root.delete("/_sandbox/faults").raise_for_status()
    owner = AdAccount(f"act_{place.ids['ad_account_id']}", api=graph)
    for number in range(30):
        owner.create_custom_audience(
            params={"name": f"n{number}", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
        )
    assert len(list(owner.get_custom_audiences(fields=["name"]))) == 31
    root.patch(f"/_sandbox/audiences/meta/{audience['id']}", json={"flagged": True}).raise_for_status()
    blocked = refused(audience.add_users, SCHEMA, people(1), is_raw=True)
    assert (blocked.api_error_code(), blocked.api_error_subcode()) == (100, 1713230)
    assert audience.api_get(fields=names)["operation_status"]["code"] == 471
    audience.api_delete()
    assert refused(audience.api_get).api_error_subcode() == 33


def test_an_audience_is_forgotten_and_a_batch_half_heard(
    root: httpx.Client, audience: CustomAudience
) -> None:
    fault(root, kind="half_batch", platform="meta", endpoint="audience", item_ids=["c-1", "c-3"])
    answer = audience.add_users(SCHEMA, people(1, 2, 3, 4), is_raw=True).json()
    assert (answer["num_received"], answer["num_invalid_entries"]) == (2, 0)
    assert [row["EXTERN_ID"] for row in inside(root, audience)] == ["c-2", "c-4"]
    entry = last_entry(root)
    assert (entry["endpoint"], entry["item_count"], entry["accepted_count"]) == ("audience", 4, 2)
    fault(root, kind="throttle", platform="meta", endpoint="audience", regain_s=120)
    error = refused(audience.add_users, SCHEMA, people(9), is_raw=True)
    assert (error.http_status(), error.api_error_code()) == (400, 80003)
    usage = json.loads(error.http_headers()["X-Business-Use-Case-Usage"])
    assert [one["type"] for rows in usage.values() for one in rows] == ["custom_audience"]
    fault(root, kind="forget_audience", platform="meta")
    assert refused(audience.add_users, SCHEMA, people(9), is_raw=True).api_error_subcode() == 33
    assert refused(audience.api_get).api_error_subcode() == 33


def purchase(event_id: str, *, at: int | None = None, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event_name": "Purchase",
        "event_time": at or int(time.time()),
        "event_id": event_id,
        "event_source_url": "https://shop.example/thanks",
        "action_source": ActionSource.WEBSITE,
        "user_data": UserData(
            email="Jane@Example.org", client_ip_address="192.0.2.1", client_user_agent="Agent", fbp="fb.1.1.2"
        ),
        "custom_data": CustomData(
            value=12.5,
            currency="EUR",
            order_id="o-1",
            contents=[Content(product_id="sku-1", quantity=1, item_price=12.5)],
        ),
    }
    return Event(**{**fields, **changes})


def send(place: PlatformAccount, api: FacebookAdsApi, *events: Event, **more: Any) -> Any:
    FacebookAdsApi.set_default_api(api)
    return EventRequest(pixel_id=place.ids["pixel_id"], events=list(events), **more).execute()


def told(root: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = root.get("/_sandbox/conversions/meta").json()["events"]
    return found


def test_server_events_of_the_sdk_are_merged_with_the_browsers(
    root: httpx.Client, url: str, place: PlatformAccount, graph: FacebookAdsApi
) -> None:
    browser = {
        "id": place.ids["pixel_id"],
        "ev": "Purchase",
        "eid": "e-1",
        "cd[value]": "12.5",
        "cd[currency]": "EUR",
        "fbp": "fb.1.1.2",
    }
    picture = httpx.get(f"{url}/www.facebook.com/tr", params=browser)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
    assert picture.content[:6] == b"GIF89a"
    answer = send(place, graph, purchase("e-1"), purchase("e-2"))
    assert (answer.events_received, answer.messages) == (2, [])
    first, second, third = told(root)
    assert (first["way"], first["merged_into"], first["value"]) == ("browser", None, "12.5")
    assert (second["way"], second["merged_into"], second["order_id"]) == ("server", first["number"], "o-1")
    assert (third["merged_into"], third["matched"]) == (None, True)
    assert hashed("jane@example.org") in third["keys"]
    today = datetime.now(UTC).date().isoformat()
    counted = root.get(
        "/_sandbox/conversions/meta/counts", params={"source_id": place.ids["pixel_id"]}
    ).json()["counts"]
    assert sum(one["received"] for one in counted) == 3
    assert {one["day"] for one in counted} <= {today, datetime.now(UTC).date().isoformat()}
    assert (sum(one["merged"] for one in counted), sum(one["browser"] for one in counted)) == (1, 1)
    pixel = AdsPixel(place.ids["pixel_id"], api=graph)
    now = int(time.time())
    stats = pixel.get_stats(params={"aggregation": "event", "start_time": now - 7_200, "end_time": now + 60})
    assert [(one["value"], one["count"]) for row in stats for one in row["data"]] == [("Purchase", 3)]
    tested = send(place, graph, purchase("e-1"), test_event_code="TEST42")
    assert tested.events_received == 1
    assert told(root)[-1]["test"] == "TEST42"
    assert told(root)[-1]["merged_into"] is None


def test_the_page_shows_who_is_in_and_what_was_counted(
    root: httpx.Client, place: PlatformAccount, graph: FacebookAdsApi, audience: CustomAudience
) -> None:
    audience.add_users(SCHEMA, people(1, 2), is_raw=True)
    send(place, graph, purchase("e-1"), purchase("e-1"), purchase("e-2"))
    summary = root.get("/_sandbox/state").json()
    meta = summary["platforms"][0]
    (own,) = [one for one in meta["accounts"] if one["external_ids"] == place.ids]
    assert own["audiences"] == [
        {"audience_id": audience["id"], "name": "All buyers", "rows": 2, "people_matched": 2}
    ]
    assert own["conversions"] == {"Purchase": 2}
    page = render_fragment({**summary, "platforms": [{**meta, "accounts": [own]}]})
    assert "<td>All buyers</td>" in page
    assert "<b>2</b><span>Purchase</span>" in page


def test_one_bad_event_refuses_them_all(
    root: httpx.Client, place: PlatformAccount, graph: FacebookAdsApi
) -> None:
    now = int(time.time())
    old = purchase("old", at=now - 8 * 86_400)
    for events, subcode in (
        ((purchase("a"), old), 2804003),
        ((purchase("a"), purchase("b", custom_data=CustomData(order_id="o"))), 2804009),
        ((purchase("a"), purchase("b", user_data=UserData(client_user_agent="Agent"))), None),
        ((purchase("a"), purchase("b", event_source_url=None)), None),
        (tuple(purchase(f"e{number}") for number in range(1_001)), None),
    ):
        error: FacebookRequestError = refused(send, place, graph, *events)
        assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (400, 100, subcode)
    assert told(root) == []
    store = purchase("old", at=now - 60 * 86_400, action_source=ActionSource.PHYSICAL_STORE)
    assert send(place, graph, store).events_received == 1
    assert send(place, graph, *(purchase(f"e{number}") for number in range(1_000))).events_received == 1_000
    fault(root, kind="half_batch", platform="meta", endpoint="events", item_ids=["x-2"])
    assert send(place, graph, purchase("x-1"), purchase("x-2")).events_received == 1
    plain = {"data": [{"event_name": "Lead", "event_time": now, "user_data": {"em": ["a@x.org"]}}]}
    answer = place.http.post(f"/{place.ids['pixel_id']}/events", json=plain)
    assert answer.status_code == 400
    assert "hashed" in answer.json()["error"]["message"]
    assert "no customer information" in str(
        place.http.post(
            f"/{place.ids['pixel_id']}/events",
            json={
                "data": [{"event_name": "Lead", "event_time": now, "user_data": {"country": [hashed("de")]}}]
            },
        ).json()
    )


def test_only_the_own_pixel_and_only_with_the_permission(root: httpx.Client, place: PlatformAccount) -> None:
    event = {"event_name": "Lead", "event_time": int(time.time()), "user_data": {"em": [hashed("a@x.org")]}}
    neighbour = root.get("/_sandbox/accounts").json()["meta"]["external_ids"]["pixel_id"]
    answer = place.http.post(f"/{neighbour}/events", json={"data": [event]})
    assert answer.json()["error"]["error_subcode"] == 33
    command = {"platform": "meta", "access_token": place.token, "state": "limited"}
    root.post("/_sandbox/tokens", json=command).raise_for_status()
    answer = place.http.post(f"/{place.ids['pixel_id']}/events", json={"data": [event]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, 200)
    assert told(root) == []


def test_named_people_are_matched_by_their_right_hashes_only(
    root: httpx.Client, audience: CustomAudience
) -> None:
    known = {"platform": "meta", "emails": [" Jane@Example.org "], "phones": ["+49 89 123456"]}
    assert root.post("/_sandbox/people", json=known).json()["known"] == 2
    rows = [["a", hashed("jane@example.org")], ["b", hashed("Jane@Example.org")], ["c", hashed("bob@x.org")]]
    audience.add_users(["EXTERN_ID", "EMAIL"], rows, is_raw=True, pre_hashed=True)
    found = root.get(f"/_sandbox/audiences/meta/{audience['id']}").json()
    assert (found["rows"], found["people_matched"]) == (3, 1)
