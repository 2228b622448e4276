"""What the sandbox measures about itself."""

from vitrin.kit.metrics import counter, gauge, histogram

DURATION_BUCKETS_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)

REQUESTS = counter(
    "vitrin_sandbox_requests_total", "Requests to the stand-in platforms.", ("platform", "outcome")
)
ITEMS_RECEIVED = counter(
    "vitrin_sandbox_items_received_total", "Items that write requests named.", ("platform",)
)
FAULTS = counter("vitrin_sandbox_faults_total", "Requests that met a fault.", ("platform", "kind"))
REQUEST_SECONDS = histogram(
    "vitrin_sandbox_request_seconds",
    "Time to answer a request to a stand-in platform.",
    ("platform",),
    buckets=DURATION_BUCKETS_SECONDS,
)
ITEMS = gauge(
    "vitrin_sandbox_items", "Items that the stand-in platform holds, set at each scrape.", ("platform",)
)
HOOKS = counter(
    "vitrin_sandbox_hooks_total",
    "Attempts to send a webhook of a stand-in shop, by what became of it.",
    ("platform", "outcome"),
)
