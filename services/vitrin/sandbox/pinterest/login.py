"""Pinterest's token endpoint and what a token can reach beside catalogs. Source: OpenAPI 5.23."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from secrets import compare_digest
from typing import Any

from vitrin.sandbox.accounts import Account, AccountBook
from vitrin.sandbox.grants import Code, GrantBook, Refresh
from vitrin.sandbox.pinterest.errors import NAMED, ApiError, invalid_request
from vitrin.sandbox.wire import Call, Reply

TOKEN_PATH = "/v5/oauth/token"  # noqa: S105 - a path
SCOPES = ("ads:read", "ads:write", "catalogs:read", "catalogs:write", "user_accounts:read")
ACCESS_S, REFRESH_S = 2_592_000, 5_184_000
"""30 days for a token, 60 for a continuous refresh token, in seconds."""
BAD_GRANT = ApiError(400, 283, "Authorization code or refresh token is invalid, expired or was used already.")
"""The code is unverified."""


def token(accounts: AccountBook, grants: GrantBook, call: Call) -> Reply:
    """``POST /v5/oauth/token``: Basic authentication of the app, a form with what it offers."""
    app_id = _app(grants, call)
    form = call.form
    if not form:
        raise ApiError(400, 1, "Missing request body")
    match form.get("grant_type"):
        case "authorization_code":
            given: Code | Refresh | None = grants.take_code(
                _field(form, "code"),
                platform="pinterest",
                app_id=app_id,
                redirect_uri=_field(form, "redirect_uri"),
                verifier=None,
                now_ms=call.received_ms,
            )
            kind = "authorization_code"
        case "refresh_token":
            given = grants.refreshes.get(_field(form, "refresh_token"))
            kind = "refresh_token"
            if given is not None and (given.app_id != app_id or call.received_ms >= given.ends_ms):
                given = None
        case _:
            raise invalid_request("'grant_type' is not one of the supported types")
    if given is None:
        raise BAD_GRANT
    return _answer(accounts, grants, call, given, kind=kind)


def _answer(
    accounts: AccountBook, grants: GrantBook, call: Call, given: Code | Refresh, *, kind: str
) -> Reply:
    """A fresh pair; the refresh token before stays good until its end."""
    account = accounts.by_platform["pinterest"][given.account_number - 1]
    lifetimes = grants.lifetimes["pinterest"]
    access_s, refresh_s = lifetimes.access_s or ACCESS_S, lifetimes.refresh_s or REFRESH_S
    issued = grants.issue(
        account,
        app_id=given.app_id,
        scopes=given.scopes,
        prefix="pina_",
        now_ms=call.received_ms,
        lifetime_s=access_s,
    )
    ends_ms = call.received_ms + refresh_s * 1000
    fresh = Refresh("pinterest", given.app_id, given.account_number, given.scopes, ends_ms)
    body = {
        "response_type": kind,
        "access_token": issued.account.access_token,
        "token_type": "bearer",
        "expires_in": access_s,
        "scope": " ".join(given.scopes),
        "refresh_token": grants.give_refresh(fresh, prefix="pinr_"),
        "refresh_token_expires_in": refresh_s,
        "refresh_token_expires_at": ends_ms // 1000,
    }
    return Reply(200, body, account=account.log_name)


def _app(grants: GrantBook, call: Call) -> str:
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    try:
        app_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise NAMED["auth"] from None
    wanted = grants.app_secret("pinterest", app_id)
    if scheme.lower() != "basic" or wanted is None or not compare_digest(wanted.encode(), secret.encode()):
        raise NAMED["auth"]
    return app_id


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise invalid_request(f"'{name}' is a required property")
    return value


def ad_accounts(account: Account) -> dict[str, Any]:
    """``GET /v5/ad_accounts``."""
    one = {
        "id": account.external_ids["ad_account_id"],
        "name": f"{account.name} ads",
        "owner": {"username": f"sandboxshop{account.number}", "id": account.external_ids["user_id"]},
        "country": "DE",
        "currency": "EUR",
        "permissions": ["OWNER"],
        "created_time": 1_700_000_000,
        "updated_time": 1_700_000_000,
    }
    return {"items": [one], "bookmark": None}


def conversion_tags(account: Account) -> dict[str, Any]:
    """``GET /v5/ad_accounts/{id}/conversion_tags``."""
    one = {
        "id": account.external_ids["tag_id"],
        "ad_account_id": account.external_ids["ad_account_id"],
        "name": f"{account.name} tag",
        "status": "ACTIVE",
        "version": "3",
    }
    return {"items": [one]}
