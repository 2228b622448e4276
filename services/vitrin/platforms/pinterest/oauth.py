"""Pinterest's consent: dialog, code exchange, refresh tokens, and what a token can reach.

Source: its OpenAPI description 5.23.0 (`/oauth/token` with Basic authentication and a form; scopes; no PKCE, so none is
sent) and its page on authentication. Unverified: that the dialog wants scopes separated by commas and answers a denial
with `error=access_denied`, and whether an old access token outlives its refresh (both are treated as possible).
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import answered
from vitrin.platforms.oauth import (
    ASSET_PAGES_MAX,
    AppCredentials,
    Asset,
    Authorization,
    Reach,
    Scope,
    Tokens,
    lifetime_of,
    secrets_of,
    text_of,
    token_of,
    unique,
    without,
)
from vitrin.platforms.pinterest.errors import classify

CONSENT_URL: Final = "https://www.pinterest.com/oauth/"
PAGE_ITEMS: Final = "250"
SCOPES: Final = (
    Scope("catalogs:read", "reads back what the catalog shows"),
    Scope("catalogs:write", "writes products, prices and stock to the catalog"),
    Scope("ads:read", "lists the ad accounts that catalogs belong to, and their tags"),
    Scope("user_accounts:read", "shows which Pinterest account is connected"),
    Scope(
        "ads:write", "runs ads that show the catalog, uploads audiences, sends conversions", required=False
    ),
)


@dataclass(frozen=True, slots=True)
class PinterestOAuth:
    platform: str = "pinterest"
    scopes: tuple[Scope, ...] = SCOPES
    pkce: bool = False
    needs: tuple[str, ...] = ()

    def consent_url(self, external_ids: Mapping[str, str]) -> str:
        return CONSENT_URL

    def authorize_url(self, consent_url: str, wanted: Authorization) -> str:
        query = {
            "client_id": wanted.app_id,
            "redirect_uri": wanted.redirect_uri,
            "response_type": "code",
            "scope": ",".join(wanted.scopes),
            "state": wanted.state,
        }
        return f"{consent_url}?{urlencode(query)}"

    def callback_problem(
        self, answer: Mapping[str, str], external_ids: Mapping[str, str], secret: str
    ) -> str | None:
        return None

    async def exchange(
        self, reach: Reach, app: AppCredentials, *, code: str, redirect_uri: str, verifier: str | None
    ) -> Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            # Apps made before September 25, 2025 get the refresh token of 60 days only when they ask.
            "continuous_refresh": "true",
        }
        return await self._token(reach, app, form)

    def can_refresh(self, *, expired: bool, has_refresh_token: bool) -> bool:
        return has_refresh_token

    async def refresh(
        self, reach: Reach, app: AppCredentials, *, access_token: str, refresh_token: str | None
    ) -> Tokens:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token or ""}
        return await self._token(reach, app, form)

    async def granted_scopes(self, reach: Reach, access_token: str) -> frozenset[str]:
        """Pinterest tells them with the token, and offers no call that tells them again."""
        return frozenset()

    async def assets(self, reach: Reach, access_token: str, scopes: Collection[str]) -> list[Asset]:
        user = await self._get(reach, access_token, "user_account", {})
        named = text_of(user, "business_name") or text_of(user, "username")
        found = [Asset(kind="user_id", id=text_of(user, "id"), name=named)] if user.get("id") else []
        for account in await self._list(reach, access_token, "ad_accounts", {}):
            account_id = text_of(account, "id")
            found.append(Asset(kind="ad_account_id", id=account_id, name=text_of(account, "name")))
            owner = {"ad_account_id": account_id}
            for one in await self._list(reach, access_token, "catalogs", owner):
                found.append(_asset("catalog_id", one, owner))
            path = f"ad_accounts/{account_id}/conversion_tags"
            for one in await self._list(reach, access_token, path, {}):
                found.append(_asset("tag_id", one, owner))
        return unique(found)

    async def _list(
        self, reach: Reach, token: str, path: str, params: Mapping[str, str]
    ) -> list[Mapping[str, Any]]:
        """A list with all its pages."""
        found: list[Mapping[str, Any]] = []
        asked = dict(params)
        if not path.endswith("conversion_tags"):  # which has no pages
            asked["page_size"] = PAGE_ITEMS
        for _ in range(ASSET_PAGES_MAX):
            answer = await self._get(reach, token, path, asked)
            items = answer.get("items")
            found += [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
            asked["bookmark"] = text_of(answer, "bookmark")
            if not asked["bookmark"]:
                break
        return found

    async def _get(self, reach: Reach, token: str, path: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        call = reach.call(
            self.platform, "GET", path, headers={"authorization": f"Bearer {token}"}, params=params
        )
        answer: Mapping[str, Any] = await answered(reach.http, call, classify=classify)
        return answer

    async def _token(self, reach: Reach, app: AppCredentials, form: Mapping[str, str]) -> Tokens:
        basic = base64.b64encode(f"{app.app_id}:{app.secret}".encode()).decode()
        call = reach.call(
            self.platform, "POST", "oauth/token", headers={"authorization": f"Basic {basic}"}, form=form
        )
        try:
            answer = await answered(reach.http, call, classify=classify)
        except PlatformFailure as failure:
            raise without(failure, [*secrets_of(form), app.secret, basic]) from None
        token = token_of(answer, "access_token")
        if not token:
            raise PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME,
                code="unreadable_answer",
                message="Pinterest's answer has no token",
            )
        named = text_of(answer, "scope").replace(",", " ").split()
        return Tokens(
            access_token=token,
            expires_in_s=lifetime_of(answer, "expires_in"),
            refresh_token=token_of(answer, "refresh_token") or None,
            refresh_expires_in_s=lifetime_of(answer, "refresh_token_expires_in"),
            scopes=frozenset(named) if named else None,
        )


def _asset(kind: str, one: Mapping[str, Any], implies: Mapping[str, str]) -> Asset:
    return Asset(kind=kind, id=text_of(one, "id"), name=text_of(one, "name"), implies=implies)


FLOW: Final = PinterestOAuth()
