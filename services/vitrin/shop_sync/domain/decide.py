"""Desired state: what should one channel show of one item? Excluded, invalid or wanted, and why."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from vitrin.platforms.id_templates import ID_PLACEHOLDERS, filled
from vitrin.shop_sync.domain.sync import Hashes, Reason

HASH_BYTES: Final = 16
ACTIVE: Final = "active"


@dataclass(frozen=True, slots=True)
class Excluded:
    """Must not be on the channel; what was there is taken down."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Invalid:
    """Cannot be sent until somebody repairs it. `offer`: digest of the price and stock that can still follow where
    the platform shows an older content: a sold-out item must not be sold for the sake of a missing picture."""

    problems: tuple[Reason, ...]
    offer: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Must be on the channel with these attributes."""

    attributes: Mapping[str, object]
    hashes: Hashes


Desired = Excluded | Invalid | Wanted


def exclusion(*, exists: bool, status: str, gift_card: bool, offered: bool, market: str) -> Reason | None:
    """Why an item does not belong on the channel, None when it does."""
    if not exists:
        return Reason("item_deleted", "", "The item was deleted in the shop.", "Create it again to show it.")
    if status != ACTIVE:
        return Reason(
            f"item_{status or 'inactive'}",
            "status",
            f"The item is {status or 'not active'} in the shop.",
            "Set its status to active.",
        )
    if gift_card:
        return Reason(
            "gift_card", "attributes", "Gift cards are not shown on social channels.", "Nothing to do."
        )
    if not offered:
        return Reason(
            "no_offer_in_market",
            "price",
            f"The item has no price in the market {market} yet.",
            f"Give it an offer in {market}.",
        )
    return None


def raw_id(template: str, values: Mapping[str, str]) -> str | Reason:
    """The id that the channel's template makes, or what the item lacks for it."""
    made, missing = filled(template, values)
    if not missing:
        return made
    if missing == ("sku",):
        return MISSING_SKU
    lacks = ", ".join(f"{{{name}}} ({ID_PLACEHOLDERS[name]})" for name in missing)
    return Reason(
        "id_incomplete",
        "id",
        f"The channel names items by {template}, and this item lacks {lacks}.",
        "Connect the shop that the item comes from, so that it tells these values; the item follows by itself."
        " Or choose another id template before the first sync.",
    )


MISSING_SKU: Final = Reason(
    "missing_sku",
    "sku",
    "The channel names items by SKU, and this item has none.",
    "Give the item a SKU, or choose the id template {id} before the first sync.",
)


def id_taken(platform_item_id: str, owner_item_id: str) -> Reason:
    return Reason(
        "platform_id_taken",
        "sku",
        f"The item {owner_item_id} already goes by the id {platform_item_id} on this channel.",
        "Give each item its own SKU.",
    )


OFFER_FIELDS: Final = frozenset(
    {"price", "sale_price", "sale_price_effective_date", "availability", "quantity"}
)


def offer_stands_alone(partial: Collection[str], problems: Collection[Reason]) -> bool:
    """Price and stock can be sent although the content cannot: they are sound, and travel without content."""
    return "title" not in partial and not any(problem.field in OFFER_FIELDS for problem in problems)


def wanted(attributes: Mapping[str, object], offer_fields: Collection[str]) -> Wanted:
    """`offer_fields`: names of the attributes that the fast lane carries; the rest is content."""
    offer = {name: value for name, value in attributes.items() if name in offer_fields}
    content = {name: value for name, value in attributes.items() if name not in offer_fields}
    return Wanted(attributes=attributes, hashes=Hashes(content=digest(content), offer=digest(offer)))


def digest(value: Mapping[str, object]) -> bytes:
    """Stable digest of JSON values; the order of keys does not matter."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.blake2b(plain, digest_size=HASH_BYTES).digest()
