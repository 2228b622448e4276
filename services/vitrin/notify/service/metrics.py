"""What notify counts. Labels are bounded: types of events and outcomes, no brand and no endpoint."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

EVENTS: Final = counter("vitrin_notify_events_total", "Webhook events that were stored, by type.", ("type",))
ATTEMPTS: Final = counter(
    "vitrin_notify_attempts_total",
    "Tries of webhook deliveries by how they ended: delivered, refused, redirected, gone, timed_out, unreachable,"
    " address_refused, tls_failed.",
    ("outcome",),
)
ATTEMPT_SECONDS: Final = histogram(
    "vitrin_notify_attempt_seconds", "Time of one try of a webhook delivery, until the answer or its end.", ()
)
FIRST_SECONDS: Final = histogram(
    "vitrin_notify_first_try_seconds", "From storing a webhook event to its first try at an endpoint."
)
GIVEN_UP: Final = counter(
    "vitrin_notify_given_up_total", "Deliveries that were given up after their last try."
)
DISABLED: Final = counter(
    "vitrin_notify_endpoints_disabled_total",
    "Endpoints that were disabled by us: failing or gone.",
    ("code",),
)
BUSY: Final = gauge("vitrin_notify_endpoints_busy", "Endpoints that this process delivers to now.")
OVERDUE: Final = gauge(
    "vitrin_notify_queue_age_seconds", "How long the queue that has waited longest for a worker is overdue."
)
FAILING: Final = gauge(
    "vitrin_notify_endpoints_failing", "Endpoints that failed five times or more in a row."
)
