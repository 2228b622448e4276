"""What a webhook of Shopify says of itself, its signature, and the news in it. Pure.

Source: shopify.dev, "Verify deliveries" and the list of webhook topics. `X-Shopify-Webhook-Id` names a delivery and
stays when it is sent again; `X-Shopify-Event-Id` names the event, which several subscriptions may share.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from vitrin.platforms.shop import DeliveryHead, HeadInvalid, News, NewsKind
from vitrin.platforms.shop_bodies import Part, base64_signed, parse
from vitrin.platforms.shopify import orders, products
from vitrin.platforms.shopify.rules import APP_TOPICS, SHOP_ID, external_id_problem

SIGNATURE: Final = "x-shopify-hmac-sha256"
TOPIC: Final = "x-shopify-topic"
DELIVERY: Final = "x-shopify-webhook-id"
HEADER_CHARS_MAX: Final = 255
_NAMES_SHOP: Final = {**dict.fromkeys(APP_TOPICS, "shop_domain"), "app/uninstalled": "myshopify_domain"}
"""Topics whose body names the shop, and where."""
ORDERS: Final = frozenset({"orders/create", "orders/paid", "orders/updated", "orders/cancelled"})


def read_head(headers: Mapping[str, str], body: bytes) -> DeliveryHead:
    for name in (TOPIC, DELIVERY, SIGNATURE):
        if not 0 < len(headers.get(name, "")) <= HEADER_CHARS_MAX:
            raise HeadInvalid(f"{name} is missing, or longer than {HEADER_CHARS_MAX} characters")
    shop = headers.get("x-shopify-shop-domain", "").lower()
    if external_id_problem(SHOP_ID, shop) is not None:
        raise HeadInvalid("x-shopify-shop-domain is no domain of a shop")
    return DeliveryHead(
        delivery_id=headers[DELIVERY],
        topic=headers[TOPIC].lower(),
        shop=shop,
        triggered_at=_triggered(headers.get("x-shopify-triggered-at", "")),
        api_version=headers.get("x-shopify-api-version", "")[:HEADER_CHARS_MAX],
    )


def _triggered(text: str) -> datetime | None:
    """With nanoseconds, of which six digits are read; None for anything else, since old versions send none."""
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def signed(headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> bool:
    return base64_signed(headers.get(SIGNATURE, ""), body, secrets)


def body_shop(head: DeliveryHead, body: bytes) -> str:
    """Privacy topics have `shop_domain`; app/uninstalled is the shop itself. No other body names its shop: orders,
    products and levels hold ids only."""
    field = _NAMES_SHOP.get(head.topic)
    if field is None:
        return ""
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    value = read.get(field) if isinstance(read, dict) else None
    return value.lower() if isinstance(value, str) else ""


def read_news(head: DeliveryHead, body: bytes, *, currency: str, received_at: datetime) -> News:
    at = head.triggered_at or received_at
    read = parse(body)
    if head.topic in ("products/create", "products/update"):
        return _product(read, currency, new=head.topic == "products/create")
    if head.topic == "products/delete":
        gone = read.id()
        return News(kind=NewsKind.PRODUCT_DELETED, subject=f"product:{gone}", at=at, product_id=gone)
    if head.topic == "inventory_levels/update":
        level = products.level(read)
        subject = f"stock:{level.inventory_item_id}/{level.location_id}"
        return News(kind=NewsKind.STOCK, subject=subject, at=level.updated_at, stock=level)
    if head.topic in ORDERS:
        order = orders.order(read)
        return News(kind=NewsKind.ORDER, subject=f"order:{order.order_id}", at=order.updated_at, order=order)
    if head.topic == "refunds/create":
        refund = orders.refund(read, currency)
        subject = f"order:{refund.order_id}"
        return News(kind=NewsKind.REFUND, subject=subject, at=refund.created_at, refund=refund)
    return _shop(head.topic, read, at)


def _product(read: Part, currency: str, *, new: bool) -> News:
    """Of a new product nothing is known yet that could make up for what the body leaves out."""
    untold = new and not all(products.tells_tracking(one) for one in read.parts("variants"))
    if untold or not products.whole(read):
        touched, at = read.id(), read.moment("updated_at")
        return News(kind=NewsKind.PRODUCT_TOUCHED, subject=f"product:{touched}", at=at, product_id=touched)
    product = products.product(read, currency=currency)
    return News(
        kind=NewsKind.PRODUCT,
        subject=f"product:{product.product_id}",
        at=product.updated_at,
        product=product,
    )


def _shop(topic: str, read: Part, at: datetime) -> News:
    """What concerns the shop or a person. The secret of an app signs for all its shops: who reads this compares the
    shop that the body names with the connection."""
    if topic == "app/uninstalled":
        return News(kind=NewsKind.UNINSTALLED, subject="shop", at=at)
    if topic == "customers/data_request":
        return News(kind=NewsKind.PERSON_EXPORT, subject="shop", at=at, person=orders.asked(read))
    if topic == "customers/redact":
        return News(kind=NewsKind.PERSON_ERASE, subject="shop", at=at, person=orders.asked(read))
    if topic == "shop/redact":
        return News(kind=NewsKind.SHOP_ERASE, subject="shop", at=at)
    return News(kind=NewsKind.NOTHING, subject="shop", at=at, reason="a topic that nobody asked for")
