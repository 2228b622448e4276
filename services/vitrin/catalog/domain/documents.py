"""Items as JSON in the words of the product data specification: what `apply_patch` takes, it also gives."""

from dataclasses import fields
from datetime import datetime
from typing import Final

from vitrin.catalog.domain.entities import ExternalRefs, ItemContent, Offer, effective_availability
from vitrin.kit.money import Money

_TEXTS: Final = tuple(
    field.name
    for field in fields(ItemContent)
    if field.name
    not in {"additional_image_links", "attributes", "condition", "gender", "age_group", "status"}
)


def content_document(content: ItemContent) -> dict[str, object]:
    """Every field, null where the item has no value. `apply_patch` reads it back to an equal content."""
    return {
        **{name: getattr(content, name) or None for name in _TEXTS},
        "additional_image_link": list(content.additional_image_links),
        "condition": content.condition,
        "gender": content.gender,
        "age_group": content.age_group,
        "status": content.status,
        "attributes": dict(content.attributes),
    }


def offer_document(offer: Offer) -> dict[str, object]:
    """Prices as "12.34 EUR", the declared availability, times in UTC. `apply_offer_patch` reads it back."""
    return {
        "price": str(offer.price),
        "sale_price": _price(offer.sale_price),
        "sale_price_effective_date": _window(offer.sale_starts_at, offer.sale_ends_at),
        "cost_of_goods_sold": _price(offer.cost_of_goods_sold),
        "availability": offer.availability,
        "quantity": offer.quantity,
        "inventory_policy": offer.inventory_policy,
    }


def effective_document(offer: Offer) -> dict[str, object]:
    """What is computed from an offer; not part of what a patch takes."""
    return {"effective_availability": effective_availability(offer).value}


def refs_document(refs: ExternalRefs) -> dict[str, object]:
    return {
        **{name: getattr(refs, name) or None for name in REF_TEXTS},
        "options": [{"name": name, "value": value} for name, value in refs.options],
    }


REF_TEXTS: Final = tuple(field.name for field in fields(ExternalRefs) if field.name != "options")


def _price(money: Money | None) -> str | None:
    return None if money is None else str(money)


def _window(start: datetime | None, end: datetime | None) -> str | None:
    if start is None and end is None:
        return None
    return f"{start.isoformat() if start else ''}/{end.isoformat() if end else ''}"
