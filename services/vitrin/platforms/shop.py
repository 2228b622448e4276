"""What every shop has in common: products, stock and orders come in; a shop is read, and told where to send its news.

Two halves. `ShopSpec` is pure: it reads what a webhook says of itself, checks its signature over the raw body, and
turns bodies into news. `ShopSource` does I/O for one connection; its methods raise `PlatformFailure` and nothing else,
and are never called with a database transaction open.

Ids are the shop's own, as text of digits where the shop has numbers (never a GraphQL gid). Text may hold HTML where its
name says so; "" means absent. Moments are aware UTC. Whatever was true at `updated_at` is news only for who knows
nothing newer: deliveries come late, twice and in any order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopVariant:
    """`inventory_item_id` "" where the shop keeps stock by variant. `quantity` None: the shop does not track it; it is
    the shop's own sum over its locations. `compare_at`: the price before a reduction."""

    variant_id: str
    price: Money
    sku: str = ""
    barcode: str = ""
    title: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """Name and value; none for the one variant of a product without options."""
    compare_at: Money | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    cost: Money | None = None
    inventory_item_id: str = ""
    quantity: int | None = None
    tracking_told: bool = True
    """False: the body does not say whether stock is tracked; `quantity` then counts only where that is known."""
    oversell: bool = False
    """The shop sells it although there is none."""
    on_backorder: bool = False
    image_link: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopProduct:
    """A product with all its variants: a variant that is not among them is gone."""

    product_id: str
    handle: str
    title: str
    updated_at: datetime
    description_html: str = ""
    vendor: str = ""
    product_type: str = ""
    category: str = ""
    """The shop's own taxonomy, as text from the root with " > "."""
    tags: tuple[str, ...] = ()
    status: Literal["active", "draft", "archived"] = "active"
    published: bool = True
    """Whether shoppers can open it in the storefront."""
    link: str = ""
    images: tuple[str, ...] = ()
    variants: tuple[ShopVariant, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLevel:
    """What lies at one location. `available` None: not stocked there (any more)."""

    inventory_item_id: str
    location_id: str
    available: int | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ShopLocation:
    location_id: str
    name: str
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopInfo:
    """The shop's own words about itself. `shop_id` stays when its address changes."""

    shop_id: str
    name: str
    address: str
    """As the connection names it: acme.myshopify.com, https://shop.example."""
    storefront_url: str
    currency: str
    country: str = ""
    time_zone: str = ""
    taxes_included: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """`price` of one piece before discounts; `discount` of the whole line."""

    line_id: str
    title: str
    quantity: int
    price: Money
    discount: Money
    product_id: str = ""
    variant_id: str = ""
    sku: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundLine:
    line_id: str
    quantity: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopRefund:
    refund_id: str
    order_id: str
    created_at: datetime
    amount: Money
    lines: tuple[RefundLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ShopPerson:
    """Who bought. Personal: sealed at the door (`kit/seal`), in no log, no repr and no event in plain text."""

    customer_id: str = ""
    email: str = ""
    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    ip_address: str = ""
    user_agent: str = ""
    accepts_marketing: bool | None = None
    """None: the shop does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopOrder:
    """The whole order as the shop has it. `total` is what was to be paid, tax and shipping included.

    `state`: open until paid; paid, partially_refunded, refunded; cancelled wins; failed: never paid and never will."""

    order_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    state: Literal["open", "paid", "partially_refunded", "refunded", "cancelled", "failed"]
    total: Money
    subtotal: Money
    discounts: Money
    shipping: Money
    tax: Money
    cancelled_at: datetime | None = None
    cancel_reason: str = ""
    lines: tuple[OrderLine, ...] = ()
    refunds: tuple[ShopRefund, ...] = ()
    discount_codes: tuple[str, ...] = ()
    person: ShopPerson = field(default_factory=ShopPerson)
    landing_site: str = ""
    """With its query: click ids stand there."""
    referring_site: str = ""
    source: str = ""
    """web, pos, ... as the shop calls it."""
    test: bool = False


class NewsKind(StrEnum):
    PRODUCT = "product"
    PRODUCT_TOUCHED = "product_touched"
    PRODUCT_DELETED = "product_deleted"
    STOCK = "stock"
    ORDER = "order"
    REFUND = "refund"
    UNINSTALLED = "uninstalled"
    PERSON_EXPORT = "person_export"
    PERSON_ERASE = "person_erase"
    SHOP_ERASE = "shop_erase"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonAsked:
    """Of the privacy topics: whose data, and the orders that the shop names. `request_id`: the shop's own number of
    the request, "" where it has none."""

    customer_id: str
    request_id: str = ""
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    order_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one webhook says. Exactly the field that `kind` names is there.

    PRODUCT_TOUCHED: the body does not hold the whole product; ask `ShopSource.product`.
    `subject` names what must be applied in order: product:<id>, stock:<inventory item>/<location>, order:<id>, shop.
    `at`: the source's own moment, that of the body where it has one, else that of the head."""

    kind: NewsKind
    subject: str
    at: datetime
    product: ShopProduct | None = None
    product_id: str = ""
    stock: StockLevel | None = None
    order: ShopOrder | None = None
    refund: ShopRefund | None = None
    person: PersonAsked | None = None
    reason: str = ""
    """Of NOTHING: why, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryHead:
    """What the headers of a webhook say. None of it is covered by the signature, so nothing but reading the body right
    and telling repeats apart may hang on it.

    `delivery_id` is the same when the shop sends it again. `shop` "" where the shop does not name itself.
    `triggered_at` None: the headers name no moment. `ping`: a trial of the address, without news and not signed."""

    delivery_id: str
    topic: str
    shop: str = ""
    triggered_at: datetime | None = None
    api_version: str = ""
    ping: bool = False


class HeadInvalid(ValueError):
    """These are no headers of the shop's webhooks; says which one is missing or wrong."""


class BodyInvalid(ValueError):
    """A signed body that is not what its topic promises; says where (a path), never quotes a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One webhook that the shop will send. `address` is where to."""

    subscription_id: str
    topic: str
    address: str
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadState:
    """How a whole load stands at the shop. `handle` leads to it again after a restart; objects counted by the shop,
    products and variants together (WooCommerce: products), 0 where it does not count. `failure` in the shop's words."""

    handle: str
    state: Literal["running", "ready", "failed"]
    objects: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPage:
    """Some products, whole, with their stock by location where the shop has locations. `cursor` leads behind them;
    None: these were the last. `at`: no product of the page is older knowledge than this."""

    products: tuple[ShopProduct, ...]
    levels: tuple[StockLevel, ...]
    cursor: str | None
    at: datetime
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Products that are there and not as documented, by id: where. They are not gone: what is known of them stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """Some orders, whole, the oldest change first. `cursor` leads behind them; None: these were the last."""

    orders: tuple[ShopOrder, ...]
    cursor: str | None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Orders that are there and not as documented, by id: where."""


class ShopSource(Protocol):
    """One shop for one connection."""

    async def info(self) -> ShopInfo: ...

    async def locations(self) -> list[ShopLocation]:
        """All, the inactive ones too; none where the shop has no such thing."""
        ...

    async def start_load(self) -> LoadState:
        """Begin to read everything. One at a time: where one of ours runs already, that one."""
        ...

    async def load_state(self, handle: str) -> LoadState: ...

    async def load_page(self, handle: str, cursor: str | None) -> LoadPage:
        """Of a load that is ready; from the beginning without a cursor. The same cursor gives the same page, as long as
        the shop keeps the result (code `load_gone` of a PlatformFailure: begin again)."""
        ...

    async def product(self, product_id: str) -> tuple[ShopProduct, tuple[StockLevel, ...]] | None:
        """As it is now; None: there is none."""
        ...

    async def products_since(self, since: datetime, cursor: str | None) -> LoadPage:
        """Those that changed at or after `since`, oldest change first."""
        ...

    async def orders_since(self, since: datetime, cursor: str | None) -> OrderPage:
        """Those that changed at or after `since`, oldest change first."""
        ...

    async def subscriptions(self) -> list[Subscription]:
        """Those of this app or key, whatever their address."""
        ...

    async def subscribe(self, topic: str, address: str, secret: str) -> Subscription:
        """`secret` for shops that sign with one of our choice; others sign with the app's."""
        ...

    async def unsubscribe(self, subscription_id: str) -> None:
        """Also where it is gone already."""
        ...


class OpenShop(Protocol):
    """Makes a source; no I/O. Raises ChannelMisconfigured (platforms.base)."""

    def __call__(
        self,
        *,
        http: PlatformHttp,
        access_token: str,
        external_ids: Mapping[str, str],
        base_url: str | None = None,
        brand: str = "",
    ) -> ShopSource:
        """`base_url` None means the shop's own address, from its external ids."""
        ...


class ReadHead(Protocol):
    def __call__(self, headers: Mapping[str, str], body: bytes) -> DeliveryHead:
        """Header names are lower-case. Raises HeadInvalid. Pure."""
        ...


class Signed(Protocol):
    def __call__(self, headers: Mapping[str, str], body: bytes, secrets: Collection[str]) -> bool:
        """Whether one of the secrets signed exactly these bytes; in constant time. Pure."""
        ...


class BodyShop(Protocol):
    def __call__(self, head: DeliveryHead, body: bytes) -> str:
        """The shop that the body of this topic names, as `external_ids` do; "" where the topic names none, or the body
        is not as its topic promises. Pure."""
        ...


def no_shop(head: DeliveryHead, body: bytes) -> str:
    """Of shops whose bodies name none."""
    return ""


class ReadNews(Protocol):
    def __call__(self, head: DeliveryHead, body: bytes, *, currency: str, received_at: datetime) -> News:
        """`currency`: of the shop, for bodies whose prices name none. Raises BodyInvalid. Pure. A topic that nobody
        asked for is NOTHING."""
        ...


class ExternalIdProblem(Protocol):
    def __call__(self, name: str, value: str) -> str | None:
        """What is wrong with an external id of a shop, in words with the right form; None: nothing. Pure."""
        ...


class ShopUrl(Protocol):
    def __call__(self, external_ids: Mapping[str, str]) -> str:
        """Where the shop's API is, without a trailing slash. Pure."""
        ...


@dataclass(frozen=True, slots=True)
class CartLine:
    """`quantity` >= 1."""

    product_id: str
    variant_id: str
    quantity: int


class CartUrl(Protocol):
    def __call__(self, storefront_url: str, lines: Sequence[CartLine], coupons: Sequence[str]) -> str:
        """The storefront's address that fills a cart and goes to its checkout. Pure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopSpec:
    """What the services must know of a kind of shop.

    `token_form`: how the access token of a connection is written, for error texts.
    `own_secret`: the shop signs with a secret that we choose per connection (WooCommerce); else with the secret of the
    app (Shopify), which somebody who connects with a pasted token has to give.
    `topics` are subscribed per connection; `app_topics` are set at the app, for all shops that installed it.
    `body_shop`: where an app's secret signs for many shops, the body that names its own is bound by it.
    `gives_up_after_s`: the shop's patience with our answer. `refs_source` stands in `ExternalRefs.source`, the same as
    in files of that shop."""

    name: str
    title: str
    refs_source: str
    required_external_ids: tuple[str, ...]
    optional_external_ids: tuple[str, ...]
    required_scopes: tuple[str, ...]
    token_form: str
    own_secret: bool
    topics: tuple[str, ...]
    app_topics: tuple[str, ...]
    gives_up_after_s: float
    has_locations: bool
    open_shop: OpenShop
    read_head: ReadHead
    signed: Signed
    body_shop: BodyShop = no_shop
    read_news: ReadNews
    external_id_problem: ExternalIdProblem
    base_url: ShopUrl
    cart_url: CartUrl


def source_of_shop(spec: ShopSpec, external_ids: Mapping[str, str], connection_id: str) -> str:
    """What names this shop in `ExternalRefs.source` and in events, such as shopify:acme.myshopify.com."""
    address = next((external_ids.get(name, "") for name in spec.required_external_ids), "")
    return f"{spec.refs_source}:{address or connection_id}"
