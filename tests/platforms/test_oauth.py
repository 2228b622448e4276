"""What the connectors of consent make of a platform's answers: pages, nonsense, refusals. Over a real socket."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.kit.serving import serving
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.settings import HttpSettings
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.oauth import AppCredentials, Authorization, Reach, challenge_of, lifetime_of, missing
from vitrin.platforms.registry import OAUTH, PLATFORMS, SHOPS

APP = AppCredentials(app_id="1", secret="s:e/c&r")


class Platform:
    """Answers what the test has put down for the path, page by page; remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, dict[str, str], str, str]] = []

    async def serve(self, request: Request) -> Response:
        body = (await request.body()).decode()
        path = request.url.path.removeprefix("/api/")
        authorization = request.headers.get("authorization", "")
        self.asked.append((path, dict(request.query_params), authorization, body))
        waiting = self.answers.get(path, [])
        found = waiting.pop(0) if waiting else {"data": [], "items": []}
        return found if isinstance(found, Response) else JSONResponse(found)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def reach(platform: Platform) -> AsyncIterator[Reach]:
    app = Starlette(routes=[Route("/{path:path}", platform.serve, methods=["GET", "POST"])])
    async with (
        serving(app, HttpSettings(service="test")) as client,
        PlatformHttp(rate_factor=1_000.0) as http,
    ):
        yield Reach(http=http, base_url=f"{client.base_url}/api/", brand="b")


def test_every_platform_has_a_flow_whose_scopes_say_what_they_are_for() -> None:
    assert OAUTH.keys() == PLATFORMS.keys() | {"shopify"}
    for name, flow in OAUTH.items():
        assert flow.platform == name
        assert len({scope.name for scope in flow.scopes}) == len(flow.scopes)
        assert all(scope.purpose for scope in flow.scopes)
        required = {scope.name for scope in flow.scopes if scope.required}
        assert required >= set({**PLATFORMS, **SHOPS}[name].required_scopes)
        assert [one.name for one in missing(flow, required)] == [
            one.name for one in flow.scopes if not one.required
        ]


@pytest.mark.parametrize("name", sorted(OAUTH))
def test_the_address_carries_the_state_and_no_secret(name: str) -> None:
    flow = OAUTH[name]
    wanted = Authorization(
        app_id="1", redirect_uri="https://a.example/b?c=d", state="x&y", scopes=["p", "q"], challenge="ch"
    )
    parts = urlsplit(flow.authorize_url(flow.consent_url({"shop": "acme.myshopify.com"}), wanted))
    query = parse_qs(parts.query)
    assert parts.scheme == "https"
    assert (query["state"], query["scope"], query["redirect_uri"]) == (
        ["x&y"],
        ["p,q"],
        ["https://a.example/b?c=d"],
    )
    assert ("code_challenge" in query) is flow.pkce


def test_a_challenge_is_that_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("value", [0, -1, True, "60", None, 1.5])
def test_a_lifetime_that_is_none(value: object) -> None:
    assert lifetime_of({"expires_in": value}, "expires_in") is None


async def test_meta_exchanges_twice_and_hides_the_secret_in_the_body(
    platform: Platform, reach: Reach
) -> None:
    platform.answers["oauth/access_token"] = [
        {"access_token": "short", "expires_in": 3600},
        {"access_token": "long"},
    ]
    tokens = await OAUTH["meta"].exchange(reach, APP, code="c", redirect_uri="r", verifier="v")
    assert (tokens.access_token, tokens.expires_in_s, tokens.refresh_token) == ("long", None, None)
    assert [query for _, query, _, _ in platform.asked] == [{}, {}]
    first, second = (parse_qs(body) for *_, body in platform.asked)
    assert (first["client_secret"], first["code_verifier"]) == ([APP.secret], ["v"])
    assert second["fb_exchange_token"] == ["short"]
    assert "long" not in repr(tokens)
    assert APP.secret not in repr(APP)


async def test_pinterest_authenticates_in_the_header(platform: Platform, reach: Reach) -> None:
    platform.answers["oauth/token"] = [
        {
            "access_token": "a",
            "expires_in": 10,
            "refresh_token": "r",
            "refresh_token_expires_in": 20,
            "scope": "ads:read,catalogs:read ads:write",
        }
    ]
    tokens = await OAUTH["pinterest"].refresh(reach, APP, access_token="old", refresh_token="old-r")
    assert tokens.scopes == {"ads:read", "catalogs:read", "ads:write"}
    assert (tokens.refresh_token, tokens.refresh_expires_in_s) == ("r", 20)
    _, _, authorization, body = platform.asked[0]
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"1:{APP.secret}"
    assert parse_qs(body)["refresh_token"] == ["old-r"]


async def test_lists_are_read_page_by_page(platform: Platform, reach: Reach) -> None:
    more = {"paging": {"next": "x", "cursors": {"after": "A"}}}
    platform.answers |= {
        "me/businesses": [{"data": [{"id": "1", "name": "One"}], **more}, {"data": [{"id": "2"}]}],
        "1/owned_product_catalogs": [{"data": [{"id": "10", "name": "C"}]}],
        "2/client_product_catalogs": [{"data": [{"id": "10", "name": "C"}, {"id": "20"}]}],
    }
    found = await OAUTH["meta"].assets(reach, "token", {"business_management"})
    assert [(one.kind, one.id, dict(one.implies)) for one in found] == [
        ("business_id", "1", {}),
        ("catalog_id", "10", {"business_id": "1"}),
        ("business_id", "2", {}),
        ("catalog_id", "20", {"business_id": "2"}),
    ]
    pages = [query.get("after") for path, query, *_ in platform.asked if path == "me/businesses"]
    assert pages == [None, "A"]
    assert {authorization for _, _, authorization, _ in platform.asked} == {"Bearer token"}

    platform.asked.clear()
    platform.answers |= {
        "user_account": [{"id": "7", "username": "shop"}],
        "ad_accounts": [
            {"items": [{"id": "5"}], "bookmark": "B"},
            {"items": [{"id": "6"}], "bookmark": None},
        ],
        "catalogs": [{"items": [{"id": "50", "name": None}]}, {"items": []}],
    }
    found = await OAUTH["pinterest"].assets(reach, "token", set())
    assert [(one.kind, one.id, one.name) for one in found] == [
        ("user_id", "7", "shop"),
        ("ad_account_id", "5", ""),
        ("catalog_id", "50", ""),
        ("ad_account_id", "6", ""),
    ]
    assert [query.get("bookmark") for path, query, *_ in platform.asked if path == "ad_accounts"] == [
        None,
        "B",
    ]


async def test_a_list_without_end_is_cut(platform: Platform, reach: Reach) -> None:
    page = {"data": [{"id": "1", "name": "P"}], "paging": {"next": "x", "cursors": {"after": "A"}}}
    platform.answers["me/accounts"] = [page] * 100
    found = await OAUTH["meta"].assets(reach, "token", {"pages_show_list"})
    assert [(one.kind, one.id) for one in found] == [("page_id", "1")]
    assert len(platform.asked) == 10


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({}, FailureKind.UNKNOWN_OUTCOME),
        ({"access_token": 5}, FailureKind.UNKNOWN_OUTCOME),
        (Response("<html>", status_code=502), FailureKind.UNKNOWN_OUTCOME),
        (
            JSONResponse({"error": {"code": 100, "message": "m"}}, status_code=200),
            FailureKind.INVALID_REQUEST,
        ),
        (JSONResponse({"error": {"code": 190, "error_subcode": 463}}, status_code=401), FailureKind.AUTH),
    ],
)
async def test_what_is_no_token_is_a_failure(
    platform: Platform, reach: Reach, answer: Any, kind: FailureKind
) -> None:
    platform.answers["oauth/access_token"] = [answer]
    with pytest.raises(PlatformFailure) as failure:
        await OAUTH["meta"].refresh(reach, APP, access_token="old", refresh_token=None)
    assert failure.value.kind is kind
    assert len(platform.asked) == 1


async def test_lists_of_nonsense_are_empty(platform: Platform, reach: Reach) -> None:
    platform.answers |= {
        "me/businesses": [{"data": "none"}],
        "me/adaccounts": [{"data": [1, None, {"name": "no id"}]}],
        "me/permissions": [{"data": [{"permission": "a", "status": "granted"}, {"status": "granted"}, 3]}],
    }
    assert await OAUTH["meta"].assets(reach, "t", {"business_management", "ads_management"}) == []
    assert await OAUTH["meta"].granted_scopes(reach, "t") == {"a"}
