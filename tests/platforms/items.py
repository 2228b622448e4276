"""One complete item, from which the tests leave out or change what they are about."""

from dataclasses import replace

from vitrin.kit.money import Money
from vitrin.platforms.base import ChannelItem

MUG = ChannelItem(
    item_id="mug-1",
    sku="MUG-BLUE",
    item_group_id="mug",
    title="Blue mug",
    description="A mug of blue stoneware.",
    link="https://shop.example/products/mug",
    image_link="https://cdn.example/mug.jpg",
    additional_image_links=("https://cdn.example/mug-2.jpg",),
    brand="Vitrin Pottery",
    gtin="4006381333931",
    condition="new",
    google_product_category="Home & Garden > Kitchen & Dining",
    product_type="Mugs > Stoneware",
    color="blue",
    gender="unisex",
    age_group="adult",
    custom_labels=("gift",),
    availability="in_stock",
    price=Money(1234, "USD"),
    quantity=7,
)


def mug(**changes: object) -> ChannelItem:
    return replace(MUG, **changes)  # type: ignore[arg-type]
