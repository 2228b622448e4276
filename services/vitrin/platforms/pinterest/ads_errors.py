"""Pinterest's refusals of calls about audiences and events, in the words of those protocols. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from vitrin.platforms.audience import AUDIENCE_GONE
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.pinterest.errors import classify

NOT_ALL_PROCESSED: Final = 422
_MAY: Final = (
    "Give the token the scopes ads:read and ads:write, and its user the role Audience of the ad account."
)


def classify_audience(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """Calls on a list or an audience: what is not there is gone."""
    failure = classify(status, headers, body)
    if failure is None:
        return None
    if failure.code == "catalog_not_found":
        return _again(
            failure,
            kind=FailureKind.INVALID_REQUEST,
            code=AUDIENCE_GONE,
            fix="Vitrin makes the audience anew by itself.",
        )
    return _worded(failure)


def classify_events(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """422 says that not all events were processed; where it names them, it is an answer and no failure."""
    if status == NOT_ALL_PROCESSED and event_rows(body):
        return None
    failure = classify(status, headers, body)
    if failure is None:
        return None
    if failure.code == "catalog_not_found":
        return _again(
            failure,
            kind=FailureKind.PERMISSION,
            code="ad_account_not_found",
            fix="Check the ad account id of the connection.",
        )
    return _worded(failure)


def classify_report(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    """The event quality score is a list."""
    if 200 <= status < 300 and isinstance(body, list):
        return None
    return classify_events(status, headers, body)


def event_rows(body: object) -> list[dict[str, Any]]:
    """The events of an answer: at the top under 200, within `details` under 422 (unverified). [] where it has none."""
    for place in (body, body.get("details") if isinstance(body, dict) else None):
        rows = place.get("events") if isinstance(place, dict) else None
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
    return []


def _worded(failure: PlatformFailure) -> PlatformFailure:
    if failure.code == "permission_missing":
        return _again(failure, kind=failure.kind, code=failure.code, fix=_MAY)
    return failure


def _again(failure: PlatformFailure, *, kind: FailureKind, code: str, fix: str) -> PlatformFailure:
    return PlatformFailure(
        kind,
        code=code,
        message=failure.message,
        fix=fix,
        platform_code=failure.platform_code,
        retry_after_s=failure.retry_after_s,
        fields=failure.fields,
    )
