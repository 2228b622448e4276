"""What is counted of orders and of privacy requests."""

from typing import Final

from vitrin.kit.metrics import counter, gauge

ORDERS: Final = counter(
    "vitrin_catalog_orders_total",
    "Orders of shops by what was new in them: created, paid, updated, refunded, cancelled, failed, erased.",
    ("platform", "news"),
)
LINES: Final = counter(
    "vitrin_catalog_order_lines_total",
    "Lines of orders that were taken, by whether an item of the catalog is bound to their variant: bound, unknown.",
    ("platform", "item"),
)
UNREADABLE: Final = counter(
    "vitrin_catalog_orders_set_aside_total",
    "Orders that a reconcile could not take; each is listed among the shop's deliveries, with the reason.",
    ("platform",),
)
PARKED: Final = gauge(
    "vitrin_catalog_order_refunds_parked",
    "Refunds that came before their order and wait for it, 30 days at most.",
)
GIVEN_UP: Final = counter(
    "vitrin_catalog_order_refunds_given_up_total",
    "Refunds that were given up, since their order did not come within 30 days.",
)
REQUESTS: Final = counter(
    "vitrin_catalog_privacy_requests_total",
    "What shops asked in the name of their customers, by kind: export, erase, shop_erase.",
    ("platform", "kind"),
)
DUE_SECONDS: Final = gauge(
    "vitrin_catalog_privacy_due_seconds",
    "Time until the first unanswered export of a customer's data is due; below 0 it is late, 30 days where none waits.",
)
ERASING_SECONDS: Final = gauge(
    "vitrin_catalog_privacy_erasing_seconds",
    "How long the oldest erasure of a shop's orders has been running; 0 where none is.",
)
