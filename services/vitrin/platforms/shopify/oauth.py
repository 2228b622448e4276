"""Shopify's authorization code grant for apps outside its admin: a dialog per shop, a signed callback, offline tokens.

Sources: shopify.dev "Authorization code grant" and "Offline access tokens" (copies of 2026): offline tokens of public
apps must expire from January 1, 2027; they live an hour and come with a refresh token of 90 days, which is replaced at
every use and kept valid until the replacement is used. Unverified: that the token endpoint takes a form as well as JSON
(its official libraries send both), and that `expiring` is simply ignored for custom apps.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from vitrin.platforms.base import ChannelMisconfigured, FailureKind, PlatformFailure
from vitrin.platforms.calling import answered
from vitrin.platforms.oauth import (
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
    without,
)
from vitrin.platforms.shopify.errors import classify
from vitrin.platforms.shopify.rules import NAME, SHOP_ID, base_url, external_id_problem

SCOPES: Final = (
    Scope("read_products", "reads products, variants and prices"),
    Scope("read_inventory", "reads stock by location"),
    Scope("read_locations", "names the locations that stock is summed over"),
    Scope("read_orders", "hears of orders, refunds and cancellations"),
)
UNSIGNED: Final = frozenset({"hmac", "signature"})
TOKEN_PATH: Final = "admin/oauth/access_token"  # noqa: S105
SCOPES_PATH: Final = "admin/oauth/access_scopes.json"


@dataclass(frozen=True, slots=True)
class ShopifyOAuth:
    """`Reach.base_url` is the shop's: `ShopSpec.base_url` of the same external ids, or the sandbox's for it."""

    platform: str = NAME
    scopes: tuple[Scope, ...] = SCOPES
    pkce: bool = False
    needs: tuple[str, ...] = (SHOP_ID,)

    def consent_url(self, external_ids: Mapping[str, str]) -> str:
        problem = external_id_problem(SHOP_ID, external_ids.get(SHOP_ID, ""))
        if problem is not None:
            raise ChannelMisconfigured(
                "external_id_invalid",
                field=f"external_ids.{SHOP_ID}",
                message="Shopify asks for consent at the shop's own domain.",
                fix=problem,
            )
        return f"{base_url(external_ids)}/admin/oauth/authorize"

    def authorize_url(self, consent_url: str, wanted: Authorization) -> str:
        """Without `grant_options[]=per-user` the token is an offline one."""
        query = {
            "client_id": wanted.app_id,
            "scope": ",".join(wanted.scopes),
            "redirect_uri": wanted.redirect_uri,
            "state": wanted.state,
        }
        return f"{consent_url}?{urlencode(query)}"

    def callback_problem(
        self, answer: Mapping[str, str], external_ids: Mapping[str, str], secret: str
    ) -> str | None:
        if not callback_signed(answer, secret):
            return "The callback is not signed with the secret of this app."
        if answer.get(SHOP_ID, "") != external_ids.get(SHOP_ID):
            return "The callback is about another shop than the one that was asked."
        return None

    async def exchange(
        self, reach: Reach, app: AppCredentials, *, code: str, redirect_uri: str, verifier: str | None
    ) -> Tokens:
        return await self._token(reach, app, {"code": code, "expiring": "1"})

    def can_refresh(self, *, expired: bool, has_refresh_token: bool) -> bool:
        return has_refresh_token

    async def refresh(
        self, reach: Reach, app: AppCredentials, *, access_token: str, refresh_token: str | None
    ) -> Tokens:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token or ""}
        return await self._token(reach, app, form)

    async def granted_scopes(self, reach: Reach, access_token: str) -> frozenset[str]:
        call = reach.call(self.platform, "GET", SCOPES_PATH, headers={"x-shopify-access-token": access_token})
        answer = await answered(reach.http, call, classify=classify)
        found = answer.get("access_scopes")
        rows = found if isinstance(found, list) else []
        return _with_reading(text_of(one, "handle") for one in rows if isinstance(one, dict))

    async def assets(self, reach: Reach, access_token: str, scopes: Collection[str]) -> list[Asset]:
        """The shop was named before: there is nothing to choose."""
        return []

    async def _token(self, reach: Reach, app: AppCredentials, form: Mapping[str, str]) -> Tokens:
        sent = {"client_id": app.app_id, "client_secret": app.secret, **form}
        call = reach.call(self.platform, "POST", TOKEN_PATH, form=sent)
        try:
            answer: Any = await answered(reach.http, call, classify=classify)
        except PlatformFailure as failure:
            raise without(failure, secrets_of(sent)) from None
        token = token_of(answer, "access_token")
        if not token:
            raise PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME, code="unreadable_answer", message="Shopify's answer has no token"
            )
        scope = answer.get("scope")
        return Tokens(
            access_token=token,
            expires_in_s=lifetime_of(answer, "expires_in"),
            refresh_token=token_of(answer, "refresh_token") or None,
            refresh_expires_in_s=lifetime_of(answer, "refresh_token_expires_in"),
            scopes=_with_reading(scope.split(",")) if isinstance(scope, str) else None,
        )


def callback_signed(answer: Mapping[str, str], secret: str) -> bool:
    """Hex HMAC-SHA256 over all other parameters, sorted by name, as `name=value` joined by `&`.

    Shopify's libraries disagree about escaping where a value holds more than letters, digits and dots (one encodes as
    a form, one only what would be ambiguous): both writings are taken, as neither lets two queries look the same."""
    given = answer.get("hmac", "")
    rest = sorted((name, value) for name, value in answer.items() if name not in UNSIGNED)
    bare = "&".join(f"{_bare(name).replace('=', '%3D')}={_bare(value)}" for name, value in rest)
    fits = [
        hmac.compare_digest(
            hmac.new(secret.encode(), said.encode("utf-8", "surrogatepass"), hashlib.sha256)
            .hexdigest()
            .encode(),
            given.encode("utf-8", "surrogatepass"),
        )
        for said in (bare, urlencode(rest, errors="surrogatepass"))
    ]
    return bool(secret) and any(fits)


def _bare(text: str) -> str:
    return text.replace("%", "%25").replace("&", "%26")


def _with_reading(scopes: Any) -> frozenset[str]:
    """Shopify leaves `read_x` out where `write_x` is granted."""
    named = {scope.strip() for scope in scopes} - {""}
    return frozenset(
        named | {f"read_{name.removeprefix('write_')}" for name in named if name[:6] == "write_"}
    )


FLOW: Final = ShopifyOAuth()
