"""The HTTP doors: parse, call one use case, answer."""

from vitrin.catalog.api.imports import router as imports_router
from vitrin.catalog.api.items import router as items_router
from vitrin.catalog.api.offers import router as offers_router
from vitrin.catalog.api.orders import router as orders_router
from vitrin.catalog.api.shop_locations import router as shop_locations_router
from vitrin.catalog.api.shops import router as shops_router

__all__ = [
    "imports_router",
    "items_router",
    "offers_router",
    "orders_router",
    "shop_locations_router",
    "shops_router",
]
