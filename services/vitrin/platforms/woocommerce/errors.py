"""WooCommerce's answers, classified. Pure. WordPress refuses with `{code, message, data: {status}}`; what is no JSON
comes from the host in front of it: a proxy, a firewall, a maintenance page, PHP's last words."""

from collections.abc import Mapping
from typing import Final

from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import by_status, seconds

MESSAGE_CHARS_MAX: Final = 500
NO_SUCH: Final = "no_such_object"
_AGAIN: Final = "Vitrin tries again by itself."
_KEYS: Final = "Make new keys in WooCommerce, Settings, Advanced, REST API, with read and write access."
GONE: Final = frozenset(
    {
        "woocommerce_rest_product_invalid_id",
        "woocommerce_rest_product_variation_invalid_id",
        "woocommerce_rest_shop_order_invalid_id",
        "woocommerce_rest_shop_webhook_invalid_id",
    }
)


def classify(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """None for a success. `headers` are lower-case."""
    if 200 <= status < 300:
        return None if isinstance(body, dict | list) else _no_json(status)
    if 300 <= status < 400:
        return PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="shop_moved",
            message="The store answers with a redirect, which is not followed with keys in hand.",
            fix="Connect the address that the store redirects to (with or without www, with https).",
            platform_code=str(status),
        )
    named = body.get("code") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(named, str):
        return _of_host(status, headers)
    kind, code, fix = _meaning(status, named)
    return PlatformFailure(
        kind,
        code=code,
        message=str(body.get("message") or "WooCommerce gave no message")[:MESSAGE_CHARS_MAX],
        fix=fix,
        platform_code=named[:MESSAGE_CHARS_MAX],
        retry_after_s=seconds(headers.get("retry-after", "")) if kind is FailureKind.THROTTLED else None,
    )


def _meaning(status: int, named: str) -> tuple[FailureKind, str, str]:
    """Without a known key WordPress says 401, with one that may not 403, both with the same code."""
    if named in GONE:
        return FailureKind.INVALID_REQUEST, NO_SUCH, "It is no longer in the shop."
    if named == "rest_no_route":
        return (
            FailureKind.PERMISSION,
            "shop_api_missing",
            "Activate WooCommerce at this address, or correct the address.",
        )
    if status == 429:
        return FailureKind.THROTTLED, "throttled", _AGAIN
    if status == 401:
        return (
            FailureKind.AUTH,
            "token_invalid",
            f"{_KEYS} Hosts that drop the Authorization header refuse so too.",
        )
    if status == 403:
        return FailureKind.PERMISSION, "permission_missing", _KEYS
    if status >= 500:
        return FailureKind.UNKNOWN_OUTCOME, "platform_unwell", _AGAIN
    if status in (400, 404, 422):
        return FailureKind.INVALID_REQUEST, "invalid_parameter", "Follow what WooCommerce says."
    return FailureKind.TRANSIENT, f"http_{status}", _AGAIN


def _of_host(status: int, headers: Mapping[str, str]) -> PlatformFailure | None:
    if status == 404:
        return PlatformFailure(
            FailureKind.TRANSIENT,
            code="shop_api_missing",
            message="There is no /wp-json at the store's address.",
            fix="Choose any permalinks but Plain in WordPress, Settings, Permalinks; or correct the address.",
            platform_code="404",
        )
    if status in (401, 403):
        return PlatformFailure(
            FailureKind.PERMISSION,
            code="shop_shielded",
            message=f"HTTP {status} from the store's host, not from WooCommerce",
            fix="Let the host's firewall or password protection pass calls to /wp-json/wc/v3.",
            platform_code=str(status),
        )
    return by_status(status, headers)


def _no_json(status: int) -> PlatformFailure:
    return PlatformFailure(
        FailureKind.UNKNOWN_OUTCOME,
        code="unreadable_answer",
        message="The store answers with a page instead of JSON (maintenance, a cache, an error of a plugin).",
        fix=_AGAIN,
        platform_code=str(status),
    )
