"""Meta's refusals of calls about audiences and events, in the words of those protocols. Pure.

Sources: the reference page of /users (294, 2650, 100/1713230), platforms.md 1.4 and 1.5; 200/1870047 as it was recorded
by another integration (grouparoo, 2021).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from vitrin.platforms.audience import (
    AUDIENCE_BUSY,
    AUDIENCE_FLAGGED,
    AUDIENCE_GONE,
    AUDIENCE_TOO_SMALL,
    TERMS_MISSING,
)
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.meta.errors import classify

BUSY_WAIT_S: Final = 60.0
"""Another update of the audience is under way; how long that takes is not published (unverified)."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: FailureKind
    code: str
    fix: str
    wait_s: float | None = None


_GONE = _Meaning(FailureKind.INVALID_REQUEST, AUDIENCE_GONE, "Vitrin makes the audience anew by itself.")
_AUDIENCES: Final[Mapping[str, _Meaning]] = {
    "200/1870047": _Meaning(
        FailureKind.INVALID_REQUEST,
        AUDIENCE_TOO_SMALL,
        "Vitrin removes them once the audience has grown, or from a new audience.",
    ),
    "100/1713230": _Meaning(
        FailureKind.PERMISSION,
        AUDIENCE_FLAGGED,
        "Look at the audience in Meta's Audience Manager: appeal, or make another one.",
    ),
    "2650": _Meaning(FailureKind.TRANSIENT, AUDIENCE_BUSY, "Vitrin tries again by itself.", BUSY_WAIT_S),
    "2655": _Meaning(
        FailureKind.PERMISSION,
        TERMS_MISSING,
        "Accept Meta's Custom Audience Terms for this ad account, in Audience Manager.",
    ),
    "1487301": _GONE,
    "1487366": _GONE,
    "100/1487301": _GONE,
    "100/1487366": _GONE,
    "100/33": _GONE,
}
_ACCOUNT_EDGE: Final[Mapping[str, _Meaning]] = {
    "2655": _AUDIENCES["2655"],
    "100/33": _Meaning(
        FailureKind.PERMISSION,
        "ad_account_not_found",
        "Check the ad account id of the connection, and that its token may use that account.",
    ),
}
_MAY_ADS: Final = "Give the connection's system user the ads_management permission for this ad account."

_EVENTS: Final[Mapping[str, _Meaning]] = {
    "100/2804003": _Meaning(
        FailureKind.INVALID_REQUEST, "event_too_old", "Vitrin leaves the old event out and sends the others."
    ),
    "100/2804009": _Meaning(
        FailureKind.INVALID_REQUEST, "value_missing", "Send purchases with value and currency."
    ),
    "100/33": _Meaning(
        FailureKind.PERMISSION,
        "pixel_not_found",
        "Check the pixel id of the connection, and that its token may send events to it.",
    ),
}
_MAY_EVENTS: Final = "Give the connection's system user access to the pixel (ads_management)."


def _classifier(
    meanings: Mapping[str, _Meaning], may: str
) -> Callable[[int, Mapping[str, str], object | None], PlatformFailure | None]:
    def read(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
        failure = classify(status, headers, body)
        if failure is None:
            return None
        meaning = meanings.get(failure.platform_code) or meanings.get(failure.platform_code.partition("/")[0])
        if meaning is not None:
            return _told(failure, meaning)
        if failure.code == "permission_missing":
            return _told(failure, _Meaning(failure.kind, failure.code, may))
        return failure

    return read


def _told(failure: PlatformFailure, meaning: _Meaning) -> PlatformFailure:
    return PlatformFailure(
        meaning.kind,
        code=meaning.code,
        message=failure.message,
        fix=meaning.fix,
        platform_code=failure.platform_code,
        retry_after_s=meaning.wait_s or failure.retry_after_s,
        fields=failure.fields,
    )


classify_audience: Final = _classifier(_AUDIENCES, _MAY_ADS)
"""Calls on an audience: what is not there is gone."""
classify_account: Final = _classifier(_ACCOUNT_EDGE, _MAY_ADS)
"""Calls on the ad account: creating and finding audiences."""
classify_events: Final = _classifier(_EVENTS, _MAY_EVENTS)
"""Calls on a pixel."""
