"""A shop without a wire: what applying needs of one, its products, and the items that they became."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from tests.catalog.support import NOW, admin_rows
from vitrin.catalog.service_places import Place
from vitrin.catalog.shop.values import Shop
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid
from vitrin.kit.money import Money
from vitrin.kit.settings import DatabaseSettings
from vitrin.platforms.shop import ShopProduct, ShopSpec, ShopVariant, StockLevel


def _never(*_args: object, **_named: object) -> Any:
    raise AssertionError("applying asks nobody")


SPEC = ShopSpec(
    name="shopify",
    title="Shopify",
    refs_source="shopify",
    required_external_ids=("shop",),
    optional_external_ids=(),
    required_scopes=(),
    token_form="",
    own_secret=False,
    topics=(),
    app_topics=(),
    gives_up_after_s=5,
    has_locations=True,
    open_shop=_never,
    read_head=_never,
    signed=_never,
    read_news=_never,
    external_id_problem=_never,
    base_url=_never,
    cart_url=_never,
)


def shop_of(brand: BrandId, address: str = "acme.myshopify.com") -> Shop:
    return Shop(
        brand=brand,
        connection_id=ConnectionId(new_uuid()),
        spec=SPEC,
        external_ids={"shop": address},
        market="DE",
        currency="EUR",
        storefront_url="https://shop.example",
    )


def place_of(brand: BrandId) -> Place:
    return Place(brand, "DE", "EUR")


def at(minute: int) -> datetime:
    """Of the shop: some minutes before the tests' now."""
    return NOW - timedelta(hours=2) + timedelta(minutes=minute)


def variant(number: str, color: str = "", **more: Any) -> ShopVariant:
    values: dict[str, Any] = {
        "variant_id": number,
        "price": Money(1000, "EUR"),
        "inventory_item_id": f"i{number}",
        "quantity": 5,
        "options": (("Color", color),) if color else (),
    }
    return ShopVariant(**{**values, **more})


def product(*variants: ShopVariant, minute: int = 1, **more: Any) -> ShopProduct:
    values: dict[str, Any] = {
        "product_id": "1",
        "handle": "gloves",
        "title": "Gloves",
        "updated_at": at(minute),
        "variants": variants,
    }
    return ShopProduct(**{**values, **more})


def level(number: str, available: int | None, *, minute: int = 1, location: str = "L1") -> StockLevel:
    return StockLevel(
        inventory_item_id=f"i{number}", location_id=location, available=available, updated_at=at(minute)
    )


@dataclass(frozen=True)
class Item:
    """What the tables hold of a live item."""

    content: dict[str, Any]
    quantity: int | None
    refs: dict[str, Any] = field(default_factory=dict)


def items_of(settings: DatabaseSettings, brand: BrandId) -> dict[str, Item]:
    rows = admin_rows(
        settings,
        "select i.item_id, i.content, (select sum(quantity)::int from stock_levels s where s.brand_id = i.brand_id"
        " and s.item_id = i.item_id), i.source, i.product_id, i.variant_id, i.handle from items i"
        " where i.brand_id = %s and i.content is not null order by 1",
        brand,
    )
    names = ("source", "product_id", "variant_id", "handle")
    return {
        cast(str, row[0]): Item(
            cast(dict[str, Any], row[1]), cast(int | None, row[2]), dict(zip(names, row[3:], strict=True))
        )
        for row in rows
    }
