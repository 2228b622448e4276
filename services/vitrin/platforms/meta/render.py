"""A `ChannelItem` as the `data` of Meta's items_batch (without its id). Pure.

An UPDATE leaves fields alone that it does not name, so an optional field that the item lacks is sent empty: Meta's
own WooCommerce plugin clears a sale price that way; for the other fields it is unverified (a feed's empty cell).
"""

from vitrin.platforms.base import ChannelItem, Rendered
from vitrin.platforms.meta.rules import ITEM_RULES
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

OFFER_FIELDS = (
    "price",
    "sale_price",
    "sale_price_effective_date",
    "availability",
    "quantity_to_sell_on_facebook",
)


def render(item: ChannelItem, *, currency: str) -> Rendered:
    findings = Findings(ITEM_RULES)
    required_text(findings, "title", item.title, length_max=ITEM_RULES.title_max)
    required_text(findings, "description", item.description, length_max=ITEM_RULES.description_max)
    required_link(findings, "link", item.link, length_max=ITEM_RULES.link_max)
    required_link(findings, "image_link", item.image_link, length_max=ITEM_RULES.image_link_max)
    attributes: dict[str, object] = {
        "title": item.title,
        "description": item.description,
        "link": item.link,
        "image_link": item.image_link,
        "additional_image_link": more_images(findings, item),
        "condition": condition_of(findings, item.condition),
        "gender": optional_choice(findings, "gender", item.gender, choices=ITEM_RULES.genders),
        "age_group": optional_choice(findings, "age_group", item.age_group, choices=ITEM_RULES.age_groups),
        "gtin": gtin_of(findings, item.gtin),
        "google_product_category": item.google_product_category,
        "item_group_id": _group(item.item_group_id),
        "visibility": "published",
    }
    for name in ("brand", "mpn", "color", "size", "material", "pattern", "product_type"):
        attributes[name] = optional_text(findings, name, getattr(item, name))
    needs_identifier(
        findings,
        brand=str(attributes["brand"]),
        gtin=str(attributes["gtin"]),
        mpn=str(attributes["mpn"]),
    )
    for number in range(CUSTOM_LABELS_MAX):
        label = item.custom_labels[number] if number < len(item.custom_labels) else ""
        attributes[f"custom_label_{number}"] = optional_text(findings, f"custom_label_{number}", label)
    if item.video_link:
        attributes["video"] = [{"url": item.video_link}]
    if item.checkout_url:
        attributes["checkout_url"] = item.checkout_url
    attributes.update(_offer(findings, item, currency=currency))
    return Rendered(attributes, tuple(findings.problems), tuple(findings.warnings))


def render_offer(item: ChannelItem, *, currency: str) -> dict[str, object]:
    return _offer(Findings(ITEM_RULES), item, currency=currency)


def _offer(findings: Findings, item: ChannelItem, *, currency: str) -> dict[str, object]:
    offer = offer_of(findings, item, currency=currency)
    attributes: dict[str, object] = {
        "price": offer.price,
        "sale_price": offer.sale_price,
        "sale_price_effective_date": sale_window(offer, timespec="minutes"),
        "availability": availability_of(findings, item.availability),
    }
    if item.quantity is not None:
        attributes["quantity_to_sell_on_facebook"] = max(0, item.quantity)
    return attributes


def _group(raw: str) -> str:
    return stable_item_id(raw, length_max=ITEM_RULES.id_max) if raw else ""
