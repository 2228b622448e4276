"""Use cases of carts: where a channel's carts go on, handing one over, and what became of them.

A platform sends a shopper with `products=` and `coupon=` to `/v1/checkout/{checkout_id}`. Nobody is logged in there:
the id, 122 random bits, finds the brand, and gives nothing but the way to the brand's own shop.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid4

from sqlalchemy import Row

from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.http.rate_limit import Quota
from vitrin.kit.ids import BrandId, ChannelId, ConnectionId, new_uuid
from vitrin.kit.metrics import counter
from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import CartLine, ShopSpec, source_of_shop
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged
from vitrin.protos.catalog.v1.events_pb2 import ItemContent, OfferChanged
from vitrin.shop_sync.domain import checkout as domain
from vitrin.shop_sync.domain.checkout import Coupon, Handoff, Sellable
from vitrin.shop_sync.errors import (
    ChannelNotFound,
    CheckoutCrowded,
    CheckoutNotFound,
    ShopUnknown,
    StorefrontInvalid,
)
from vitrin.shop_sync.repository import channels, checkouts

CARTS_MAX: Final = 600
CARTS_WINDOW_S: Final = 10
"""Carts of one channel in one process: 600 at once, refilled over 10 s."""
PASSED_ON: Final = ("fbclid", "cart_origin", "ref")
"""What says where a shopper came from goes on to the shop, with everything that begins with utm_."""
PASSED_CHARS_MAX: Final = 2_000

_CARTS = counter(
    "vitrin_shop_sync_carts_total",
    "Carts that platforms handed over by what became of them: whole, partial, nothing.",
    ("outcome",),
)
_TROUBLES = counter(
    "vitrin_shop_sync_cart_troubles_total",
    "Lines and coupons of carts that could not be honoured as they were asked for, by reason.",
    ("code",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where a channel's carts go on."""

    channel_id: ChannelId
    checkout_id: UUID
    connection_id: ConnectionId
    storefront_url: str
    coupons: tuple[Coupon, ...] | None
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    """A cart that was looked at. `url`: the shop's cart with what can be honoured; the storefront where nothing can."""

    handoff: Handoff
    url: str
    language: str
    storefront_url: str = field(default="")


class Checkouts:
    def __init__(
        self, *, database: AppDatabase, clock: Clock, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._quota = Quota(requests_max=CARTS_MAX, window_s=CARTS_WINDOW_S)

    async def get(self, caller: Principal, channel_id: UUID) -> Setup:
        """ChannelNotFound, CheckoutNotFound."""
        async with self._database.read(caller.brand_id) as tx:
            await _visible(tx, caller, channel_id)
            row = await checkouts.get(tx, caller.brand_id, ChannelId(channel_id))
        if row is None:
            raise CheckoutNotFound
        return _setup(row)

    async def put(
        self,
        caller: Principal,
        channel_id: UUID,
        *,
        connection_id: UUID | None,
        storefront_url: str | None,
        coupons: Sequence[Coupon] | None,
    ) -> Setup:
        """ChannelNotFound, ShopUnknown, StorefrontInvalid."""
        async with self._database.write(caller.brand_id) as tx:
            await _visible(tx, caller, channel_id)
            shop = _chosen(await checkouts.connections(tx, caller.brand_id), connection_id)
            spec = SHOPS[shop.platform]
            url = storefront_url or spec.base_url(dict(shop.external_ids))
            row = await checkouts.save(
                tx,
                {
                    "brand_id": caller.brand_id,
                    "channel_id": channel_id,
                    "checkout_id": uuid4(),
                    "connection_id": UUID(shop.connection_id),
                    "storefront_url": storefront(url, sandbox=bool(shop.base_url)),
                    "coupons": None if coupons is None else [_stored(one) for one in coupons],
                    "changed_at": self._clock(),
                    "changed_by": caller.actor,
                },
            )
        return _setup(row)

    async def delete(self, caller: Principal, channel_id: UUID) -> None:
        async with self._database.write(caller.brand_id) as tx:
            await _visible(tx, caller, channel_id)
            if not await checkouts.delete(tx, caller.brand_id, ChannelId(channel_id)):
                raise CheckoutNotFound

    async def handoffs(
        self,
        caller: Principal,
        channel_id: UUID,
        *,
        outcome: str | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Row[Any]]:
        async with self._database.read(caller.brand_id) as tx:
            await _visible(tx, caller, channel_id)
            return await checkouts.handoffs(
                tx, caller.brand_id, ChannelId(channel_id), outcome=outcome, before=before, limit=limit
            )

    async def hand_over(
        self, checkout_id: UUID, *, products: str, coupon: str, query: Sequence[tuple[str, str]]
    ) -> Cart:
        """CheckoutNotFound, CheckoutCrowded."""
        if not self._quota.take(str(checkout_id), self._monotonic_s()).allowed:
            raise CheckoutCrowded("This process takes 60 carts a second of a channel.", retry_after_s=1)
        async with self._database.lookup() as tx:
            brand = await checkouts.brand_of(tx, checkout_id)
        if brand is None:
            raise CheckoutNotFound
        wanted, unreadable = domain.read_products(products)
        async with self._database.write(brand) as tx:
            row = await checkouts.by_id(tx, brand, checkout_id)
            if row is None or row.state == "closed" or row.connection is None or row.connection_deleted:
                raise CheckoutNotFound("The channel or the shop is not connected any more.")
            shop = ConnectionChanged.FromString(row.connection)
            found = await checkouts.items(
                tx,
                brand,
                ChannelId(row.channel_id),
                market=row.market,
                ids=[one.platform_item_id for one in wanted],
            )
            known = {one.platform_item_id: sellable(one, shop, SHOPS[shop.platform]) for one in found}
            setup = _setup(row)
            handoff = domain.decide(
                wanted, coupon, known=known, coupons=setup.coupons, now=self._clock()
            ).after(unreadable)
            await checkouts.note(tx, self._noted(brand, setup, handoff, len(wanted)))
        _CARTS.labels(handoff.outcome).inc()
        for trouble in handoff.troubles:
            _TROUBLES.labels(trouble.code).inc()
        return Cart(
            handoff=handoff,
            url=cart_url(SHOPS[shop.platform], setup.storefront_url, handoff, query),
            language=row.language,
            storefront_url=setup.storefront_url,
        )

    def _noted(self, brand: BrandId, setup: Setup, handoff: Handoff, lines: int) -> Mapping[str, Any]:
        return {
            "at": self._clock(),
            "handoff_id": new_uuid(),
            "brand_id": brand,
            "channel_id": setup.channel_id,
            "outcome": handoff.outcome,
            "lines": lines,
            "troubles": [
                {"code": one.code, "subject": one.subject, "title": one.title, "left": one.left}
                for one in handoff.troubles
            ],
        }


def cart_url(spec: ShopSpec, storefront_url: str, handoff: Handoff, query: Sequence[tuple[str, str]]) -> str:
    """The shop's cart, with what says where the shopper came from."""
    lines = [CartLine(one.product_id, one.variant_id, one.quantity) for one in handoff.lines]
    where = spec.cart_url(storefront_url, lines, handoff.coupons) if lines else storefront_url
    parts = urlsplit(where)
    kept = [(name, value) for name, value in query if name in PASSED_ON or name.startswith("utm_")]
    more = urlencode(kept)
    if not kept or len(more) > PASSED_CHARS_MAX:
        return where
    # The shop's own part stays as it was written: a comma or a colon of its is no other than it looks.
    return urlunsplit(parts._replace(query="&".join(part for part in (parts.query, more) if part)))


def sellable(row: Row[Any], shop: ConnectionChanged, spec: ShopSpec) -> Sellable:
    """The item as the shop of this checkout sells it; of another shop's it has no variant."""
    content = ItemContent.FromString(row.content) if row.content else ItemContent()
    offer = OfferChanged.FromString(row.offer) if row.offer is not None else None
    product_id, variant_id = shop_ids(content, shop, spec)
    tracked = offer is not None and offer.HasField("quantity") and offer.inventory_policy != "continue"
    return Sellable(
        item_id=row.item_id,
        title=content.title,
        deleted=row.deleted or content.status not in ("", "active"),
        product_id=product_id,
        variant_id=variant_id,
        availability=offer.availability if offer is not None else "",
        quantity=max(0, offer.quantity) if offer is not None and tracked else None,
    )


def shop_ids(content: ItemContent, shop: ConnectionChanged, spec: ShopSpec) -> tuple[str, str]:
    """Product and variant in this shop; empty where the item came from elsewhere."""
    if content.shop_source != source_of_shop(spec, shop.external_ids, shop.connection_id):
        return "", ""
    return content.shop_product_id, content.shop_variant_id


def storefront(url: str, *, sandbox: bool) -> str:
    """Raises StorefrontInvalid. http only for a shop of the sandbox."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise StorefrontInvalid("This is no address.", field="storefront_url") from None
    schemes = ("https", "http") if sandbox else ("https",)
    wrong = (
        parts.scheme not in schemes or not parts.hostname or parts.username or parts.query or parts.fragment
    )
    if wrong or len(url) > 500 or any(ord(letter) <= 32 for letter in url.strip()) or port == 0:
        raise StorefrontInvalid(f"{url[:200]!r} is not an address of a shop.", field="storefront_url")
    return url.strip().rstrip("/")


def _chosen(found: Sequence[tuple[ConnectionId, bytes]], wanted: UUID | None) -> ConnectionChanged:
    shops = [
        shop
        for connection_id, payload in found
        if (shop := ConnectionChanged.FromString(payload)).platform in SHOPS
        and wanted in (None, connection_id)
    ]
    if len(shops) == 1:
        return shops[0]
    if not shops:
        raise ShopUnknown("There is no connected shop with this id." if wanted else "No shop is connected.")
    raise ShopUnknown(f"{len(shops)} shops are connected.", field="shop", fix="Name one as 'shop'.")


async def _visible(tx: ReadSession, caller: Principal, channel_id: UUID) -> None:
    channel = await channels.get(tx, caller.brand_id, ChannelId(channel_id))
    if channel is None or (caller.mode == "test" and channel.mode != "sandbox"):
        raise ChannelNotFound


def _setup(row: Row[Any]) -> Setup:
    return Setup(
        channel_id=ChannelId(row.channel_id),
        checkout_id=row.checkout_id,
        connection_id=ConnectionId(row.connection_id),
        storefront_url=row.storefront_url,
        coupons=None if row.coupons is None else tuple(_coupon(one) for one in row.coupons),
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )


def _stored(coupon: Coupon) -> dict[str, str | None]:
    return {
        "code": coupon.code,
        "starts_at": coupon.starts_at.isoformat() if coupon.starts_at else None,
        "ends_at": coupon.ends_at.isoformat() if coupon.ends_at else None,
    }


def _coupon(stored: Mapping[str, str | None]) -> Coupon:
    start, end = stored["starts_at"], stored["ends_at"]
    return Coupon(
        code=str(stored["code"]),
        starts_at=datetime.fromisoformat(start) if start else None,
        ends_at=datetime.fromisoformat(end) if end else None,
    )


def query_of(text: str) -> list[tuple[str, str]]:
    """Decoded pairs of a query, blank values too; a query that is none is empty."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []
