"""A `ChannelItem` as the `attributes` of Pinterest's retail items. Pure.

Optional attributes that the item lacks are sent as null, which the description allows and which clears them.
"""

from collections.abc import Mapping
from typing import Final

from vitrin.platforms.base import ChannelItem, Rendered
from vitrin.platforms.pinterest.rules import ITEM_RULES
from vitrin.platforms.rendering import (
    CUSTOM_LABELS_MAX,
    Findings,
    availability_of,
    condition_of,
    gtin_of,
    more_images,
    needs_identifier,
    offer_of,
    optional_choice,
    optional_text,
    required_link,
    required_text,
    sale_window,
    stable_item_id,
)

OFFER_MASK: Final = ("availability", "price", "sale_price")
"""What an UPDATE with a mask can carry of an offer. A sale's window is not in Pinterest's list of mask fields."""


def render(item: ChannelItem, *, currency: str) -> Rendered:
    findings = Findings(ITEM_RULES)
    required_text(findings, "title", item.title, length_max=ITEM_RULES.title_max)
    required_text(findings, "description", item.description, length_max=ITEM_RULES.description_max)
    required_link(findings, "link", item.link, length_max=ITEM_RULES.link_max)
    required_link(findings, "image_link", item.image_link, length_max=ITEM_RULES.image_link_max)
    offer = offer_of(findings, item, currency=currency)
    optional: dict[str, object] = {
        "additional_image_link": more_images(findings, item),
        "video_link": optional_text(findings, "video_link", item.video_link),
        "item_group_id": _group(item.item_group_id),
        "gender": optional_choice(findings, "gender", item.gender, choices=ITEM_RULES.genders),
        "age_group": optional_choice(findings, "age_group", item.age_group, choices=ITEM_RULES.age_groups),
        "gtin": gtin_of(findings, item.gtin),
        "google_product_category": item.google_product_category,
        "sale_price": offer.sale_price,
        "sale_price_effective_date": sale_window(offer, timespec="seconds"),
    }
    for name in ("brand", "mpn", "color", "size", "material", "pattern", "product_type"):
        optional[name] = optional_text(findings, name, getattr(item, name))
    for number in range(CUSTOM_LABELS_MAX):
        label = item.custom_labels[number] if number < len(item.custom_labels) else ""
        optional[f"custom_label_{number}"] = optional_text(findings, f"custom_label_{number}", label)
    needs_identifier(
        findings, brand=str(optional["brand"]), gtin=str(optional["gtin"]), mpn=str(optional["mpn"])
    )
    attributes: dict[str, object] = {
        "title": item.title,
        "description": item.description,
        "link": item.link,
        "image_link": [item.image_link],
        "price": offer.price,
        "availability": availability_of(findings, item.availability),
        "condition": condition_of(findings, item.condition),
        **{name: value or None for name, value in optional.items()},
    }
    return Rendered(attributes, tuple(findings.problems), tuple(findings.warnings))


def render_offer(item: ChannelItem, *, currency: str) -> Mapping[str, object]:
    """Without a sale: price, availability and the end of any sale. With one: all attributes, since a window that
    Pinterest may still hold from an earlier sale can only be replaced or cleared by an UPSERT."""
    attributes = render(item, currency=currency).attributes
    if attributes["sale_price"] is not None:
        return attributes
    return {name: attributes[name] for name in OFFER_MASK}


def is_masked_update(attributes: Mapping[str, object]) -> bool:
    return set(attributes) <= set(OFFER_MASK)


def _group(raw: str) -> str:
    return stable_item_id(raw, length_max=ITEM_RULES.id_max) if raw else ""
