"""A shop's goods, stock, orders and who may see them. Goods and orders are frozen: a change stores another value, so
that whoever holds the old one (the saving thread, a bulk operation) sees one state."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import msgspec

Kind = Literal["shopify", "woocommerce"]

IDS_PER_SHOP = 100_000_000
FIRST_ID = 7_000_000_000_000


class Level(msgspec.Struct, frozen=True):
    """Stock of one variant at one location."""

    location_id: int
    available: int
    updated_ms: int


class Variant(msgspec.Struct, frozen=True):
    """What is bought. `price` as text in the shop's currency; `compare_at` is the price before a reduction."""

    id: int
    inventory_item_id: int
    options: tuple[str, ...]
    price: str
    created_ms: int
    updated_ms: int
    sku: str = ""
    barcode: str = ""
    compare_at: str | None = None
    tracked: bool = True
    policy: Literal["deny", "continue"] = "deny"
    grams: int = 0
    image_id: int | None = None
    levels: tuple[Level, ...] = ()

    @property
    def title(self) -> str:
        """As the shop prints it."""
        return " / ".join(self.options)

    @property
    def quantity(self) -> int:
        """Over all locations."""
        return sum(level.available for level in self.levels)


class Image(msgspec.Struct, frozen=True):
    """One picture."""

    id: int
    src: str
    alt: str = ""


class Product(msgspec.Struct, frozen=True):
    """One product with at least one variant."""

    id: int
    title: str
    handle: str
    option_names: tuple[str, ...]
    variants: tuple[Variant, ...]
    created_ms: int
    updated_ms: int
    body_html: str = ""
    vendor: str = ""
    product_type: str = ""
    tags: tuple[str, ...] = ()
    status: Literal["active", "draft", "archived"] = "active"
    images: tuple[Image, ...] = ()

    @property
    def only_default(self) -> bool:
        """Whether it has no options."""
        return self.option_names == ("Title",) and [v.options for v in self.variants] == [("Default Title",)]

    def variant(self, variant_id: int) -> Variant | None:
        """By id."""
        return next((one for one in self.variants if one.id == variant_id), None)


class Location(msgspec.Struct, frozen=True):
    """Where stock lies. A hidden one is in no listing, and yet webhooks name it."""

    id: int
    name: str
    country: str
    active: bool = True
    hidden: bool = False


class Person(msgspec.Struct, frozen=True):
    """Who buys."""

    first_name: str
    last_name: str
    email: str
    phone: str = ""
    address1: str = ""
    city: str = ""
    zip: str = ""
    country: str = ""
    customer_id: int | None = None
    """None: a guest."""
    accepts_marketing: bool = False


class Line(msgspec.Struct, frozen=True):
    """One line of an order."""

    id: int
    product_id: int
    variant_id: int
    title: str
    variant_title: str
    sku: str
    quantity: int
    price: str
    location_id: int | None = None


class RefundedLine(msgspec.Struct, frozen=True):
    """What of an order came back."""

    id: int
    line_id: int
    quantity: int
    subtotal: str


class Refund(msgspec.Struct, frozen=True):
    """Money given back."""

    id: int
    created_ms: int
    amount: str
    lines: tuple[RefundedLine, ...] = ()
    restock: bool = False
    note: str = ""


class Order(msgspec.Struct, frozen=True):
    """One order."""

    id: int
    number: int
    created_ms: int
    updated_ms: int
    lines: tuple[Line, ...]
    person: Person
    paid_ms: int | None = None
    cancelled_ms: int | None = None
    cancel_reason: str = ""
    refunds: tuple[Refund, ...] = ()
    shipping: str = "0.00"
    discount: str = "0.00"
    discount_code: str = ""
    landing_site: str = ""
    referring_site: str = ""
    browser_ip: str = ""
    user_agent: str = ""
    test: bool = False

    @property
    def subtotal(self) -> Decimal:
        """Lines less the discount."""
        gross = sum((Decimal(line.price) * line.quantity for line in self.lines), Decimal(0))
        return gross - Decimal(self.discount)

    @property
    def total(self) -> Decimal:
        """What was to be paid."""
        return self.subtotal + Decimal(self.shipping)

    @property
    def refunded(self) -> Decimal:
        """Given back so far."""
        return sum((Decimal(one.amount) for one in self.refunds), Decimal(0))


class Access(msgspec.Struct):
    """A token (Shopify) or a pair of keys (WooCommerce, `ck_...:cs_...`)."""

    token: str
    app_id: str
    scopes: tuple[str, ...]
    removed: bool = False
    ends_ms: int | None = None
    refresh: str = ""
    refresh_ends_ms: int = 0


class Subscription(msgspec.Struct):
    """One webhook that the shop sends. `topic` as it stands in the header of a delivery."""

    id: int
    app_id: str
    topic: str
    address: str
    created_ms: int
    updated_ms: int
    api_version: str = ""
    name: str = ""
    secret: str = ""
    status: Literal["active", "paused", "disabled"] = "active"
    failures: int = 0


class BulkOperation(msgspec.Struct):
    """One export that Shopify works on."""

    id: int
    app_id: str
    query: str
    api_version: str
    status: str
    created_ms: int
    completed_ms: int | None = None
    objects: int = 0
    root_objects: int = 0
    file_bytes: int = 0
    file: str = ""
    error_code: str | None = None


class Shop(msgspec.Struct):
    """One shop. `host` names it: acme.myshopify.com, shop.example."""

    kind: Kind
    host: str
    number: int
    name: str
    currency: str
    country: str
    time_zone: str
    created_ms: int
    next_id: int
    taxes_included: bool = True
    plan: str = "ok"
    """`ok`, `frozen` (402) or `locked` (423)."""
    locations: dict[int, Location] = {}
    products: dict[int, Product] = {}
    orders: dict[int, Order] = {}
    accesses: dict[str, Access] = {}
    subscriptions: dict[int, Subscription] = {}
    bulk: dict[int, BulkOperation] = {}

    @property
    def storefront_url(self) -> str:
        """What people see."""
        return f"https://{self.host}"

    def new_id(self) -> int:
        """An id that no other thing of any shop has."""
        self.next_id += 1
        return self.next_id

    def visible_locations(self) -> list[Location]:
        """Those that a client may know."""
        return [one for one in self.locations.values() if not one.hidden]

    def variants(self) -> Iterator[tuple[Product, Variant]]:
        """All, in the order of their products."""
        for product in self.products.values():
            for variant in product.variants:
                yield product, variant

    def find_variant(self, variant_id: int) -> tuple[Product, Variant] | None:
        """By its id or that of its inventory item."""
        for product, variant in self.variants():
            if variant_id in (variant.id, variant.inventory_item_id):
                return product, variant
        return None
