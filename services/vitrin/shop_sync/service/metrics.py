"""What shop_sync counts. Labels are bounded: platforms, states, outcomes."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

TRANSITIONS: Final = counter(
    "vitrin_shop_sync_transitions_total", "Items that came into a state on a platform.", ("platform", "state")
)
ATTEMPTS: Final = counter(
    "vitrin_shop_sync_attempts_total",
    "Calls with a batch, by how they ended: answered, handle, or the kind of failure.",
    ("platform", "outcome"),
)
LAG: Final = histogram(
    "vitrin_shop_sync_lag_seconds",
    "From receiving a change to the platform's acceptance (accepted) and to being seen there (seen).",
    ("platform", "kind"),
)
QUEUE_AGE: Final = histogram(
    "vitrin_shop_sync_queue_seconds",
    "How long the oldest item of a batch had waited when the batch was taken.",
    ("platform",),
)
HUNTS: Final = counter(
    "vitrin_shop_sync_hunts_total",
    "Batches that a platform refused without naming anybody: the culprit is looked for.",
    ("platform",),
)
CULPRITS: Final = counter(
    "vitrin_shop_sync_culprits_total", "Items that a hunt found to be refused by the platform.", ("platform",)
)
NOT_SHOWN: Final = counter(
    "vitrin_shop_sync_not_shown_total",
    "What a platform had accepted and did not show (or did not take down) in time: sent_again, or given_up.",
    ("platform", "step"),
)
STUCK: Final = gauge(
    "vitrin_shop_sync_stuck",
    "What has not moved for SHOP_SYNC_STUCK_AFTER_MIN minutes, by kind and cause (queued, platform: expected).",
    ("kind", "cause"),
)
UNSTUCK: Final = counter(
    "vitrin_shop_sync_unstuck_total", "What the watchdog set going again by itself.", ("kind",)
)
SESSIONS: Final = gauge("vitrin_shop_sync_channels_busy", "Channels that this process works on now.")
REMOVALS_HELD: Final = counter(
    "vitrin_shop_sync_removals_held_total",
    "Items whose removal or zeroing was held for an approval, by platform and kind.",
    ("platform", "kind"),
)
REMOVAL_REQUESTS: Final = gauge(
    "vitrin_shop_sync_removal_requests_waiting", "Requests of the removal guard that wait for a decision."
)
REMOVAL_WAIT: Final = gauge(
    "vitrin_shop_sync_removal_wait_seconds", "How long the oldest of them has waited; 0 without any."
)
ADOPTED: Final = counter(
    "vitrin_shop_sync_adopted_total",
    "Items that a platform held before and that were found to be ours, by what told it: id, gtin, link, choice.",
    ("platform", "how"),
)
LISTING_FAILURES: Final = counter(
    "vitrin_shop_sync_listing_failures_total",
    "Pages of a platform's catalog that could not be listed; until they can, a new channel sends nothing.",
    ("platform", "kind"),
)
