"""What a webhook of WooCommerce says of itself, its signature, and the news in it. Pure.

Source: `WC_Webhook`. A new webhook is tried with the form `webhook_id=<id>`, without headers and signature. The
delivery id is made of the webhook and the second, so that several deliveries of one second share it: the body's hash
tells them apart. Signatures: base64 HMAC-SHA256 over the body.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from vitrin.platforms.shop import DeliveryHead, HeadInvalid, News, NewsKind
from vitrin.platforms.shop_bodies import Part, base64_signed, parse
from vitrin.platforms.woocommerce import orders, products
from vitrin.platforms.woocommerce.rules import STORE, TOPICS, external_id_problem

PREFIX: Final = "x-wc-webhook-"
HEADER_CHARS_MAX: Final = 255
PING_BYTES_MAX: Final = 64
_PING: Final = re.compile(rb"webhook_id=[0-9]+")


def read_head(headers: Mapping[str, str], body: bytes) -> DeliveryHead:
    if f"{PREFIX}topic" not in headers and len(body) <= PING_BYTES_MAX and _PING.fullmatch(body):
        return DeliveryHead(delivery_id="", topic="", ping=True)
    for name in ("topic", "signature", "delivery-id"):
        if not 0 < len(headers.get(PREFIX + name, "")) <= HEADER_CHARS_MAX:
            raise HeadInvalid(f"{PREFIX}{name} is missing, or longer than {HEADER_CHARS_MAX} characters")
    source = headers.get(f"{PREFIX}source", "").rstrip("/")
    return DeliveryHead(
        delivery_id=f"{headers[PREFIX + 'delivery-id']}-{sha256(body).hexdigest()[:16]}",
        topic=headers[f"{PREFIX}topic"].lower(),
        shop="" if external_id_problem(STORE, source) else source,
    )


def signed(headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> bool:
    return base64_signed(headers.get(f"{PREFIX}signature", ""), body, secrets)


def read_news(head: DeliveryHead, body: bytes, *, currency: str, received_at: datetime) -> News:
    """Deletions hold only the id, and no moment: that of the receipt stands for it."""
    if head.ping or head.topic not in TOPICS:
        why = "a trial of the address" if head.ping else "a topic that nobody asked for"
        return News(kind=NewsKind.NOTHING, subject="shop", at=received_at, reason=why)
    read = parse(body)
    if head.topic.startswith("product."):
        return _product(head.topic, read, currency, received_at)
    if head.topic == "order.deleted":
        why = "an order that leaves the shop's administration stays what it was"
        return News(kind=NewsKind.NOTHING, subject=f"order:{read.id()}", at=received_at, reason=why)
    order = orders.order(read)
    return News(kind=NewsKind.ORDER, subject=f"order:{order.order_id}", at=order.updated_at, order=order)


def _product(topic: str, read: Part, currency: str, received_at: datetime) -> News:
    if topic == "product.deleted":
        gone = read.id()
        return News(kind=NewsKind.PRODUCT_DELETED, subject=f"product:{gone}", at=received_at, product_id=gone)
    parent = products.parent_of(read)
    if parent or products.is_variable(read):
        touched = parent or read.id()
        at = products.updated_at(read)
        return News(kind=NewsKind.PRODUCT_TOUCHED, subject=f"product:{touched}", at=at, product_id=touched)
    product = products.product(read, (), currency=currency)
    return News(
        kind=NewsKind.PRODUCT,
        subject=f"product:{product.product_id}",
        at=product.updated_at,
        product=product,
    )
