"""The consent screens and token endpoints of the sandbox: the platforms' own rules, without any connector."""

import base64
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.sandbox.conftest import PlatformAccount
from tests.sandbox.test_pinterest import conforms
from vitrin.sandbox.grants import HOUSE_APPS
from vitrin.sandbox.meta.login import SCOPES as META_SCOPES
from vitrin.sandbox.pinterest.login import SCOPES as PINTEREST_SCOPES

BACK = "http://127.0.0.1:9/back?tenant=1"
VERIFIER = "a-verifier-of-more-than-forty-three-characters-long"
CHALLENGE = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
DIALOGS = {"meta": "/www.facebook.com/v26.0/dialog/oauth", "pinterest": "/www.pinterest.com/oauth/"}
SCOPES = {"meta": META_SCOPES, "pinterest": PINTEREST_SCOPES}


def dialog(platform: str, **changes: str) -> str:
    query = {
        "client_id": HOUSE_APPS[platform][0],
        "redirect_uri": BACK,
        "response_type": "code",
        "state": "s&1",
        "scope": ",".join(SCOPES[platform]),
    }
    return f"{DIALOGS[platform]}?{urlencode(query | changes)}"


def code_of(account: PlatformAccount, platform: str, *, scopes: tuple[str, ...] = (), **changes: str) -> str:
    form = {"decision": "approve", "account": account.catalog_id, "scope": list(scopes)}
    answer = account.root.post(dialog(platform, **changes), data=form)
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["state"], query["tenant"]) == (["s&1"], ["1"])
    return query["code"][0]


def meta_token(account: PlatformAccount, **form: str) -> httpx.Response:
    app_id, secret = HOUSE_APPS["meta"]
    return account.root.post(
        "/graph.facebook.com/v26.0/oauth/access_token",
        data={"client_id": app_id, "client_secret": secret, "redirect_uri": BACK} | form,
    )


def pin_token(account: PlatformAccount, *, secret: str = "", **form: str) -> httpx.Response:
    app_id, right = HOUSE_APPS["pinterest"]
    basic = base64.b64encode(f"{app_id}:{secret or right}".encode()).decode()
    return account.root.post(
        "/api.pinterest.com/v5/oauth/token", data=form, headers={"authorization": f"Basic {basic}"}
    )


def bearing(account: PlatformAccount, token: str, path: str) -> httpx.Response:
    return account.root.get(f"{account.url}/{path}", headers={"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "1"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "/relative"},
        {"scope": "everything"},
        {"scope": ""},
        {"response_type": "token"},
    ],
)
def test_a_dialog_that_makes_no_sense_is_told_to_the_person(
    sandbox: httpx.Client, platform: str, changes: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        answer = sandbox.request(method, dialog(platform, **changes), data={"decision": "approve"})
        assert answer.status_code == 400
        assert "cannot be shown" in answer.text


def test_the_screen_escapes_what_it_shows(sandbox: httpx.Client) -> None:
    hostile = "http://127.0.0.1:9/<script>alert(1)</script>"
    answer = sandbox.get(dialog("meta", redirect_uri=hostile, state='"><script>'))
    assert answer.status_code == 200
    assert "<script>" not in answer.text


def test_meta_gives_a_short_token_for_a_code_and_a_long_one_for_that(meta: PlatformAccount) -> None:
    code = code_of(meta, "meta", code_challenge=CHALLENGE, code_challenge_method="S256")
    short = meta_token(meta, code=code, code_verifier=VERIFIER).json()
    assert (short["token_type"], short["expires_in"]) == ("bearer", 5_400)
    long = meta_token(meta, grant_type="fb_exchange_token", fb_exchange_token=short["access_token"]).json()
    assert long["expires_in"] == 5_184_000
    permissions = bearing(meta, long["access_token"], "me/permissions").json()["data"]
    assert {one["status"] for one in permissions} == {"granted"}
    app_id, secret = HOUSE_APPS["meta"]
    told = meta.root.get(
        "/graph.facebook.com/v26.0/debug_token",
        params={"input_token": long["access_token"], "access_token": f"{app_id}|{secret}"},
    ).json()["data"]
    assert (told["app_id"], told["is_valid"], told["scopes"]) == (app_id, True, list(META_SCOPES))
    log = meta.root.get("/_sandbox/log", params={"limit": 1000}).text
    for word in (code, short["access_token"], long["access_token"], secret, VERIFIER):
        assert word not in log


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "another"},
        {"redirect_uri": "http://127.0.0.1:9/elsewhere"},
        {"client_secret": "wrong"},
        {"client_id": "2"},
    ],
)
def test_meta_takes_a_code_from_its_app_only_and_once(meta: PlatformAccount, wrong: dict[str, str]) -> None:
    code = code_of(meta, "meta", code_challenge=CHALLENGE, code_challenge_method="S256")
    refused = meta_token(meta, **({"code": code, "code_verifier": VERIFIER} | wrong))
    assert refused.status_code == 400
    assert "error" in refused.json()
    code = code_of(meta, "meta")
    assert meta_token(meta, code=code).status_code == 200
    assert meta_token(meta, code=code).json()["error"]["error_subcode"] == 36009


def test_meta_holds_a_token_to_its_scopes(meta: PlatformAccount) -> None:
    code = code_of(meta, "meta", scopes=("business_management",))
    token = meta_token(meta, code=code).json()["access_token"]
    businesses = bearing(meta, token, "me/businesses").json()["data"]
    assert [one["id"] for one in businesses] == [meta.ids["business_id"]]
    for path in (f"{meta.catalog_id}/products", "me/adaccounts", "me/accounts"):
        assert bearing(meta, token, path).json()["error"]["code"] == 200
    declined = bearing(meta, token, "me/permissions").json()["data"]
    assert {"permission": "catalog_management", "status": "declined"} in declined


def test_pinterest_speaks_its_own_schema(pinterest: PlatformAccount) -> None:
    form: dict[str, Any] = {"grant_type": "authorization_code", "redirect_uri": BACK}
    first = pin_token(pinterest, code=code_of(pinterest, "pinterest"), **form)
    conforms(first.json(), "OauthAccessTokenResponseCode")
    assert (first.json()["expires_in"], first.json()["refresh_token_expires_in"]) == (2_592_000, 5_184_000)
    again = pin_token(pinterest, grant_type="refresh_token", refresh_token=first.json()["refresh_token"])
    conforms(again.json(), "OauthAccessTokenResponseRefresh")
    token = again.json()["access_token"]
    assert token != first.json()["access_token"]
    accounts = bearing(pinterest, token, "ad_accounts").json()["items"]
    conforms(accounts[0], "AdAccount")
    tags = bearing(pinterest, token, f"ad_accounts/{accounts[0]['id']}/conversion_tags").json()["items"]
    conforms(tags[0], "ConversionTag")
    for refused in (
        pin_token(pinterest, code="never-given", **form),
        pin_token(pinterest, grant_type="refresh_token", refresh_token="never-given"),
        pin_token(pinterest, secret="wrong", code=code_of(pinterest, "pinterest"), **form),
        pin_token(pinterest, grant_type="password"),
    ):
        assert refused.status_code in (400, 401)
        conforms(refused.json(), "Error")


def test_pinterest_holds_a_token_to_its_scopes(pinterest: PlatformAccount) -> None:
    code = code_of(pinterest, "pinterest", scopes=("catalogs:read",))
    answer = pin_token(pinterest, code=code, grant_type="authorization_code", redirect_uri=BACK).json()
    assert answer["scope"] == "catalogs:read"
    assert bearing(pinterest, answer["access_token"], "catalogs").status_code == 200
    for path in ("ad_accounts", "user_account"):
        assert bearing(pinterest, answer["access_token"], path).json()["code"] == 29


def test_short_lived_tokens_on_command(pinterest: PlatformAccount) -> None:
    lifetimes = {"platform": "pinterest", "access_s": 1, "refresh_s": 1}
    assert pinterest.root.post("/_sandbox/oauth/lifetimes", json=lifetimes).is_success
    code = code_of(pinterest, "pinterest")
    answer = pin_token(pinterest, code=code, grant_type="authorization_code", redirect_uri=BACK).json()
    pinterest.root.post("/_sandbox/oauth/lifetimes", json={"platform": "pinterest"})
    assert (answer["expires_in"], answer["refresh_token_expires_in"]) == (1, 1)
