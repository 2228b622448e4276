"""What Shopify tells of an event: topics, bodies, and the signed headers of a delivery."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from vitrin.sandbox.shopify.rest import level_body, order_body, product_body, refund_body
from vitrin.sandbox.shopify.shop_nodes import shop_node
from vitrin.sandbox.shopify.texts import local
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Shop, Subscription

ORDER_TOPICS = {
    "order_created": "orders/create",
    "order_paid": "orders/paid",
    "order_updated": "orders/updated",
    "order_cancelled": "orders/cancelled",
}
ASKED_TOPICS = {
    "data_request": "customers/data_request",
    "customer_redact": "customers/redact",
    "shop_redact": "shop/redact",
    "bulk_finished": "bulk_operations/finish",
}
LATEST = "2026-07"


class ShopifyTeller:
    """See `Teller`."""

    def bodies(self, shop: Shop, event: Happened) -> Iterator[tuple[str, Any]]:
        """Topics with their bodies. Stock that changes is told by location, and not as a changed product."""
        if event.product is not None and event.what in ("product_created", "product_updated"):
            topic = "products/create" if event.what == "product_created" else "products/update"
            yield topic, product_body(shop, event.product)
            if event.what == "product_created":
                for variant in event.product.variants:
                    for level in variant.levels:
                        yield "inventory_levels/update", level_body(shop, variant, level)
        elif event.what == "product_deleted":
            yield "products/delete", {"id": event.product_id}
        elif event.what == "stock" and event.variant is not None and event.level is not None:
            yield "inventory_levels/update", level_body(shop, event.variant, event.level)
        elif event.what in ORDER_TOPICS and event.order is not None:
            yield ORDER_TOPICS[event.what], order_body(shop, event.order)
        elif event.what == "refunded" and event.order is not None and event.refund is not None:
            yield "refunds/create", refund_body(shop, event.order, event.refund)
        elif event.what == "uninstalled":
            yield "app/uninstalled", _shop_body(shop)
        elif event.what in ASKED_TOPICS:
            yield ASKED_TOPICS[event.what], event.asked

    def headers(
        self, shop: Shop, to: Subscription, event: Happened, body: bytes, *, secret: str, event_id: str
    ) -> dict[str, str]:
        """Signed over the raw body with the app's secret."""
        digest = hmac.new(secret.encode(), body, sha256).digest()
        moment = datetime.fromtimestamp(event.at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        named = {"X-Shopify-Name": to.name} if to.name else {}
        return {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": to.topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": shop.host,
            "X-Shopify-API-Version": to.api_version or LATEST,
            "X-Shopify-Webhook-Id": str(uuid4()),
            "X-Shopify-Event-Id": event_id,
            "X-Shopify-Triggered-At": f"{moment}000Z",
            **named,
        }


def _shop_body(shop: Shop) -> dict[str, Any]:
    """REST's Shop resource, as far as `app/uninstalled` needs it."""
    node = shop_node(shop)
    return {
        "id": shop.number,
        "name": shop.name,
        "email": node["email"],
        "domain": shop.host,
        "myshopify_domain": shop.host,
        "country": shop.country,
        "country_code": shop.country,
        "currency": shop.currency,
        "iana_timezone": shop.time_zone,
        "shop_owner": "Sandbox Owner",
        "plan_name": "basic",
        "created_at": local(shop, shop.created_ms),
        "updated_at": local(shop, shop.created_ms),
    }
