"""Use cases of carts: where a channel's carts go on, handing one over, and what became of them.

A platform sends a shopper with `products=` and `coupon=` to `/v1/checkout/{checkout_id}`. Nobody is logged in there:
the id, 122 random bits, finds the brand, and gives nothing but the way to the brand's own shop.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
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
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.domain import checkout as domain
from vitrin.shop_sync.domain.checkout import Coupon, Handoff
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.errors import (
    ChannelNotFound,
    CheckoutCrowded,
    CheckoutNotFound,
    ShopUnknown,
)
from vitrin.shop_sync.repository import channels, checkouts
from vitrin.shop_sync.service import carts
from vitrin.shop_sync.service.carts import content_of

CARTS_MAX: Final = 600
CARTS_WINDOW_S: Final = 10
"""Carts of one channel in one process: 600 at once, refilled over 10 s."""
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
        self,
        *,
        database: AppDatabase,
        clock: Clock,
        monotonic_s: Callable[[], float] = time.monotonic,
        carts_max: int = CARTS_MAX,
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._quota = Quota(requests_max=carts_max, window_s=CARTS_WINDOW_S)

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
            channel = await _visible(tx, caller, channel_id)
            shop = _chosen(await checkouts.connections(tx, caller.brand_id), connection_id, channel.mode)
            spec = SHOPS[shop.platform]
            url = storefront_url or spec.base_url(dict(shop.external_ids))
            row = await checkouts.save(
                tx,
                {
                    "brand_id": caller.brand_id,
                    "channel_id": channel_id,
                    "checkout_id": uuid4(),
                    "connection_id": UUID(shop.connection_id),
                    "storefront_url": carts.storefront(url, sandbox=bool(shop.base_url)),
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
            raise CheckoutCrowded(
                f"This process takes {CARTS_MAX // CARTS_WINDOW_S} carts a second of a channel.",
                retry_after_s=1,
            )
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
                ids=[name for one in wanted for name in one.spellings],
            )
            known = carts.known(wanted, found, shop, await _alone(tx, brand, found))
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
            url=carts.cart_url(SHOPS[shop.platform], setup.storefront_url, handoff, query),
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


async def _alone(tx: ReadSession, brand: BrandId, found: Sequence[Row[Any]]) -> bool:
    """Whether the brand never had another shop; asked only where an item does not say which shop it is of."""
    if all(
        row.deleted or content_of(row).shop_source or not content_of(row).shop_variant_id for row in found
    ):
        return False
    ever = await checkouts.connections(tx, brand, gone=True)
    return sum(ConnectionChanged.FromString(payload).platform in SHOPS for _, payload in ever) == 1


def _chosen(found: Sequence[tuple[ConnectionId, bytes]], wanted: UUID | None, mode: str) -> ConnectionChanged:
    """Of the channel's mode: shoppers of a live channel never land in a sandbox, a test key names no live shop."""
    enum = ConnectionMode.CONNECTION_MODE_LIVE if mode == "live" else ConnectionMode.CONNECTION_MODE_SANDBOX
    shops = [
        shop
        for connection_id, payload in found
        if (shop := ConnectionChanged.FromString(payload)).platform in SHOPS
        and shop.mode == enum
        and wanted in (None, connection_id)
    ]
    if len(shops) == 1:
        return shops[0]
    if not shops:
        named = " with this id" if wanted else ""
        raise ShopUnknown(
            f"No {mode} shop{named} is connected, and the channel is a {mode} one.", field="shop"
        )
    raise ShopUnknown(f"{len(shops)} shops are connected.", field="shop", fix="Name one as 'shop'.")


async def _visible(tx: ReadSession, caller: Principal, channel_id: UUID) -> Channel:
    channel = await channels.get(tx, caller.brand_id, ChannelId(channel_id))
    if channel is None or (caller.mode == "test" and channel.mode != "sandbox"):
        raise ChannelNotFound
    return channel


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
