"""What the delivery engine counts. Labels are bounded: platforms, endpoint classes, lanes, reasons."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

WAIT: Final = histogram(
    "vitrin_platform_limiter_wait_seconds",
    "Time that a call waited for its turn (the platform's rate, a free place) before it was sent, by lane.",
    ("platform", "endpoint", "lane"),
)
THROTTLES: Final = counter(
    "vitrin_platform_throttles_total",
    "Calls that a platform refused for its rate, whatever the HTTP status was.",
    ("platform", "endpoint"),
)
LEARNED_SHARE: Final = gauge(
    "vitrin_platform_limiter_learned_share",
    "Learned calls per window as a share of the documented ones, of the account where it is lowest; since it changed.",
    ("platform", "endpoint"),
)
BREAKERS_OPEN: Final = gauge(
    "vitrin_platform_breakers_open",
    "Brands whose calls of an endpoint are not sent now, because it failed again and again, or are probed one by one.",
    ("platform", "endpoint"),
)
TURNED_AWAY: Final = counter(
    "vitrin_platform_turned_away_total",
    "Calls that were not sent: endpoint_resting (breaker open), crowded (too many wait), no_turn (no rate soon).",
    ("platform", "endpoint", "reason"),
)
