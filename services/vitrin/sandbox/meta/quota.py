"""Meta's limits and the usage headers that every response carries.

Source: Graph API rate limiting. Catalog batch: per catalog and minute ``8 + 8 * log2(impressions + visits)``;
catalog management: per hour ``20000 + 20000 * log2(...)``. Which header goes with codes 4, 17 and 613 is unverified.
"""

import math
from typing import Any

import orjson

from vitrin.sandbox.quotas import Limits

BATCH, MANAGEMENT = "catalog_batch", "catalog_management"
CUSTOM_AUDIENCE = "custom_audience"
CUSTOM_AUDIENCE_CALLS_PER_HOUR = 190_000
"""Standard tier: 190,000 + 40 * active audiences per ad account and hour; the growth is left out."""
BATCH_WINDOW_MS = 60_000
MANAGEMENT_WINDOW_MS = 3_600_000

USE_CASES = {
    80003: CUSTOM_AUDIENCE,
    80014: BATCH,
    80009: MANAGEMENT,
    4: MANAGEMENT,
    17: "ads_management",
    613: "ads_management",
}
"""Which entry of the business header says that a throttle's limit is used up."""

AD_ACCOUNT_CODES = frozenset({17, 613})
TIER = "standard_access"


def batch_calls_per_minute(traffic: int) -> int:
    """items_batch calls per catalog and minute; an idle catalog has 8."""
    return 8 + int(8 * math.log2(max(1, traffic)))


def management_calls_per_hour(traffic: int) -> int:
    """Other catalog calls per catalog and hour."""
    return 20_000 + int(20_000 * math.log2(max(1, traffic)))


def limits(*, enabled: bool, traffic: int) -> Limits:
    """The windows of all catalogs."""
    return Limits(
        enabled=enabled,
        defaults={
            BATCH: (batch_calls_per_minute(traffic), BATCH_WINDOW_MS),
            MANAGEMENT: (management_calls_per_hour(traffic), MANAGEMENT_WINDOW_MS),
            CUSTOM_AUDIENCE: (CUSTOM_AUDIENCE_CALLS_PER_HOUR, MANAGEMENT_WINDOW_MS),
        },
    )


def usage_headers(
    windows: Limits,
    *,
    business_id: str | None,
    catalog_id: str | None,
    now_ms: int,
    ad_account_id: str = "",
) -> dict[str, str]:
    """``X-App-Usage`` and, for a known business, ``X-Business-Use-Case-Usage`` (percent; time in minutes): those of
    catalogs, or of audiences for a call about one of an ad account."""
    app = {"call_count": 0, "total_time": 0, "total_cputime": 0}
    found = {"X-App-Usage": _json(app), "facebook-api-version": "v26.0"}
    if business_id is None:
        return found
    categories = (CUSTOM_AUDIENCE,) if ad_account_id else (BATCH, MANAGEMENT)
    owner = ad_account_id or catalog_id or ""
    usage = [
        _usage(windows, category, business_id=business_id, catalog_id=owner, now_ms=now_ms)
        for category in categories
    ]
    found["X-Business-Use-Case-Usage"] = _json({business_id: usage})
    return found


def throttled_headers(code: int, *, business_id: str, regain_s: int) -> dict[str, str]:
    """The headers of a refused call: everything used up, ``estimated_time_to_regain_access`` in whole minutes."""
    usage = {
        "type": USE_CASES[code],
        "call_count": 100,
        "total_cputime": 25,
        "total_time": 25,
        "estimated_time_to_regain_access": math.ceil(regain_s / 60),
        "ads_api_access_tier": TIER,
    }
    found = {"X-Business-Use-Case-Usage": _json({business_id: [usage]})}
    if code == 4:
        found["X-App-Usage"] = _json({"call_count": 100, "total_time": 25, "total_cputime": 25})
    if code in AD_ACCOUNT_CODES:
        found["X-Ad-Account-Usage"] = _json(
            {"acc_id_util_pct": 100, "reset_time_duration": regain_s, "ads_api_access_tier": TIER}
        )
    return found


def _usage(
    windows: Limits, category: str, *, business_id: str, catalog_id: str, now_ms: int
) -> dict[str, str | int]:
    names = (catalog_id, business_id)
    percent = wait_ms = 0
    if windows.counts(category, names=names):
        window = windows.window(category, owner=catalog_id, names=names)
        percent = min(100, 100 * window.used(now_ms=now_ms) // window.limit)
        wait_ms = window.wait_ms(now_ms=now_ms)
    return {
        "type": category,
        "call_count": percent,
        "total_cputime": percent // 4,
        "total_time": percent // 4,
        "estimated_time_to_regain_access": math.ceil(wait_ms / 60_000),
        "ads_api_access_tier": TIER,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
