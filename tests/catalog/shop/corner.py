"""A corner shop: a kind of shop of the tests' own, as small as its port allows, and the server that plays one."""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.money import Money
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.shop import (
    BodyInvalid,
    CartLine,
    DeliveryHead,
    HeadInvalid,
    LoadPage,
    LoadState,
    News,
    NewsKind,
    OrderPage,
    ShopInfo,
    ShopLocation,
    ShopOrder,
    ShopProduct,
    ShopSpec,
    ShopVariant,
    StockLevel,
    Subscription,
)

PAGE = 10
TOPICS = ("products", "orders")


def sign(body: bytes, secret: str) -> str:
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def headers(
    body: bytes, *, secret: str, delivery_id: str, topic: str = "products", shop: str = ""
) -> dict[str, str]:
    return {
        "x-corner-id": delivery_id,
        "x-corner-topic": topic,
        "x-corner-shop": shop,
        "x-corner-signature": sign(body, secret),
        "content-type": "application/json",
    }


def product_body(
    product_id: str, *, title: str = "Mug", at: datetime | None = None, price: str = "12.00"
) -> bytes:
    moment = at or datetime.now(UTC)
    return json.dumps(
        {"id": product_id, "title": title, "updated_at": moment.isoformat(), "price": price}
    ).encode()


def _read_head(headers: Mapping[str, str], body: bytes) -> DeliveryHead:
    if "x-corner-ping" in headers:
        return DeliveryHead(delivery_id="", topic="ping", ping=True)
    if not headers.get("x-corner-id") or not headers.get("x-corner-topic"):
        raise HeadInvalid("x-corner-id or x-corner-topic is missing")
    return DeliveryHead(
        delivery_id=headers["x-corner-id"],
        topic=headers["x-corner-topic"],
        shop=headers.get("x-corner-shop", ""),
    )


def _signed(headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> bool:
    given = headers.get("x-corner-signature", "")
    return any(hmac.compare_digest(given.encode(), sign(body, secret).encode()) for secret in secrets)


def _body_shop(head: DeliveryHead, body: bytes) -> str:
    return str(json.loads(body).get("shop", ""))


def _read_news(head: DeliveryHead, body: bytes, *, currency: str, received_at: datetime) -> News:
    try:
        said = json.loads(body)
        match head.topic:
            case "products":
                product = read_product(said, currency)
                return News(
                    kind=NewsKind.PRODUCT,
                    subject=f"product:{product.product_id}",
                    at=product.updated_at,
                    product=product,
                )
            case "touched":
                return News(
                    kind=NewsKind.PRODUCT_TOUCHED,
                    subject=f"product:{said['id']}",
                    at=received_at,
                    product_id=said["id"],
                )
            case "deleted":
                return News(
                    kind=NewsKind.PRODUCT_DELETED,
                    subject=f"product:{said['id']}",
                    at=received_at,
                    product_id=said["id"],
                )
            case "stock":
                level = StockLevel(
                    inventory_item_id=said["id"],
                    location_id="1",
                    available=said["available"],
                    updated_at=datetime.fromisoformat(said["updated_at"]),
                )
                return News(
                    kind=NewsKind.STOCK, subject=f"stock:{said['id']}/1", at=level.updated_at, stock=level
                )
            case "orders":
                return News(kind=NewsKind.REFUND, subject=f"order:{said['id']}", at=received_at)
            case "uninstalled":
                return News(kind=NewsKind.UNINSTALLED, subject="shop", at=received_at)
    except (KeyError, ValueError, TypeError) as error:
        raise BodyInvalid(f"body: {type(error).__name__}") from None
    return News(kind=NewsKind.NOTHING, subject="shop", at=received_at, reason="nobody asked for this topic")


def read_product(said: Mapping[str, Any], currency: str) -> ShopProduct:
    return ShopProduct(
        product_id=said["id"],
        handle=said["id"],
        title=said["title"],
        updated_at=datetime.fromisoformat(said["updated_at"]),
        variants=(ShopVariant(variant_id=f"{said['id']}-1", price=Money.parse(said["price"], currency)),),
    )


@dataclass
class CornerShop:
    """What the shop is at the moment; its sources look at it."""

    currency: str = "EUR"
    products: dict[str, ShopProduct] = field(default_factory=dict)
    subscribed: dict[str, Subscription] = field(default_factory=dict)
    installed: bool = True
    asked: list[str] = field(default_factory=list)
    orders: list[ShopOrder] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    """Products that a whole load does not show although they are there."""
    at_page: Any = None
    """Called before each page of a load with its number."""

    def put(self, *product_ids: str, title: str = "Mug") -> None:
        for product_id in product_ids:
            body = product_body(product_id, title=title)
            self.products[product_id] = read_product(json.loads(body), self.currency)


class CornerSource:
    def __init__(self, shop: CornerShop) -> None:
        self._shop = shop

    def _call(self, name: str) -> None:
        self._shop.asked.append(name)
        if not self._shop.installed:
            raise PlatformFailure(FailureKind.AUTH, code="token_revoked", message="The key is not valid.")

    async def info(self) -> ShopInfo:
        self._call("info")
        return ShopInfo(
            shop_id="1",
            name="Corner",
            address="corner.example",
            storefront_url="https://corner.example",
            currency=self._shop.currency,
        )

    async def locations(self) -> list[ShopLocation]:
        return []

    async def start_load(self) -> LoadState:
        self._call("start_load")
        return LoadState(handle="load-1", state="running", objects=len(self._shop.products))

    async def load_state(self, handle: str) -> LoadState:
        self._call("load_state")
        return LoadState(handle=handle, state="ready")  # it counted at the start

    async def load_page(self, handle: str, cursor: str | None) -> LoadPage:
        begin = int(cursor or 0)
        self._call(f"load_page {begin}")
        if self._shop.at_page is not None:
            await self._shop.at_page(begin // PAGE)
        return self._page(sorted(set(self._shop.products) - self._shop.left_out), begin)

    def _page(self, ids: Sequence[str], begin: int) -> LoadPage:
        part = ids[begin : begin + PAGE]
        more = begin + PAGE < len(ids)
        return LoadPage(
            products=tuple(self._shop.products[one] for one in part),
            levels=(),
            cursor=str(begin + PAGE) if more else None,
            at=datetime.now(UTC),
        )

    async def product(self, product_id: str) -> tuple[ShopProduct, tuple[StockLevel, ...]] | None:
        self._call(f"product {product_id}")
        found = self._shop.products.get(product_id)
        return None if found is None else (found, ())

    async def products_since(self, since: datetime, cursor: str | None) -> LoadPage:
        self._call("products_since")
        changed = [name for name, one in sorted(self._shop.products.items()) if one.updated_at >= since]
        return self._page(changed, int(cursor or 0))

    async def orders_since(self, since: datetime, cursor: str | None) -> OrderPage:
        self._call("orders_since")
        return OrderPage(orders=tuple(self._shop.orders), cursor=None, unreadable=self._shop.unreadable)

    async def subscriptions(self) -> list[Subscription]:
        self._call("subscriptions")
        return list(self._shop.subscribed.values())

    async def subscribe(self, topic: str, address: str, secret: str) -> Subscription:
        made = Subscription(subscription_id=f"{topic}-{len(self._shop.asked)}", topic=topic, address=address)
        self._call(f"subscribe {topic} {secret}")
        self._shop.subscribed[made.subscription_id] = made
        return made

    async def unsubscribe(self, subscription_id: str) -> None:
        self._call(f"unsubscribe {subscription_id}")
        self._shop.subscribed.pop(subscription_id, None)


def corner_spec(shop: CornerShop, *, own_secret: bool = True) -> ShopSpec:
    def open_shop(
        *,
        http: PlatformHttp,
        access_token: str,
        external_ids: Mapping[str, str],
        base_url: str | None = None,
        brand: str = "",
    ) -> CornerSource:
        return CornerSource(shop)

    def cart_url(storefront_url: str, lines: Sequence[CartLine], coupons: Sequence[str]) -> str:
        return storefront_url

    return ShopSpec(
        name="corner",
        title="Corner shop",
        refs_source="corner",
        required_external_ids=("shop",),
        optional_external_ids=(),
        required_scopes=(),
        token_form="any",
        own_secret=own_secret,
        topics=TOPICS,
        app_topics=(),
        gives_up_after_s=5.0,
        has_locations=False,
        open_shop=open_shop,
        read_head=_read_head,
        signed=_signed,
        body_shop=_body_shop,
        read_news=_read_news,
        external_id_problem=lambda name, value: None,
        base_url=lambda external_ids: "http://127.0.0.1",
        cart_url=cart_url,
    )
