"""What WooCommerce tells of an event: topics, bodies, and the signed headers of a delivery."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from hashlib import sha256
from secrets import token_hex
from typing import Any

from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Product, Shop, Subscription, Variant
from vitrin.sandbox.woocommerce.shapes import order, product, variation

TOPICS = (
    *("product.created", "product.updated", "product.deleted", "product.restored"),
    *("order.created", "order.updated", "order.deleted", "order.restored"),
    *("customer.created", "customer.updated", "customer.deleted"),
    *("coupon.created", "coupon.updated", "coupon.deleted", "coupon.restored"),
)
AGENT = "WooCommerce/10.3.0 Hookshot (WordPress/6.8)"


class WooTeller:
    """See `Teller`. WooCommerce knows no uninstalling, and privacy is the merchant's own business."""

    def bodies(self, shop: Shop, event: Happened) -> Iterator[tuple[str, Any]]:
        """Topics with their bodies; stock that changes is a changed product."""
        match event.what:
            case "product_created" if event.product is not None:
                yield "product.created", product(shop, event.product)
            case "product_updated" | "stock" if event.product is not None:
                yield from _changed(shop, shop.products[event.product.id], event.variant)
            case "product_deleted":
                yield "product.deleted", {"id": event.product_id}
            case "order_created" if event.order is not None:
                yield "order.created", order(shop, event.order)
            case "order_updated" if event.order is not None:
                yield "order.updated", order(shop, event.order)

    def headers(
        self, shop: Shop, to: Subscription, event: Happened, body: bytes, *, secret: str, event_id: str
    ) -> dict[str, str]:
        """Signed over the raw body with the webhook's own secret."""
        resource, _, name = to.topic.partition(".")
        digest = hmac.new(secret.encode(), body, sha256).digest()
        return {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "X-WC-Webhook-Source": f"{shop.storefront_url}/",
            "X-WC-Webhook-Topic": to.topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": name,
            "X-WC-Webhook-Signature": base64.b64encode(digest).decode(),
            "X-WC-Webhook-ID": str(to.id),
            "X-WC-Webhook-Delivery-ID": token_hex(16),
        }


def _changed(shop: Shop, one: Product, variant: Variant | None) -> Iterator[tuple[str, Any]]:
    """A change of one variation is told with the variation's own body first, then the parent's."""
    if variant is not None and not one.only_default:
        now = one.variant(variant.id)
        if now is not None:
            yield "product.updated", variation(shop, one, now)
    yield "product.updated", product(shop, one)
