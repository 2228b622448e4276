"""Meta's limits and the usage headers that every response carries.

Source: Graph API rate limiting. Catalog batch: per catalog and minute ``8 + 8 * log2(impressions + visits)``;
catalog management: per hour ``20000 + 20000 * log2(...)``.
"""

import math
from dataclasses import dataclass, field

import orjson

from vitrin.sandbox.windows import RollingWindow

BATCH_WINDOW_MS = 60_000
MANAGEMENT_WINDOW_MS = 3_600_000


def batch_calls_per_minute(traffic: int) -> int:
    """items_batch calls per catalog and minute; an idle catalog has 8."""
    return 8 + int(8 * math.log2(max(1, traffic)))


def management_calls_per_hour(traffic: int) -> int:
    """Other catalog calls per catalog and hour."""
    return 20_000 + int(20_000 * math.log2(max(1, traffic)))


@dataclass(slots=True)
class Quota:
    """Counts calls per catalog; without ``enabled`` it counts nothing and reports zero."""

    enabled: bool
    traffic: int
    _batches: dict[str, RollingWindow] = field(default_factory=dict)
    _management: dict[str, RollingWindow] = field(default_factory=dict)

    def take_batch(self, catalog_id: str, *, now_ms: int) -> bool:
        """Count an items_batch call; False when it is one too many."""
        return not self.enabled or self._batch(catalog_id).take(now_ms=now_ms)

    def take_management(self, catalog_id: str, *, now_ms: int) -> bool:
        """Count any other call on a catalog."""
        return not self.enabled or self._managed(catalog_id).take(now_ms=now_ms)

    def headers(self, *, business_id: str | None, catalog_id: str | None, now_ms: int) -> dict[str, str]:
        """``X-App-Usage`` and, for a known business, ``X-Business-Use-Case-Usage`` (percent; time in minutes)."""
        app = {"call_count": 0, "total_time": 0, "total_cputime": 0}
        found = {"X-App-Usage": orjson.dumps(app).decode(), "facebook-api-version": "v26.0"}
        if business_id is None:
            return found
        usage = [
            self._usage("catalog_batch", self._batch(catalog_id or ""), now_ms=now_ms),
            self._usage("catalog_management", self._managed(catalog_id or ""), now_ms=now_ms),
        ]
        found["X-Business-Use-Case-Usage"] = orjson.dumps({business_id: usage}).decode()
        return found

    def forced_headers(self, *, business_id: str, kind: str) -> dict[str, str]:
        """The header of a throttle that a fault asked for: everything used up, one minute to wait."""
        usage = {
            "type": kind,
            "call_count": 100,
            "total_cputime": 25,
            "total_time": 25,
            "estimated_time_to_regain_access": 1,
            "ads_api_access_tier": "standard_access",
        }
        return {"X-Business-Use-Case-Usage": orjson.dumps({business_id: [usage]}).decode()}

    def clear(self) -> None:
        """Forget all calls."""
        self._batches.clear()
        self._management.clear()

    def _usage(self, kind: str, window: RollingWindow, *, now_ms: int) -> dict[str, str | int]:
        percent = min(100, 100 * window.used(now_ms=now_ms) // window.limit) if self.enabled else 0
        wait_ms = window.wait_ms(now_ms=now_ms) if self.enabled else 0
        return {
            "type": kind,
            "call_count": percent,
            "total_cputime": percent // 4,
            "total_time": percent // 4,
            "estimated_time_to_regain_access": math.ceil(wait_ms / 60_000),
            "ads_api_access_tier": "standard_access",
        }

    def _batch(self, catalog_id: str) -> RollingWindow:
        return self._batches.setdefault(
            catalog_id, RollingWindow(limit=batch_calls_per_minute(self.traffic), window_ms=BATCH_WINDOW_MS)
        )

    def _managed(self, catalog_id: str) -> RollingWindow:
        return self._management.setdefault(
            catalog_id,
            RollingWindow(limit=management_calls_per_hour(self.traffic), window_ms=MANAGEMENT_WINDOW_MS),
        )
