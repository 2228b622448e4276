"""What happens in a shop, as far as somebody may be told."""

from dataclasses import dataclass
from typing import Any, Literal

from vitrin.sandbox.shops.model import Level, Order, Product, Refund, Variant

What = Literal[
    "product_created",
    "product_updated",
    "product_deleted",
    "stock",
    "order_created",
    "order_paid",
    "order_updated",
    "order_cancelled",
    "refunded",
    "uninstalled",
    "data_request",
    "customer_redact",
    "shop_redact",
    "bulk_finished",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event. The fields that `what` needs are there."""

    what: What
    at_ms: int
    product: Product | None = None
    product_id: int = 0
    variant: Variant | None = None
    level: Level | None = None
    order: Order | None = None
    refund: Refund | None = None
    app_id: str = ""
    """Of events that concern one app only."""
    asked: dict[str, Any] | None = None
    """Of the privacy topics and bulk operations: what stands in the body."""
