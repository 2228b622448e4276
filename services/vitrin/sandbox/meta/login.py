"""Facebook Login's server side: codes for tokens, longer-lived tokens, and what a token is.

Sources: Meta's pages on the manual login flow, long-lived tokens and debug_token. Error subcodes 36007 and 36009 are
from reports of developers (unverified).
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import compare_digest
from typing import TYPE_CHECKING, Any

from vitrin.sandbox.meta.errors import NAMED, GraphError, invalid_parameter
from vitrin.sandbox.wire import Call, Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform

SCOPES = ("catalog_management", "business_management", "ads_management", "ads_read", "pages_show_list")
SHORT_S, LONG_S = 5_400, 5_184_000
"""Lifetimes of a first token (one to two hours) and of a long-lived one (about 60 days), in seconds."""


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise invalid_parameter(f"Missing {name} parameter.", name)
    return value


def _app(platform: MetaPlatform, params: Mapping[str, Any]) -> str:
    app_id = _text(params, "client_id")
    secret = platform.grants.app_secret("meta", app_id)
    if secret is None:
        raise GraphError(
            101, "Error validating application. Cannot get application info due to a system error."
        )
    if not compare_digest(secret.encode(), _text(params, "client_secret").encode()):
        raise GraphError(1, "Error validating client secret.")
    return app_id


def access_token(platform: MetaPlatform, call: Call, params: Mapping[str, Any]) -> Reply:
    """``/oauth/access_token``, by GET or with a form: a code, or a token that shall live longer."""
    app_id = _app(platform, params)
    if params.get("grant_type") == "fb_exchange_token":
        return _longer(platform, call, app_id, _text(params, "fb_exchange_token"))
    code = platform.grants.take_code(
        _text(params, "code"),
        platform="meta",
        app_id=app_id,
        redirect_uri=_text(params, "redirect_uri"),
        verifier=params.get("code_verifier"),
        now_ms=call.received_ms,
    )
    if code is None:
        raise GraphError(
            100,
            "This authorization code has been used, has expired or was not issued to this app.",
            subcode=36009,
        )
    account = platform.accounts.by_platform["meta"][code.account_number - 1]
    lifetime_s = min(SHORT_S, platform.grants.lifetimes["meta"].access_s or SHORT_S)
    issued = platform.grants.issue(
        account,
        app_id=app_id,
        scopes=code.scopes,
        prefix="EAAShort",
        now_ms=call.received_ms,
        lifetime_s=lifetime_s,
    )
    body = {"access_token": issued.account.access_token, "token_type": "bearer", "expires_in": lifetime_s}
    return Reply(200, body, account=account.log_name)


def _longer(platform: MetaPlatform, call: Call, app_id: str, token: str) -> Reply:
    """A long-lived token; one that is long-lived already gives another of the same length, or none that is longer."""
    account = platform.accounts.by_token("meta", token)
    held = platform.grants.tokens.get(("meta", token))
    if account is None or held is None or held.app_id != app_id:
        raise NAMED["auth_invalid"]
    if account.token_state.value == "expired":
        raise NAMED["auth"]
    if account.token_state.value == "removed":
        raise NAMED["auth_removed"]
    lifetimes = platform.grants.lifetimes["meta"]
    lifetime_s = lifetimes.access_s or LONG_S
    if token.startswith("EAALong") and not lifetimes.extends:
        left_s = max(1, (held.ends_ms - call.received_ms) // 1000)
        return Reply(200, {"access_token": token, "token_type": "bearer", "expires_in": left_s})
    issued = platform.grants.issue(
        account,
        app_id=app_id,
        scopes=held.scopes,
        prefix="EAALong",
        now_ms=call.received_ms,
        lifetime_s=lifetime_s,
    )
    body = {"access_token": issued.account.access_token, "token_type": "bearer", "expires_in": lifetime_s}
    return Reply(200, body, account=account.log_name)


def debug_token(platform: MetaPlatform, call: Call, params: Mapping[str, Any]) -> Reply:
    """``GET /debug_token``: asked with the app's own token, ``app id|secret``."""
    app_id, _, secret = _text(params, "access_token").partition("|")
    if platform.grants.app_secret("meta", app_id) != secret:
        raise NAMED["auth_invalid"]
    token = _text(params, "input_token")
    account = platform.accounts.by_token("meta", token)
    held = platform.grants.tokens.get(("meta", token))
    if account is None or held is None or held.app_id != app_id:
        wrong = {"code": 190, "message": "Invalid OAuth access token.", "subcode": 467}
        return Reply(200, {"data": {"error": wrong, "is_valid": False, "scopes": []}})
    body = {
        "app_id": app_id,
        "type": "USER",
        "application": "Vitrin (sandbox)",
        "is_valid": account.token_state.value == "valid",
        "issued_at": held.issued_ms // 1000,
        "expires_at": held.ends_ms // 1000,
        "scopes": list(held.scopes),
        "user_id": str(400_000_000_000_000 + account.number),
    }
    return Reply(200, {"data": body}, account=account.log_name)


DOORS = {"oauth/access_token": access_token, "debug_token": debug_token}
"""Paths that no person's token opens."""
