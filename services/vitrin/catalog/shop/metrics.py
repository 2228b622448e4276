"""What is counted on the way from a shop into the catalog."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

DOOR: Final = counter(
    "vitrin_catalog_webhooks_total",
    "Webhooks of shops by the door's answer: taken, taken_unverified, ping, nobody (signed, of no shop that we know),"
    " forged, another_shop, unknown, wrong_head, wrong_path, too_large, too_slow, crowded, unverified_full,"
    " spool_refused.",
    ("platform", "outcome"),
)
ACK_SECONDS: Final = histogram(
    "vitrin_catalog_webhook_ack_seconds",
    "Time from a webhook's head to the answer 200.",
    ("platform",),
)
SECRETS_AGE_SECONDS: Final = gauge(
    "vitrin_catalog_shop_secrets_age_seconds",
    "Time since accounts last told the secrets of all shops; -1: not yet.",
)
MOVER_LAG_SECONDS: Final = gauge(
    "vitrin_catalog_shop_mover_lag_seconds",
    "Age of the oldest webhook in the spool that is not in the table yet; 0 when all are.",
)
MOVED: Final = counter(
    "vitrin_catalog_shop_moved_total",
    "Webhooks on their way from the spool into the table: moved, repeated, forged, another_shop, unknown,"
    " unreadable.",
    ("outcome",),
)
DELIVERIES: Final = counter(
    "vitrin_catalog_shop_deliveries_total",
    "Webhooks handled, by what became of them: applied, stale, nothing, waiting, failed (comes again), dead.",
    ("platform", "kind", "outcome"),
)
DELIVERY_SECONDS: Final = histogram(
    "vitrin_catalog_shop_delivery_seconds",
    "Time from a webhook's arrival to its effect in the catalog.",
    ("platform",),
)
LOADS: Final = counter(
    "vitrin_catalog_shop_loads_total",
    "Whole loads of shops by their end: done, failed, stopped; and how often one paused: paused.",
    ("platform", "kind", "outcome"),
)
MISSED: Final = counter(
    "vitrin_catalog_shop_missed_total",
    "Products that a reconcile found otherwise than the webhooks had left them.",
    ("platform",),
)
WEBHOOKS_REPAIRED: Final = counter(
    "vitrin_catalog_shop_subscriptions_repaired_total",
    "Webhook subscriptions at shops that were made or removed.",
    ("platform", "action"),
)
OLDEST_DUE_SECONDS: Final = gauge(
    "vitrin_catalog_shop_oldest_due_seconds",
    "How long the shop that waits longest for a worker has waited.",
    ("work",),
)
