"""What this release does with news of shops: the one place where kinds of news meet their handlers."""

from vitrin.catalog.orders.privacy import PrivacyTaking
from vitrin.catalog.orders.taking import OrderTaking
from vitrin.catalog.shop import applying
from vitrin.catalog.shop.handlers import Effects, Preparer, Products
from vitrin.catalog.shop.values import Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.seal import Sealer
from vitrin.platforms.shop import News, NewsKind

PRIVACY = (NewsKind.PERSON_EXPORT, NewsKind.PERSON_ERASE, NewsKind.SHOP_ERASE)


def effects_of(*, sealer: Sealer, database: WorkerDatabase, clock: Clock) -> Effects:
    orders = OrderTaking(sealer=sealer, clock=clock)
    privacy = PrivacyTaking(database=database, sealer=sealer, clock=clock)
    return Effects(
        products=Products(
            applying=applying, known=applying.known_products, save_locations=applying.save_locations
        ),
        others={
            NewsKind.ORDER: orders.order,
            NewsKind.REFUND: orders.refund,
            NewsKind.PERSON_EXPORT: privacy.person_export,
            NewsKind.PERSON_ERASE: privacy.person_erase,
            NewsKind.SHOP_ERASE: privacy.shop_erase,
        },
        before=preparing(orders, privacy),
    )


def preparing(orders: OrderTaking, privacy: PrivacyTaking) -> Preparer:
    async def prepare(shop: Shop, news: News) -> object:
        if news.kind is NewsKind.ORDER and news.order is not None:
            return await orders.prepare(shop, news.order)
        if news.kind in PRIVACY:
            return await privacy.prepare(shop, news)
        return None

    return prepare
