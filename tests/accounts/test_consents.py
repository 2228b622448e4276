"""Connecting by consent, over sockets, against the sandbox: the whole way, and every way it can go wrong."""

import asyncio
import functools
import html
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.accounts.conftest import MovingClock
from tests.accounts.consenting import JSON, PLATFORMS, House, Person, a_house, logged
from tests.accounts.saved import audit_of, events_of, whole_text
from tests.support.sandbox import running_sandbox
from vitrin.accounts.domain_oauth import CALLBACK, browser_mark
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.protos.accounts.v1 import events_pb2

OPTIONAL = {"meta": "ads_management", "pinterest": "ads:write"}
REQUIRED = {"meta": "catalog_management", "pinterest": "catalogs:write"}


@pytest.fixture(scope="module")
async def house(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[House]:
    with running_sandbox(quota=False) as url:
        async with a_house(accounts_settings, database, clock, url) as house:
            yield house


@pytest.fixture
async def meta(house: House) -> Person:
    """For what is the same on every platform."""
    return await house.shop("meta")


@pytest.fixture(params=PLATFORMS)
async def person(house: House, request: pytest.FixtureRequest) -> Person:
    return await house.shop(request.param)


def connection_events(person: Person) -> list[Any]:
    found = events_of(person.house.settings, person.shop.id)
    return [event for event in found if isinstance(event, events_pb2.ConnectionChanged)]


async def secrets_of(house: House) -> list[str]:
    """Everything that must not be readable anywhere: tokens of both kinds, the apps' secrets."""
    told = (await house.command("GET", "/_sandbox/oauth")).json()
    tokens = [one["access_token"] for one in told["tokens"]]
    refreshes = [one["refresh_token"] for one in told["refresh_tokens"]]
    return [*tokens, *refreshes, *(app["secret"] for app in told["house_apps"].values())]


async def test_consent_choice_and_connection(
    person: Person, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    started = await person.start()
    assert started["pkce"] is (person.platform == "meta")
    assert all(scope["purpose"] for scope in started["scopes"])
    query = parse_qs(urlsplit(started["authorize_url"]).query)
    assert query["redirect_uri"] == [started["redirect_uri"]]
    assert ("code_challenge" in query) is started["pkce"]
    screen = await person.house.sandbox.get(started["authorize_url"])
    assert (screen.status_code, screen.text.count('type="checkbox"')) == (200, len(started["scopes"]))
    assert (await person.attempt(started))["state"] == "waiting"

    page = await person.back(await person.decide(started["authorize_url"]), accept="text/html")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    attempt = await person.attempt(started)
    assert (attempt["state"], attempt["problem"]) == ("connected", None)
    waiting = await person.read(attempt["connection_id"])
    assert (waiting["state"], waiting["external_ids"], waiting["missing_scopes"]) == ("choose_assets", {}, [])
    assert connection_events(person) == []

    path = f"/v1/connections/{waiting['id']}"
    found = (await person.shop.call("GET", f"{path}/assets")).json()
    kinds = {asset["kind"] for asset in found["assets"]}
    assert (
        kinds
        == {
            "meta": {"business_id", "catalog_id", "pixel_id", "ad_account_id", "page_id"},
            "pinterest": {"user_id", "ad_account_id", "catalog_id", "tag_id"},
        }[person.platform]
    )
    chosen = await person.shop.call("POST", f"{path}:choose", {})
    assert chosen.status_code == 200, chosen.text
    made = chosen.json()
    assert made["state"] == "active"
    own = person.account["external_ids"]
    assert made["external_ids"].items() <= own.items()
    assert made["external_ids"].keys() >= {"catalog_id"}
    assert made["token"]["origin"] == "consent"
    assert made["token"]["renewal"] == "automatic"
    (event,) = connection_events(person)
    assert (event.connection_id, event.state, event.version) == (made["id"], "active", 2)
    assert dict(event.external_ids) == made["external_ids"]
    again = await person.shop.call("POST", f"{path}:choose", {})
    assert (again.status_code, again.json()["code"]) == (409, "assets_chosen")

    actions = [(one[0], one[1]) for one in audit_of(person.house.settings, person.shop.id)]
    key_id = person.shop.live.split("_")[2]
    assert (f"key:{key_id}", "connection.consent") in actions
    state = query["state"][0]
    readable = whole_text(person.house.settings) + logged(caplog, capsys) + page.text + chosen.text
    for secret in [*(await secrets_of(person.house)), state]:
        assert secret not in readable


async def test_the_leased_token_works_at_the_platform(person: Person) -> None:
    made = await person.connect()
    token = await person.leased(made["id"])
    path = {"meta": f"{person.catalog_id}/products", "pinterest": "catalogs"}[person.platform]
    answer = await person.house.sandbox.get(
        f"{made['base_url']}/{path}", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.text


async def test_a_state_works_once_and_only_where_it_was_given(meta: Person) -> None:
    started = await meta.start()
    location = await meta.decide(started["authorize_url"])
    other = "pinterest" if meta.platform == "meta" else "meta"
    elsewhere = await meta.back(location.replace(f"/{meta.platform}?", f"/{other}?"))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (400, "oauth_state_unknown")
    assert (await meta.back(location)).status_code == 200
    again = await meta.back(location)
    assert (again.status_code, again.json()["code"]) == (409, "oauth_state_used")
    page = await meta.back(location, accept="text/html")
    assert page.status_code == 409
    assert "What to do" in page.text
    listed = (await meta.shop.call("GET", "/v1/connections")).json()["data"]
    assert len(listed) == 1


async def test_a_browser_that_did_not_begin_finishes_nothing_and_uses_nothing_up(meta: Person) -> None:
    """Somebody is sent the callback of a stranger's consent; then its own browser comes."""
    started = await meta.start()
    location = await meta.decide(started["authorize_url"])
    own_state = parse_qs(urlsplit(location).query)["state"][0]
    another = browser_mark("another state", location)
    mark = browser_mark(own_state, location)
    assert (mark.path, mark.secure) == (CALLBACK, False)
    address = str(meta.house.http.base_url)
    for cookies in ({}, {another.name: another.value}, {mark.name: "x"}, {another.name: mark.value}):
        async with httpx.AsyncClient(
            base_url=address, trust_env=False, cookies=cookies, timeout=30
        ) as stranger:
            answer = await stranger.get(location, headers=JSON)
            assert (answer.status_code, answer.json()["code"]) == (400, "oauth_browser_unknown")
            page = await stranger.get(location, headers={"accept": "text/html"})
            assert (page.status_code, "did not begin in this browser" in page.text) == (400, True)
    assert (await meta.attempt(started))["state"] == "waiting"
    assert (await meta.shop.call("GET", "/v1/connections")).json()["data"] == []
    done = await meta.back(location, accept="text/html")
    assert done.status_code == 200, done.text
    (forgotten,) = [text for text in done.headers.get_list("set-cookie") if text.startswith(mark.name)]
    assert "Max-Age=0" in forgotten


async def test_the_beginning_marks_the_browser_and_sends_it_on(meta: Person) -> None:
    body = {"platform": meta.platform, "mode": "sandbox"}
    started = (await meta.shop.call("POST", "/v1/connections:authorize", body)).json()
    link = started["authorize_url"]
    assert link.startswith(started["redirect_uri"].partition("/v1/")[0] + "/v1/oauth/begin?state=")
    looked = await meta.house.http.get(link)  # a link that is looked at before it is opened still works
    begun = await meta.house.http.get(link)
    assert begun.headers["location"] == looked.headers["location"]
    assert (begun.headers["cache-control"], begun.headers["referrer-policy"]) == ("no-store", "no-referrer")
    (cookie,) = begun.headers.get_list("set-cookie")
    for part in ("HttpOnly", "SameSite=lax", "Path=/v1/oauth/callback", "Max-Age=900"):
        assert part in cookie
    state = parse_qs(urlsplit(link).query)["state"][0]
    assert state not in cookie
    assert (await meta.back(await meta.decide(link))).status_code == 200
    for url, status, code in (
        (link, 409, "oauth_state_used"),
        (link.replace(state, "x" * 43), 400, "oauth_state_unknown"),
        (link.partition("?")[0], 400, "oauth_state_unknown"),
    ):
        answer = await meta.house.http.get(url, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await meta.house.http.get(url)).status_code == status


def test_under_https_the_mark_is_of_this_host_alone() -> None:
    mark = browser_mark("s", "https://accounts.example/v1/oauth/callback/meta")
    assert mark.name.startswith("__Host-vitrin_consent_")
    assert (mark.path, mark.secure) == ("/", True)
    assert mark.is_shown({mark.name: mark.value})
    assert not mark.is_shown({mark.name.removeprefix("__Host-"): mark.value})


async def test_the_same_callback_at_once_connects_once(meta: Person) -> None:
    location = await meta.decide((await meta.start())["authorize_url"])
    answers = await asyncio.gather(*(meta.back(location) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert len((await meta.shop.call("GET", "/v1/connections")).json()["data"]) == 1


@pytest.mark.parametrize("state", ["", "x" * 43, "\x00", "ä" * 5000])
async def test_a_state_of_nobody_is_refused(house: House, state: str) -> None:
    query = urlencode({"state": state, "code": "c"})
    for platform in (*PLATFORMS, "myspace"):
        answer = await house.http.get(f"/v1/oauth/callback/{platform}?{query}", headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, "oauth_state_unknown")
        assert answer.json()["fix"]


async def test_a_late_consent_is_refused(meta: Person, clock: MovingClock) -> None:
    started = await meta.start()
    location = await meta.decide(started["authorize_url"])
    clock.ahead = timedelta(minutes=16)
    assert (await meta.attempt(started))["state"] == "expired"
    answer = await meta.back(location)
    assert (answer.status_code, answer.json()["code"]) == (400, "oauth_state_expired")
    clock.ahead = timedelta()
    again = await meta.back(location)
    assert (again.status_code, again.json()["code"]) == (409, "oauth_state_used")


async def test_a_denied_consent_says_so(person: Person) -> None:
    started = await person.start()
    location = await person.decide(started["authorize_url"], decision="deny")
    page = await person.back(location, accept="text/html")
    assert page.status_code == 400
    assert "consent_denied" in page.text
    attempt = await person.attempt(started)
    assert (attempt["state"], attempt["problem"]["code"]) == ("refused", "consent_denied")
    assert attempt["problem"]["fix"]
    assert (await person.shop.call("GET", "/v1/connections")).json()["data"] == []


async def test_missing_permissions_are_named_with_what_they_are_for(person: Person) -> None:
    started = await person.start()
    names = [scope["scope"] for scope in started["scopes"]]
    without = tuple(name for name in names if name != REQUIRED[person.platform])
    answer = await person.back(await person.decide(started["authorize_url"], scopes=without))
    assert (answer.status_code, answer.json()["code"]) == (400, "scopes_missing")
    (error,) = answer.json()["errors"]
    assert error["field"] == REQUIRED[person.platform]
    assert "writes products" in error["message"]
    assert (await person.shop.call("GET", "/v1/connections")).json()["data"] == []

    started = await person.start()
    without = tuple(name for name in names if name != OPTIONAL[person.platform])
    assert (await person.back(await person.decide(started["authorize_url"], scopes=without))).is_success
    made = await person.read((await person.attempt(started))["connection_id"])
    assert [(one["scope"], one["required"]) for one in made["missing_scopes"]] == [
        (OPTIONAL[person.platform], False)
    ]
    assert OPTIONAL[person.platform] not in made["scopes"]


async def test_another_brands_code_is_refused(house: House, person: Person) -> None:
    """Of an app or a challenge of its own. (With the house's app on a platform without PKCE a code must not be stolen
    before its owner's browser uses it up: deploy/adr/0017-consents.md.)"""
    stranger = await house.shop(person.platform)
    if person.platform == "pinterest":
        await own_app(stranger, "7700001", "another-secret")
    theirs = await stranger.decide((await stranger.start())["authorize_url"])
    code = parse_qs(urlsplit(theirs).query)["code"][0]
    started = await person.start()
    state = parse_qs(urlsplit(started["authorize_url"]).query)["state"][0]
    answer = await person.back(f"{started['redirect_uri']}?{urlencode({'state': state, 'code': code})}")
    assert (answer.status_code, answer.json()["code"]) == (400, "code_refused")
    assert (await person.attempt(started))["problem"]["code"] == "code_refused"
    assert (await person.shop.call("GET", "/v1/connections")).json()["data"] == []


@pytest.mark.parametrize("query", [{}, {"code": ""}, {"code": "never-given"}])
async def test_a_callback_without_a_good_code_connects_nothing(meta: Person, query: dict[str, str]) -> None:
    started = await meta.start()
    state = parse_qs(urlsplit(started["authorize_url"]).query)["state"][0]
    answer = await meta.back(f"{started['redirect_uri']}?{urlencode({'state': state, **query})}")
    wanted = "code_refused" if query.get("code") else "code_missing"
    assert (answer.status_code, answer.json()["code"]) == (400, wanted)


async def test_a_platform_that_does_not_answer_is_told_from_a_refusal(meta: Person) -> None:
    started = await meta.start()
    location = await meta.decide(started["authorize_url"])
    await meta.house.command(
        "POST", "/_sandbox/faults", {"kind": "outage", "platform": meta.platform, "drop": True}
    )
    try:
        answer = await meta.back(location)
    finally:
        await meta.house.command("DELETE", "/_sandbox/faults")
    assert (answer.status_code, answer.json()["code"]) == (503, "platform_silent")
    assert (await meta.attempt(started))["problem"]["code"] == "platform_silent"
    assert (await meta.consent())["state"] == "connected"


async def test_while_everything_outgoing_is_stopped_no_platform_is_asked(meta: Person) -> None:
    waiting = await meta.consent()
    assets = f"/v1/connections/{waiting['connection_id']}/assets"
    started = await meta.start()
    location = await meta.decide(started["authorize_url"])
    stopped = await meta.shop.call("POST", "/v1/outgoing:stop", {"reason": "test"})
    assert stopped.is_success, stopped.text
    for answer in (await meta.back(location), await meta.shop.call("GET", assets)):
        assert (answer.status_code, answer.json()["code"]) == (503, "outgoing_stopped")


async def test_a_person_who_was_demoted_meanwhile_connects_nothing(meta: Person) -> None:
    shop = meta.shop
    body = {"email": "ada@shop.example", "role": "owner"}
    invited = (await shop.call("POST", "/v1/invitations", body)).json()
    acceptance = {"token": invited["token"], "name": "Ada"}
    ada = (await shop.http.post("/v1/invitations:accept", json=acceptance)).json()
    start = {"platform": "meta", "mode": "sandbox"}
    started = await shop.call("POST", "/v1/connections:authorize", start, key=ada["key"]["key"])
    location = await meta.decide(started.json()["authorize_url"])
    await shop.call("PATCH", f"/v1/members/{ada['member']['id']}", {"role": "editor"})
    answer = await meta.back(location)
    assert answer.json()["code"] == "oauth_key_gone"


async def test_a_key_that_was_revoked_meanwhile_connects_nothing(meta: Person) -> None:
    made = await meta.shop.call(
        "POST", "/v1/api-keys", {"name": "k", "kind": "secret", "mode": "live", "role": "owner"}
    )
    key = made.json()
    body = {"platform": meta.platform, "mode": "sandbox"}
    started = (await meta.shop.call("POST", "/v1/connections:authorize", body, key=key["key"])).json()
    location = await meta.decide(started["authorize_url"])
    assert (await meta.shop.call("DELETE", f"/v1/api-keys/{key['id']}")).is_success
    answer = await meta.back(location)
    assert (answer.status_code, answer.json()["code"]) == (400, "oauth_key_gone")


async def test_only_what_the_consent_reaches_can_be_chosen(house: House, person: Person) -> None:
    stranger = await house.shop(person.platform)
    attempt = await person.consent()
    path = f"/v1/connections/{attempt['connection_id']}:choose"
    answer = await person.shop.call("POST", path, {"external_ids": {"catalog_id": stranger.catalog_id}})
    assert (answer.status_code, answer.json()["code"]) == (400, "connection_invalid")
    assert "asset_not_reachable" in {one["code"] for one in answer.json()["errors"]}
    for body, code in (
        ({"external_ids": {"shop": "1"}}, "external_id_unknown"),
        ({"market": "XX"}, "market_unknown"),
        ({"id_template": "{title}"}, "id_template_unknown"),
    ):
        refused = await person.shop.call("POST", path, body)
        assert code in {one["code"] for one in refused.json()["errors"]}, refused.text
    assert (await person.read(attempt["connection_id"]))["state"] == "choose_assets"
    assert connection_events(person) == []


async def test_without_a_choice_nothing_works_yet(meta: Person) -> None:
    made = await meta.consent()
    path = f"/v1/connections/{made['connection_id']}"
    for method, body in (("PATCH", {"access_token": "mine"}),):
        answer = await meta.shop.call(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "assets_not_chosen")
    again = {"platform": meta.platform, "mode": "sandbox", "connection_id": made["connection_id"]}
    refused = await meta.shop.call("POST", "/v1/connections:authorize", again)
    assert (refused.status_code, refused.json()["code"]) == (409, "assets_not_chosen")
    assert (await meta.shop.call("DELETE", path)).status_code == 204
    assert connection_events(meta) == []


async def test_a_catalog_that_is_connected_is_not_connected_twice(meta: Person) -> None:
    await meta.connect()
    attempt = await meta.consent()
    path = f"/v1/connections/{attempt['connection_id']}:choose"
    answer = await meta.shop.call("POST", path, {})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_connected")


async def test_of_other_brands_nothing_is_there(house: House, meta: Person) -> None:
    started = await meta.start()
    await meta.back(await meta.decide(started["authorize_url"]))
    stranger = await house.shop(meta.platform)
    connection_id = (await meta.attempt(started))["connection_id"]
    for method, path in (
        ("GET", f"/v1/oauth/attempts/{started['attempt_id']}"),
        ("GET", f"/v1/connections/{connection_id}/assets"),
        ("POST", f"/v1/connections/{connection_id}:choose"),
        ("POST", f"/v1/connections/{connection_id}:renew"),
    ):
        body = {} if method == "POST" else None
        assert (await stranger.shop.call(method, path, body)).status_code == 404
    again = {"platform": meta.platform, "mode": "sandbox", "connection_id": connection_id}
    answer = await stranger.shop.call("POST", "/v1/connections:authorize", again)
    assert (answer.status_code, answer.json()["code"]) == (404, "connection_not_found")


async def own_app(person: Person, app_id: str, secret: str) -> None:
    app = {"platform": person.platform, "app_id": app_id, "secret": secret}
    await person.house.command("POST", "/_sandbox/oauth/apps", app)
    body = {"platform": person.platform, "mode": "sandbox", "app_id": app_id, "app_secret": secret}
    answer = await person.shop.call("PUT", "/v1/oauth/apps", body)
    assert answer.status_code == 200, answer.text
    assert secret not in answer.text


async def test_a_brand_brings_its_own_app(
    meta: Person, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    secret = f"own-secret-{uuid4().hex}"
    await own_app(meta, "7800001", secret)
    started = await meta.start()
    assert started["app_id"] == "7800001"
    assert (await meta.back(await meta.decide(started["authorize_url"]))).is_success
    listed = await meta.shop.call("GET", "/v1/oauth/apps")
    assert [one["app_id"] for one in listed.json()["data"]] == ["7800001"]
    assert secret not in whole_text(meta.house.settings) + listed.text + logged(caplog, capsys)
    assert secret not in str([one[3:] for one in audit_of(meta.house.settings, meta.shop.id)])
    path = f"/v1/oauth/apps?platform={meta.platform}&mode=sandbox"
    assert (await meta.shop.call("DELETE", path)).status_code == 204
    assert (await meta.shop.call("DELETE", path)).status_code == 404
    assert (await meta.start())["app_id"] != "7800001"


async def test_a_wrong_app_secret_is_told(person: Person) -> None:
    await own_app(person, "7900001", "right-secret")
    body = {"platform": person.platform, "mode": "sandbox", "app_id": "7900001", "app_secret": "wrong-secret"}
    assert (await person.shop.call("PUT", "/v1/oauth/apps", body)).is_success
    started = await person.start()
    answer = await person.back(await person.decide(started["authorize_url"]))
    assert answer.status_code in (400, 503)
    assert "wrong-secret" not in answer.text
    assert (await person.shop.call("GET", "/v1/connections")).json()["data"] == []


async def test_live_needs_an_app_and_a_live_key(meta: Person) -> None:
    body = {"platform": meta.platform, "mode": "live"}
    answer = await meta.shop.call("POST", "/v1/connections:authorize", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "oauth_not_configured")
    refused = await meta.shop.call("POST", "/v1/connections:authorize", body, key=meta.shop.test)
    assert (refused.status_code, refused.json()["code"]) == (403, "live_needs_live_key")
    app = {"platform": meta.platform, "mode": "live", "app_id": "1", "app_secret": "s"}
    path = "/v1/oauth/apps"
    put = await meta.shop.call("PUT", path, app, key=meta.shop.test)
    assert (put.status_code, put.json()["code"]) == (403, "live_needs_live_key")
    assert (await meta.shop.call("PUT", path, app)).is_success
    started = (await meta.shop.call("POST", "/v1/connections:authorize", body)).json()
    host = urlsplit(await meta.begin(started["authorize_url"])).netloc
    assert host == {"meta": "www.facebook.com", "pinterest": "www.pinterest.com"}[meta.platform]
    hidden = await meta.shop.call("GET", f"/v1/oauth/attempts/{started['attempt_id']}", key=meta.shop.test)
    assert hidden.status_code == 404


async def test_a_brand_cannot_open_consents_without_end(house: House, clock: MovingClock) -> None:
    meta = await house.shop("meta")
    body = {"platform": meta.platform, "mode": "sandbox"}
    start = functools.partial(meta.shop.call, "POST", "/v1/connections:authorize", body)
    answers = [await start() for _ in range(19)] + await asyncio.gather(start(), start(), start())
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [429] * 2
    clock.ahead = timedelta(minutes=16)
    assert (await meta.shop.call("POST", "/v1/connections:authorize", body)).status_code == 201


async def test_a_host_that_is_not_this_machine_needs_a_public_url(house: House, meta: Person) -> None:
    answer = await house.http.post(
        "/v1/connections:authorize",
        json={"platform": meta.platform, "mode": "sandbox"},
        headers={"authorization": f"Bearer {meta.shop.live}", "host": "evil.example"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "oauth_not_configured")


async def test_the_forecast_of_pasted_tokens(meta: Person) -> None:
    ids = dict(meta.account["external_ids"])
    ids = {name: ids[name] for name in ("catalog_id", "ad_account_id") if name in ids}
    soon = (system_clock() + timedelta(days=2)).isoformat()
    made = await meta.shop.connect(platform=meta.platform, external_ids=ids, expires_at=soon)
    assert made.json()["token"] == {
        "origin": "given",
        "renewal": "by_hand",
        "renews_at": None,
        "last_error": "",
    }
    changed = await meta.shop.call("PATCH", f"/v1/connections/{made.json()['id']}", {"access_token": "x"})
    assert changed.json()["token"]["renewal"] == "not_needed"
    renewed = await meta.shop.call("POST", f"/v1/connections/{made.json()['id']}:renew")
    assert (renewed.status_code, renewed.json()["code"]) == (409, "not_by_consent")


async def test_the_pages_name_the_brand(meta: Person) -> None:
    for decision, status in (("approve", 200), ("deny", None)):
        started = await meta.start()
        location = await meta.decide(started["authorize_url"], decision=decision)
        page = await meta.back(location, accept="text/html")
        assert status in (None, page.status_code)
        assert f"<b>{html.escape(meta.shop.brand['name'])}</b>" in page.text
