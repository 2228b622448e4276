"""Shopify's answers, classified. Pure.

GraphQL answers 200 with `errors` [{message, extensions: {code}}]; REST and the gateway answer `{"errors": ...}` with a
status, OAuth `{"error", "error_description"}`. Of a query whose fields failed in part nothing is used.
"""

from collections.abc import Mapping
from typing import Any, Final

from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import by_status, seconds

_AGAIN: Final = "Vitrin tries again by itself."
_CONNECT: Final = "Connect the shop again."
MESSAGE_CHARS_MAX: Final = 500
STATUSES: Final[Mapping[int, tuple[FailureKind, str, str]]] = {
    401: (FailureKind.AUTH, "token_invalid", _CONNECT),
    402: (
        FailureKind.PERMISSION,
        "shop_frozen",
        "The shop has to pay Shopify's bill; then connect it again.",
    ),
    403: (FailureKind.PERMISSION, "permission_missing", "Grant the app the scopes it asks for."),
    404: (FailureKind.PERMISSION, "shop_gone", "Check the shop's domain; closed shops cannot be read."),
    423: (FailureKind.PERMISSION, "shop_locked", "Ask Shopify's support to unlock the shop."),
    429: (FailureKind.THROTTLED, "throttled", _AGAIN),
    430: (FailureKind.THROTTLED, "throttled", _AGAIN),
}
CODES: Final[Mapping[str, tuple[FailureKind, str, str]]] = {
    "THROTTLED": STATUSES[429],
    "ACCESS_DENIED": STATUSES[403],
    "SHOP_INACTIVE": STATUSES[402],
    "INTERNAL_SERVER_ERROR": (FailureKind.UNKNOWN_OUTCOME, "platform_unwell", _AGAIN),
    "TIMEOUT": (FailureKind.UNKNOWN_OUTCOME, "platform_unwell", _AGAIN),
    "MAX_COST_EXCEEDED": (
        FailureKind.TOO_LARGE,
        "query_too_costly",
        "Report this: a query asks for too much.",
    ),
}


def classify(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """None for a success. `headers` are lower-case."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if 200 <= status < 300:
        if not isinstance(body, dict):
            return PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME,
                code="unreadable_answer",
                message="the answer is not a JSON object",
            )
        return _of_graphql(errors, body) if errors else None
    known = STATUSES.get(status)
    if known is None:
        failure = _of_oauth(status, body)
        return failure or by_status(status, headers)
    kind, code, fix = known
    wait_s = seconds(headers.get("retry-after", "")) if kind is FailureKind.THROTTLED else None
    return PlatformFailure(
        kind,
        code=code,
        message=_words(errors) or f"HTTP {status}",
        fix=fix,
        platform_code=str(status),
        retry_after_s=wait_s,
    )


def _of_graphql(errors: object, body: Mapping[str, Any]) -> PlatformFailure:
    rows = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    codes = [
        str(row["extensions"].get("code", "")) for row in rows if isinstance(row.get("extensions"), dict)
    ]
    # Being throttled says nothing about the rest: it comes first.
    code = next((name for name in CODES if name in codes), codes[0] if codes else "")
    kind, stable, fix = CODES.get(
        code, (FailureKind.INVALID_REQUEST, "invalid_query", "Report this: Shopify refuses Vitrin's query.")
    )
    wait_s = restored_in_s(body) if kind is FailureKind.THROTTLED else None
    return PlatformFailure(
        kind,
        code=stable,
        message=_words(errors) or "Shopify gave no message",
        fix=fix,
        platform_code=code,
        retry_after_s=wait_s,
    )


def _of_oauth(status: int, body: object | None) -> PlatformFailure | None:
    """The token endpoint refuses with 400 and `{"error": "invalid_request"}`."""
    if status != 400 or not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return None
    said = body.get("error_description")
    return PlatformFailure(
        FailureKind.AUTH,
        code="grant_refused",
        message=(said if isinstance(said, str) else body["error"])[:MESSAGE_CHARS_MAX],
        fix=_CONNECT,
        platform_code=body["error"][:MESSAGE_CHARS_MAX],
    )


def restored_in_s(body: Mapping[str, Any]) -> float | None:
    """Seconds until the bucket holds what the query asked for; None where the answer does not say."""
    asked, held = _cost(body, "requestedQueryCost"), _bucket(body, "currentlyAvailable")
    rate = _bucket(body, "restoreRate")
    if asked is None or held is None or not rate:
        return None
    return max(0.0, (asked - held) / rate)


def used_share(body: object | None) -> tuple[float, float] | None:
    """How full the bucket is drawn (0 to 1) and what one point is of it; None where the answer does not say."""
    if not isinstance(body, dict):
        return None
    held, whole = _bucket(body, "currentlyAvailable"), _bucket(body, "maximumAvailable")
    if held is None or not whole or whole < 0:
        return None
    return min(1.0, max(0.0, 1 - held / whole)), 1 / whole


def _cost(body: Mapping[str, Any], name: str) -> float | None:
    extensions = body.get("extensions")
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return _number(cost.get(name)) if isinstance(cost, dict) else None


def _bucket(body: Mapping[str, Any], name: str) -> float | None:
    extensions = body.get("extensions")
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    status = cost.get("throttleStatus") if isinstance(cost, dict) else None
    return _number(status.get(name)) if isinstance(status, dict) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _words(errors: object) -> str:
    if isinstance(errors, list):
        said = [str(one.get("message", "")) if isinstance(one, dict) else str(one) for one in errors]
        return "; ".join(text for text in said if text)[:MESSAGE_CHARS_MAX]
    return str(errors)[:MESSAGE_CHARS_MAX] if errors else ""
