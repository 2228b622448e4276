"""Meta's usage headers as the limiter understands them. Pure.

Source: Graph API rate limiting. `X-Business-Use-Case-Usage` has entries per business and use case, in percent of what
is allowed (calls, CPU time, total time; the highest decides) and minutes until access returns; `X-App-Usage` is the
app's own quota, which all accounts share: it counts here only when it is used up.
"""

from collections.abc import Mapping
from typing import Final

from vitrin.kit.delivery.rate import Usage
from vitrin.platforms.calling import ReadUsage
from vitrin.platforms.meta.errors import json_of, number_of

KEYS: Final = ("call_count", "total_cputime", "total_time")


def usage_of(use_case: str) -> ReadUsage:
    """The reading for one business use case, such as catalog_batch."""

    def read(headers: Mapping[str, str]) -> Usage | None:
        found = _entries(headers, use_case)
        percents = [number_of(entry.get(key)) for entry in found for key in KEYS]
        app = json_of(headers.get("x-app-usage"))
        app_percent = max(number_of(app.get(key)) for key in KEYS) if isinstance(app, dict) else 0
        if app_percent >= 100:
            percents.append(app_percent)
        if not percents:
            return None
        minutes = max((number_of(entry.get("estimated_time_to_regain_access")) for entry in found), default=0)
        return Usage(share=max(percents) / 100, step=0.01, regain_s=minutes * 60.0 or None)

    return read


def _entries(headers: Mapping[str, str], use_case: str) -> list[dict[str, object]]:
    of_businesses = json_of(headers.get("x-business-use-case-usage"))
    return [
        entry
        for entries in (of_businesses.values() if isinstance(of_businesses, dict) else ())
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("type") == use_case
    ]


BATCH_USAGE: Final = usage_of("catalog_batch")
MANAGEMENT_USAGE: Final = usage_of("catalog_management")
