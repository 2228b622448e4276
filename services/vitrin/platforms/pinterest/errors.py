"""Pinterest's answers, classified. Pure. Errors are `{code, message}`, with `details` under 422."""

from collections.abc import Mapping
from typing import Any, Final

from vitrin.kit.delivery.rate import Usage
from vitrin.platforms.base import FailureKind, PlatformFailure, Problem
from vitrin.platforms.calling import by_status, seconds

THROTTLE_CODE: Final = 8
AUTH_CODE: Final = 2
PERMISSION_CODE: Final = 29
RAMPED_DOWN_CODE: Final = 4197
BATCH_UNKNOWN_CODE: Final = 4331
LIMIT_HEADERS: Final = ("x-userendpoint-ratelimit", "x-ratelimit")
"""Their endings -limit, -remaining and -reset; names seen in third-party code only (unverified)."""
RESET_HEADERS: Final = ("x-userendpoint-ratelimit-reset", "x-ratelimit-reset", "retry-after")
"""Seconds until calls are allowed again; names seen in third-party code only (unverified)."""
DETAILS_CHARS_MAX: Final = 500
TITLE_MISSING_CODE: Final = 106
"""The one item code that the OpenAPI description explains."""

_AGAIN: Final = "Vitrin tries again by itself."


def classify(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """None for a success. `headers` are lower-case."""
    if 200 <= status < 300:
        if isinstance(body, dict):
            return None
        return PlatformFailure(
            FailureKind.UNKNOWN_OUTCOME, code="unreadable_answer", message="the answer is not a JSON object"
        )
    if not isinstance(body, dict) or "code" not in body:
        return by_status(status, headers)
    code = body["code"] if isinstance(body["code"], int) else 0
    kind, stable, fix = _meaning(status, code)
    return PlatformFailure(
        kind,
        code=stable,
        message=_words(body),
        fix=fix,
        platform_code=str(body["code"]),
        retry_after_s=_wait_s(headers) if kind is FailureKind.THROTTLED else None,
        fields=_fields(body.get("details")),
    )


def _meaning(status: int, code: int) -> tuple[FailureKind, str, str]:
    if status == 429 or code == THROTTLE_CODE:
        return (
            FailureKind.THROTTLED,
            "throttled",
            "Vitrin waits as long as Pinterest asks and goes on by itself.",
        )
    if status == 401 or code == AUTH_CODE:
        return FailureKind.AUTH, "token_invalid", "Connect Pinterest again."
    if status == 403 or code == PERMISSION_CODE:
        return (
            FailureKind.PERMISSION,
            "permission_missing",
            "Give the token the scopes catalogs:read and catalogs:write, and its user the role Catalogs Manager.",
        )
    if status >= 500 or code == RAMPED_DOWN_CODE:
        return FailureKind.TRANSIENT, "platform_unwell", _AGAIN
    if status == 413:
        return FailureKind.TOO_LARGE, "batch_too_large", "Vitrin sends smaller batches by itself."
    if code == BATCH_UNKNOWN_CODE:
        return FailureKind.INVALID_REQUEST, "batch_lost", "Vitrin looks at what the catalog shows."
    if status == 404:
        return FailureKind.PERMISSION, "catalog_not_found", "Check the catalog id of the connection."
    if status == 409:
        return FailureKind.TRANSIENT, "platform_busy", _AGAIN
    return FailureKind.INVALID_REQUEST, "invalid_parameter", "Correct what Pinterest names."


def _words(body: Mapping[str, Any]) -> str:
    message = str(body.get("message") or "Pinterest gave no message")
    details = body.get("details")
    return f"{message} ({details})"[:DETAILS_CHARS_MAX] if details else message


def _fields(details: object) -> tuple[str, ...]:
    return tuple(str(name) for name in details) if isinstance(details, dict) else ()


def _wait_s(headers: Mapping[str, str]) -> float | None:
    for name in RESET_HEADERS:
        wait_s = seconds(headers.get(name, ""))
        if wait_s is not None:
            return wait_s
    return None


def usage(headers: Mapping[str, str]) -> Usage | None:
    """How much of the category's quota is used: its calls and those that remain; seconds where none does."""
    for name in LIMIT_HEADERS:
        limit, remaining = (seconds(headers.get(f"{name}-{end}", "")) for end in ("limit", "remaining"))
        if limit and remaining is not None:
            share = 1 - min(remaining, limit) / limit
            regain_s = seconds(headers.get(f"{name}-reset", "")) if remaining <= 0 else None
            return Usage(share=share, step=1 / limit, regain_s=regain_s)
    return None


def item_problem(event: Mapping[str, Any]) -> Problem:
    """One validation event of an item: `{attribute, code, message}`. Only one code's meaning is published, so the
    attribute and Pinterest's words say the rest."""
    code = event.get("code")
    name = str(event.get("attribute") or "").lower()
    message = str(event.get("message") or "Pinterest gave no message")
    lower = message.lower()
    if code == TITLE_MISSING_CODE:
        return Problem("missing_title", "title", message, "Give the item a title in the shop.", str(code))
    if any(words in lower for words in ("not found", "could not find", "does not exist")):
        return Problem(
            "not_on_platform", name, message, "Vitrin sends the whole item again by itself.", str(code or "")
        )
    if not name:
        fix = "Follow what Pinterest says, or ask its support with these words."
        return Problem("platform_refused", "", message, fix, str(code or ""))
    if any(word in lower for word in ("missing", "required", "empty")):
        return Problem(f"missing_{name}", name, message, f"Fill in {name} in the shop.", str(code or ""))
    if any(word in lower for word in ("too long", "too many characters", "exceed")):
        return Problem(f"{name}_too_long", name, message, f"Shorten {name}.", str(code or ""))
    return Problem(f"{name}_invalid", name, message, f"Correct {name} in the shop.", str(code or ""))
