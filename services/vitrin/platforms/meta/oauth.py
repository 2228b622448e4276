"""Facebook Login for Vitrin: dialog, code exchange, long-lived tokens, permissions, and what a token can reach.

Sources: Meta's "Manually build a login flow" and "Long-lived tokens" pages (read as copies of 2026), the official SDK
26.0.3 for the edges of Business. Unverified: that the plain code flow takes a PKCE challenge (Meta documents it with
OpenID Connect, "in testing"), that `oauth/access_token` takes a form by POST (it is what passport-facebook sends; the
documentation shows GET, which would put the secret into a URL), and how often a long-lived token can be exchanged for
one that lives longer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import answered
from vitrin.platforms.meta.errors import classify
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

CONSENT_URL: Final = "https://www.facebook.com/v26.0/dialog/oauth"
PAGE_ITEMS: Final = "100"
BUSINESSES_MAX: Final = 50
"""Each costs three lists or more; those behind are not offered."""
SCOPES: Final = (
    Scope("catalog_management", "writes products, prices and stock to the catalog"),
    Scope("business_management", "lists the businesses and the catalogs and pixels they own"),
    Scope(
        "ads_management",
        "lists ad accounts, runs ads that show the catalog, uploads audiences, sends conversions",
        required=False,
    ),
    Scope("pages_show_list", "lists the Facebook pages that ads and shops speak for", required=False),
)


@dataclass(frozen=True, slots=True)
class MetaOAuth:
    platform: str = "meta"
    scopes: tuple[Scope, ...] = SCOPES
    pkce: bool = True
    needs: tuple[str, ...] = ()

    def consent_url(self, external_ids: Mapping[str, str]) -> str:
        return CONSENT_URL

    def authorize_url(self, consent_url: str, wanted: Authorization) -> str:
        query = {
            "client_id": wanted.app_id,
            "redirect_uri": wanted.redirect_uri,
            "state": wanted.state,
            "response_type": "code",
            "scope": ",".join(wanted.scopes),
        }
        if wanted.challenge is not None:
            query |= {"code_challenge": wanted.challenge, "code_challenge_method": "S256"}
        return f"{consent_url}?{urlencode(query)}"

    def callback_problem(
        self, answer: Mapping[str, str], external_ids: Mapping[str, str], secret: str
    ) -> str | None:
        return None

    async def exchange(
        self, reach: Reach, app: AppCredentials, *, code: str, redirect_uri: str, verifier: str | None
    ) -> Tokens:
        """The code for a token of about an hour, that one for a long-lived token of about 60 days."""
        form = {"code": code, "redirect_uri": redirect_uri}
        if verifier is not None:
            form["code_verifier"] = verifier
        short = await self._token(reach, app, form)
        return await self._extended(reach, app, short.access_token)

    def can_refresh(self, *, expired: bool, has_refresh_token: bool) -> bool:
        """Meta has no refresh tokens: a token is exchanged while it lives, and never after."""
        return not expired

    async def refresh(
        self, reach: Reach, app: AppCredentials, *, access_token: str, refresh_token: str | None
    ) -> Tokens:
        return await self._extended(reach, app, access_token)

    async def granted_scopes(self, reach: Reach, access_token: str) -> frozenset[str]:
        """`/me/permissions`: declined ones are listed too."""
        found = await self._list(reach, access_token, "me/permissions", {})
        return frozenset(
            text_of(one, "permission") for one in found if text_of(one, "status") in ("granted", "")
        ) - {""}

    async def assets(self, reach: Reach, access_token: str, scopes: Collection[str]) -> list[Asset]:
        found: list[Asset] = []
        if "business_management" in scopes:
            businesses = await self._list(reach, access_token, "me/businesses", {"fields": "id,name"})
            for business in businesses[:BUSINESSES_MAX]:
                found += await self._of_business(reach, access_token, text_of(business, "id"), business)
        if "ads_management" in scopes:
            accounts = await self._list(
                reach, access_token, "me/adaccounts", {"fields": "account_id,name,currency"}
            )
            found += [_asset("ad_account_id", one, id_field="account_id") for one in accounts]
        if "pages_show_list" in scopes:
            pages = await self._list(reach, access_token, "me/accounts", {"fields": "id,name"})
            found += [_asset("page_id", one) for one in pages]
        return unique(found)

    async def _of_business(
        self, reach: Reach, token: str, business_id: str, business: Mapping[str, Any]
    ) -> list[Asset]:
        """The business itself, the catalogs that it owns or was given, its pixels."""
        owner = {"business_id": business_id}
        found = [_asset("business_id", business)]
        for edge, kind in (
            ("owned_product_catalogs", "catalog_id"),
            ("client_product_catalogs", "catalog_id"),
            ("owned_pixels", "pixel_id"),
        ):
            for one in await self._list(reach, token, f"{business_id}/{edge}", {"fields": "id,name"}):
                found.append(_asset(kind, one, implies=owner if kind == "catalog_id" else {}))
        return found

    async def _list(
        self, reach: Reach, token: str, path: str, params: Mapping[str, str]
    ) -> list[Mapping[str, Any]]:
        """A list with all its pages."""
        found: list[Mapping[str, Any]] = []
        asked = {**params, "limit": PAGE_ITEMS}
        for _ in range(ASSET_PAGES_MAX):
            call = reach.call(
                self.platform, "GET", path, headers={"authorization": f"Bearer {token}"}, params=asked
            )
            answer = await answered(reach.http, call, classify=classify)
            data = answer.get("data")
            found += [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
            paging = answer.get("paging")
            if not isinstance(paging, dict) or "next" not in paging:
                break
            cursors = paging.get("cursors")
            asked["after"] = text_of(cursors, "after") if isinstance(cursors, dict) else ""
        return found

    async def _extended(self, reach: Reach, app: AppCredentials, token: str) -> Tokens:
        return await self._token(reach, app, {"grant_type": "fb_exchange_token", "fb_exchange_token": token})

    async def _token(self, reach: Reach, app: AppCredentials, form: Mapping[str, str]) -> Tokens:
        known = {"client_id": app.app_id, "client_secret": app.secret}
        sent = {**known, **form}
        call = reach.call(self.platform, "POST", "oauth/access_token", form=sent)
        try:
            answer = await answered(reach.http, call, classify=classify)
        except PlatformFailure as failure:
            raise without(failure, secrets_of(sent)) from None
        token = token_of(answer, "access_token")
        if not token:
            raise PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME, code="unreadable_answer", message="Meta's answer has no token"
            )
        return Tokens(access_token=token, expires_in_s=lifetime_of(answer, "expires_in"))


def _asset(
    kind: str, one: Mapping[str, Any], *, id_field: str = "id", implies: Mapping[str, str] | None = None
) -> Asset:
    return Asset(kind=kind, id=text_of(one, id_field), name=text_of(one, "name"), implies=implies or {})


FLOW: Final = MetaOAuth()
