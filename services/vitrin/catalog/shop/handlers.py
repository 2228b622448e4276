"""What is done with each kind of news. A kind without a handler waits in the table until a release has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from vitrin.catalog.service_places import Place
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.platforms.shop import News, NewsKind, ShopLocation, ShopProduct, StockLevel


class Applying(Protocol):
    """The way of a shop's products into the catalog: `catalog.shop.applying`."""

    async def apply_product(
        self,
        tx: WriteSession,
        shop: Shop,
        product: ShopProduct,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> Applied: ...

    async def delete_product(
        self,
        tx: WriteSession,
        shop: Shop,
        product_id: str,
        *,
        at: datetime,
        place: Place,
        received_at: datetime,
    ) -> Applied: ...

    async def apply_stock(
        self,
        tx: WriteSession,
        shop: Shop,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> Applied: ...

    async def apply_stocks(
        self,
        tx: WriteSession,
        shop: Shop,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> Mapping[str, Applied]: ...


class KnownProducts(Protocol):
    async def __call__(self, tx: ReadSession, shop: Shop, *, after: str, limit: int) -> list[str]:
        """Ids of the products that the catalog has from this shop and that are not deleted, in byte order."""
        ...


class Preparer(Protocol):
    async def __call__(self, shop: Shop, news: News) -> object:
        """Before the transaction: what others have to be asked for. The handler gets it as `prepared`."""
        ...


class Handler(Protocol):
    """In one transaction with the mark on the delivery. No call to anybody inside."""

    async def __call__(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied: ...


Handlers = Mapping[NewsKind, Handler]


class SaveLocations(Protocol):
    async def __call__(self, tx: WriteSession, shop: Shop, locations: Sequence[ShopLocation]) -> None: ...


@dataclass(frozen=True, slots=True)
class Products:
    """Products and stock of shops: how they are applied, which are known, where stock lies."""

    applying: Applying
    known: KnownProducts
    save_locations: SaveLocations | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """All that this release does with news of shops. Without `products` they wait, and no shop is loaded."""

    products: Products | None = None
    others: Mapping[NewsKind, Handler] = field(default_factory=dict)
    before: Preparer | None = None

    def handlers(self) -> dict[NewsKind, Handler]:
        own = product_handlers(self.products.applying) if self.products is not None else {}
        return {**own, **self.others}

    async def prepare(self, shop: Shop, news: News) -> object:
        return None if self.before is None else await self.before(shop, news)

    def kinds(self) -> list[str]:
        """Those that need not wait."""
        touched = [NewsKind.PRODUCT_TOUCHED] if self.products is not None else []
        return sorted(kind.value for kind in (*self.handlers(), *touched))


def product_handlers(applying: Applying) -> dict[NewsKind, Handler]:
    async def product(
        tx: WriteSession, shop: Shop, news: News, *, place: Place, received_at: datetime, prepared: object
    ) -> Applied:
        assert news.product is not None
        return await applying.apply_product(tx, shop, news.product, (), place=place, received_at=received_at)

    async def deleted(
        tx: WriteSession, shop: Shop, news: News, *, place: Place, received_at: datetime, prepared: object
    ) -> Applied:
        return await applying.delete_product(
            tx, shop, news.product_id, at=news.at, place=place, received_at=received_at
        )

    async def stock(
        tx: WriteSession, shop: Shop, news: News, *, place: Place, received_at: datetime, prepared: object
    ) -> Applied:
        assert news.stock is not None
        return await applying.apply_stock(tx, shop, [news.stock], place=place, received_at=received_at)

    return {NewsKind.PRODUCT: product, NewsKind.PRODUCT_DELETED: deleted, NewsKind.STOCK: stock}
