"""Meta's answers, classified by their body: the HTTP status is 400 for nearly everything. Pure.

Source: Graph API error reference, the SDK's error handling and Meta's rate-limit page. An `error` key counts even
under HTTP 200. No Retry-After is sent; the wait stands in the usage headers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from vitrin.platforms.base import FailureKind, PlatformFailure, Problem
from vitrin.platforms.calling import by_status

APP_LIMIT_WAIT_S: Final = 3_600.0
"""Codes 4, 17, 32 and 341 count over a rolling hour; used where no header says how long (unverified)."""
THROTTLE_TYPES: Final = {
    80000: "ads_insights",
    80001: "pages",
    80002: "instagram",
    80003: "custom_audience",
    80004: "ads_management",
    80005: "leadgen",
    80006: "messenger",
    80008: "whatsapp",
    80009: "catalog_management",
    80014: "catalog_batch",
}
THROTTLES: Final = frozenset({4, 17, 32, 341, 613, *THROTTLE_TYPES})
TRANSIENT: Final = frozenset({1, 2, 21009})
PERMISSION: Final = frozenset({3, 10, 294, *range(200, 300)})
TOKEN_SUBCODES: Final = {
    458: ("token_revoked", "The app was removed from the account. Connect Meta again."),
    460: ("token_revoked", "The password was changed. Connect Meta again."),
    463: ("token_expired", "The access token has expired. Connect Meta again."),
    467: ("token_invalid", "The access token is no longer valid. Connect Meta again."),
}


def classify(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """None for a success. `headers` are lower-case."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        if 200 <= status < 300 and not isinstance(body, dict):
            return PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME,
                code="unreadable_answer",
                message="the answer is not a JSON object",
            )
        return by_status(status, headers)
    code, subcode = number_of(error.get("code")), number_of(error.get("error_subcode"))
    message = _words(error)
    named = f"{code}/{subcode}" if subcode else str(code)
    kind, stable, fix = _meaning(
        code, subcode, message, transient=error.get("is_transient") is True, status=status
    )
    wait = _wait_s(code, headers) if kind is FailureKind.THROTTLED else None
    return PlatformFailure(
        kind,
        code=stable,
        message=message,
        fix=fix,
        platform_code=named,
        retry_after_s=wait,
        fields=_blamed(error.get("error_data")),
    )


def _meaning(
    code: int, subcode: int, message: str, *, transient: bool, status: int
) -> tuple[FailureKind, str, str]:
    if code in THROTTLES:
        return FailureKind.THROTTLED, "throttled", "Vitrin waits as long as Meta asks and goes on by itself."
    if code == 190 or (code == 102 and status == 401):
        stable, fix = TOKEN_SUBCODES.get(subcode, ("token_invalid", "Connect Meta again."))
        return FailureKind.AUTH, stable, fix
    if code == 1 and "reduce the amount of data" in message.lower():
        return FailureKind.TOO_LARGE, "batch_too_large", "Vitrin sends smaller batches by itself."
    if code in TRANSIENT or transient:
        return FailureKind.TRANSIENT, "platform_unwell", "Vitrin tries again by itself."
    if (code, subcode) == (100, 33):
        return (
            FailureKind.PERMISSION,
            "catalog_not_found",
            "Check the catalog id of the connection, and that its token may manage that catalog.",
        )
    if code == 368:
        return FailureKind.PERMISSION, "blocked_for_policy", "Look at the account's quality page at Meta."
    if code in PERMISSION:
        return (
            FailureKind.PERMISSION,
            "permission_missing",
            "Give the connection's system user the catalog_management permission for this catalog.",
        )
    if code == 100:
        return FailureKind.INVALID_REQUEST, "invalid_parameter", "Correct the fields that Meta names."
    if status >= 500:
        return FailureKind.TRANSIENT, "platform_unwell", "Vitrin tries again by itself."
    return FailureKind.INVALID_REQUEST, "platform_refused", "Follow what Meta says about this error code."


def _wait_s(code: int, headers: Mapping[str, str]) -> float | None:
    """Seconds until access returns: minutes of the business use case, or the ad account's seconds."""
    usage = json_of(headers.get("x-business-use-case-usage"))
    entries = [
        entry
        for of_business in (usage.values() if isinstance(usage, dict) else ())
        if isinstance(of_business, list)
        for entry in of_business
        if isinstance(entry, dict)
    ]
    own = [entry for entry in entries if entry.get("type") == THROTTLE_TYPES.get(code)]
    minutes = [number_of(entry.get("estimated_time_to_regain_access")) for entry in own or entries]
    if any(minutes):
        return max(minutes) * 60.0
    account = json_of(headers.get("x-ad-account-usage"))
    if code in {17, 80004} and isinstance(account, dict) and number_of(account.get("reset_time_duration")):
        return float(number_of(account.get("reset_time_duration")))
    return APP_LIMIT_WAIT_S if code == 341 else None


def _words(error: Mapping[str, Any]) -> str:
    parts = [str(error.get(name) or "") for name in ("message", "error_user_title", "error_user_msg")]
    return " - ".join(part for part in parts if part) or "Meta gave no message"


def _blamed(error_data: object) -> tuple[str, ...]:
    data = json_of(error_data) if isinstance(error_data, str) else error_data
    specs = data.get("blame_field_specs") if isinstance(data, dict) else None
    if not isinstance(specs, list):
        return ()
    return tuple(".".join(map(str, spec)) if isinstance(spec, list) else str(spec) for spec in specs)


def json_of(text: object) -> object | None:
    """A header's JSON, None where it is none."""
    try:
        decoded: object = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return decoded


def number_of(value: object) -> int:
    """A whole number however Meta writes it; 0 where it is none."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdigit() else 0


FIELDS_IN_WORDS: Final = (
    "additional_image_link",
    "image_link",
    "sale_price_effective_date",
    "sale_price",
    "price",
    "availability",
    "condition",
    "description",
    "title",
    "brand",
    "gtin",
    "mpn",
    "google_product_category",
    "product_type",
    "item_group_id",
    "age_group",
    "gender",
    "quantity_to_sell_on_facebook",
    "checkout_url",
    "link",
)
ITEM_CAUSES: Final = (
    (
        re.compile(r"missing|required|is empty|cannot be empty", re.I),
        "missing",
        "Fill in {field} in the shop.",
    ),
    (
        re.compile(r"too long|too many characters|characters, at most|exceeds", re.I),
        "too_long",
        "Shorten {field}.",
    ),
    (
        re.compile(r"invalid|must be|malformed|not valid|unsupported", re.I),
        "invalid",
        "Correct {field} in the shop.",
    ),
)
_FIELD_PATTERNS: Final = {
    name: re.compile(rf"\b(?:{name}|{name.replace('_', '')})\b", re.I) for name in FIELDS_IN_WORDS
}
_ITEM_ID = re.compile(r"\(id=.*?\)")
_NOT_THERE = re.compile(r"not (be )?found|could not find|does not exist|no such (item|product)", re.I)


def item_problem(message: str, *, platform_code: str = "") -> Problem:
    """What Meta says of one item. Its batches carry words only, so cause and field are read from the words: it names
    fields as they are written ("image_link") or as its own classes have them ("ImageLink")."""
    words = _ITEM_ID.sub("", message)
    name = next((field for field, pattern in _FIELD_PATTERNS.items() if pattern.search(words)), "")
    if not name and _NOT_THERE.search(words):
        return Problem(
            "not_on_platform", "id", message, "Vitrin sends the whole item again by itself.", platform_code
        )
    for pattern, cause, fix in ITEM_CAUSES:
        if name and pattern.search(words):
            stable = f"missing_{name}" if cause == "missing" else f"{name}_{cause}"
            return Problem(stable, name, message, fix.format(field=name), platform_code)
    return Problem(
        "platform_refused",
        name,
        message,
        "Follow what Meta says, or ask its support with these words.",
        platform_code,
    )
