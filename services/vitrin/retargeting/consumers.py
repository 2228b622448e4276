"""The door for events: storefront events themselves, and the items of the catalog. Keys are kit.access's."""

from collections.abc import Sequence

from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.clock import from_us
from vitrin.kit.consumer.handling import Handler
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.protos.catalog.v1.events_pb2 import ItemChanged, ItemDeleted, OfferChanged
from vitrin.protos.retargeting.v1.events_pb2 import StorefrontEvents
from vitrin.retargeting.domain.items import ItemPart, OfferPart, newest_item
from vitrin.retargeting.repository import items
from vitrin.retargeting.service.storing import Arrived, Storing


def storing_handler(storing: Storing) -> Handler:
    """Topic storefront.event.v1."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        arrived: list[Arrived] = []
        for message in messages:
            decoded = message.decode()
            if not isinstance(decoded, StorefrontEvents):
                raise InvalidMessage(f"{decoded.DESCRIPTOR.name} is no storefront events")
            arrived += [Arrived(BrandId(message.brand_id), event) for event in decoded.events]
        await storing.store(tx, arrived)

    return handle


async def items_handler(tx: WriteSession, messages: Sequence[Message]) -> None:
    """Topics catalog.item.v1 and catalog.offer.v1: the newest version wins, in whatever order they come."""
    contents: dict[items.Key, ItemPart] = {}
    offers: dict[tuple[BrandId, str, str], OfferPart] = {}
    for message in messages:
        brand = BrandId(message.brand_id)
        part = _part(message)
        if isinstance(part, ItemPart):
            known = contents.get((brand, part.item_id))
            contents[brand, part.item_id] = part if known is None else newest_item(known, part)
        else:
            key = (brand, part.item_id, part.market)
            held = offers.get(key)
            if held is None or held.offer_version < part.offer_version:
                offers[key] = part
    await items.save_items(tx, contents)
    await items.save_offers(tx, offers)


def _part(message: Message) -> ItemPart | OfferPart:
    match message.decode():
        case ItemChanged(content=content, content_version=version) if content.item_id and version > 0:
            return ItemPart(
                content.item_id,
                version,
                group_id=content.item_group_id,
                brand=content.brand,
                category=content.google_product_category,
                product_type=content.product_type,
                shop_variant_id=content.shop_variant_id,
            )
        case ItemDeleted(item_id=item_id, content_version=version) as deleted if item_id and version > 0:
            return ItemPart(item_id, version, deleted=True, offer_floor=deleted.offer_version)
        case OfferChanged(item_id=item_id, market=market, offer_version=version) as offer if (
            item_id and market
        ):
            has_sale = offer.HasField("sale_price")
            return OfferPart(
                item_id,
                market,
                version,
                offer.price.amount_minor,
                offer.price.currency,
                offer.sale_price.amount_minor if has_sale else None,
                from_us(offer.sale_start_us),
                from_us(offer.sale_end_us),
                offer.availability,
            )
        case other:
            raise InvalidMessage(f"{other.DESCRIPTOR.name} names no item, market or version")
