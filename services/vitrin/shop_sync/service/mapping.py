"""Catalog's messages and the platforms' values, in both directions."""

from collections.abc import Iterable

from vitrin.kit.clock import from_us
from vitrin.kit.money import Money
from vitrin.platforms.base import ChannelItem as PlatformItem
from vitrin.platforms.base import Problem
from vitrin.protos.catalog.v1.events_pb2 import ItemContent, OfferChanged
from vitrin.protos.catalog.v1.events_pb2 import Money as MoneyMessage
from vitrin.shop_sync.domain.sync import Reason
from vitrin.shop_sync.domain.values import Channel


def reasons_of(problems: Iterable[Problem]) -> tuple[Reason, ...]:
    return tuple(Reason(p.code, p.field, p.message, p.fix) for p in problems)


def is_gift_card(content: ItemContent) -> bool:
    return content.attributes.get("gift_card", "").strip().lower() in {"true", "1", "yes"}


def id_values(item_id: str, content: ItemContent, channel: Channel) -> dict[str, str]:
    """What the placeholders of the channel's id template stand for."""
    return {
        "id": item_id,
        "sku": content.sku,
        "product": content.shop_product_id,
        "variant": content.shop_variant_id,
        "handle": content.shop_handle,
        "country": channel.market.upper(),
        "language": channel.language,
    }


def _money(message: MoneyMessage) -> Money:
    return Money(message.amount_minor, message.currency)


def platform_item(item_id: str, content: ItemContent, offer: OfferChanged) -> PlatformItem:
    labels = [getattr(content, f"custom_label_{number}") for number in range(5)]
    return PlatformItem(
        item_id=item_id,
        sku=content.sku,
        item_group_id=content.item_group_id,
        title=content.title,
        description=content.description,
        link=content.link,
        image_link=content.image_link,
        additional_image_links=tuple(content.additional_image_links),
        video_link=content.video_link,
        brand=content.brand,
        gtin=content.gtin,
        mpn=content.mpn,
        condition=content.condition,
        google_product_category=content.google_product_category,
        product_type=content.product_type,
        color=content.color,
        size=content.size,
        gender=content.gender,
        age_group=content.age_group,
        material=content.material,
        pattern=content.pattern,
        checkout_url=content.checkout_url,
        custom_labels=tuple(labels) if any(labels) else (),
        availability=offer.availability,
        price=_money(offer.price) if offer.HasField("price") else None,
        sale_price=_money(offer.sale_price) if offer.HasField("sale_price") else None,
        sale_start=from_us(offer.sale_start_us),
        sale_end=from_us(offer.sale_end_us),
        quantity=offer.quantity if offer.HasField("quantity") else None,
    )
