"""How a decision becomes events: item_changed and item_deleted on one lane, offer_changed on the other."""

from collections.abc import Iterator
from datetime import datetime

from vitrin.catalog.changes import Decision, Outcome
from vitrin.catalog.domain import ExternalRefs, ItemContent, Offer, effective_availability
from vitrin.catalog.repository_read import ItemRow
from vitrin.events import topics
from vitrin.events.envelope import Event, to_us
from vitrin.kit.ids import BrandId
from vitrin.protos.catalog.v1 import events_pb2 as pb


def events_of(
    decision: Decision, *, brand: BrandId, market: str, actor: str, received_at: datetime
) -> Iterator[Event]:
    """Nothing where nothing changed. Content first: a new item is known before its offer."""
    item_id = decision.change.item_id
    times = {"occurred_at": decision.change.occurred_at, "received_at": received_at}
    if decision.outcome is Outcome.DELETED:
        deleted = pb.ItemDeleted(
            item_id=item_id,
            content_version=decision.content_version,
            offer_version=decision.offer_version,
            actor=actor,
        )
        yield Event.of(
            topic=topics.ITEM,
            key=f"{brand}/{item_id}",
            type="catalog.item_deleted",
            brand_id=brand,
            message=deleted,
            **times,
        )
        return
    if decision.content_changed and decision.content is not None:
        changed = pb.ItemChanged(
            content_version=decision.content_version,
            content=content_message(decision.content, decision.refs),
            actor=actor,
        )
        yield Event.of(
            topic=topics.ITEM,
            key=f"{brand}/{item_id}",
            type="catalog.item_changed",
            brand_id=brand,
            message=changed,
            **times,
        )
    if decision.offer_changed and decision.offer is not None:
        offer = offer_message(
            decision.offer,
            item_id=item_id,
            market=market,
            offer_version=decision.offer_version,
            actor=actor,
        )
        yield Event.of(
            topic=topics.OFFER,
            key=f"{brand}/{item_id}/{market}",
            type="catalog.offer_changed",
            brand_id=brand,
            message=offer,
            **times,
        )


def item_state(row: ItemRow) -> Iterator[Event]:
    """What the last change of the item's content, or its deletion, said. Nobody is its actor any more."""
    message: pb.ItemChanged | pb.ItemDeleted
    if row.content is None:
        kind = "catalog.item_deleted"
        message = pb.ItemDeleted(
            item_id=row.item_id, content_version=row.content_version, offer_version=row.offer_version
        )
    else:
        kind = "catalog.item_changed"
        message = pb.ItemChanged(
            content_version=row.content_version, content=content_message(row.content, row.refs)
        )
    yield Event.of(
        topic=topics.ITEM,
        key=f"{row.brand}/{row.item_id}",
        type=kind,
        brand_id=row.brand,
        message=message,
        occurred_at=row.updated_at,
        received_at=row.updated_at,
    )


def offer_state(row: ItemRow) -> Iterator[Event]:
    """What the last change of the item's offer said; nothing where it has none."""
    if row.offer is None:
        return
    message = offer_message(
        row.offer, item_id=row.item_id, market=row.market, offer_version=row.offer_row_version
    )
    yield Event.of(
        topic=topics.OFFER,
        key=f"{row.brand}/{row.item_id}/{row.market}",
        type="catalog.offer_changed",
        brand_id=row.brand,
        message=message,
        occurred_at=row.updated_at,
        received_at=row.updated_at,
    )


def content_message(content: ItemContent, refs: ExternalRefs) -> pb.ItemContent:
    return pb.ItemContent(
        item_id=content.id,
        item_group_id=content.item_group_id,
        title=content.title,
        description=content.description,
        link=content.link,
        image_link=content.image_link,
        additional_image_links=content.additional_image_links,
        video_link=content.video_link,
        brand=content.brand,
        gtin=content.gtin,
        mpn=content.mpn,
        condition=content.condition or "",
        google_product_category=content.google_product_category,
        product_type=content.product_type,
        color=content.color,
        size=content.size,
        gender=content.gender or "",
        age_group=content.age_group or "",
        material=content.material,
        pattern=content.pattern,
        status=content.status,
        shipping=content.shipping,
        checkout_url=content.checkout_url,
        custom_label_0=content.custom_label_0,
        custom_label_1=content.custom_label_1,
        custom_label_2=content.custom_label_2,
        custom_label_3=content.custom_label_3,
        custom_label_4=content.custom_label_4,
        sku=content.sku,
        attributes=content.attributes,
        shop_product_id=refs.product_id,
        shop_variant_id=refs.variant_id,
        shop_handle=refs.handle,
        shop_source=refs.source,
    )


def offer_message(
    offer: Offer, *, item_id: str, market: str, offer_version: int, actor: str = ""
) -> pb.OfferChanged:
    message = pb.OfferChanged()
    message.item_id = item_id
    message.market = market
    message.offer_version = offer_version
    message.price.amount_minor = offer.price.amount_minor
    message.price.currency = offer.price.currency
    message.availability = effective_availability(offer)
    message.inventory_policy = offer.inventory_policy
    message.actor = actor
    if offer.sale_price is not None:
        message.sale_price.amount_minor = offer.sale_price.amount_minor
        message.sale_price.currency = offer.sale_price.currency
    if offer.sale_starts_at is not None:
        message.sale_start_us = to_us(offer.sale_starts_at)
    if offer.sale_ends_at is not None:
        message.sale_end_us = to_us(offer.sale_ends_at)
    if offer.quantity is not None:
        message.quantity = offer.quantity
    return message
