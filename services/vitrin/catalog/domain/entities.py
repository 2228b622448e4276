"""The value objects of the catalog: content of an item, its offer in one market, and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vitrin.catalog.domain.vocabulary import (
    AgeGroup,
    Availability,
    Condition,
    Gender,
    InventoryPolicy,
    Status,
)
from vitrin.kit.money import Money


@dataclass(frozen=True, slots=True)
class ItemContent:
    """Everything but price and stock. An empty text means that the item has no such value.

    `id` is the brand's own: 1 to 100 characters, no control characters, no blanks at its ends; slashes and
    any script are allowed. `attributes` holds what the shop has beyond the specification.
    """

    id: str
    title: str
    item_group_id: str = ""
    description: str = ""
    link: str = ""
    image_link: str = ""
    additional_image_links: tuple[str, ...] = ()
    video_link: str = ""
    brand: str = ""
    gtin: str = ""
    mpn: str = ""
    condition: Condition | None = None
    google_product_category: str = ""
    product_type: str = ""
    color: str = ""
    size: str = ""
    gender: Gender | None = None
    age_group: AgeGroup | None = None
    material: str = ""
    pattern: str = ""
    status: Status = Status.ACTIVE
    shipping: str = ""
    checkout_url: str = ""
    custom_label_0: str = ""
    custom_label_1: str = ""
    custom_label_2: str = ""
    custom_label_3: str = ""
    custom_label_4: str = ""
    sku: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """An item's price and stock in one market.

    `availability` is what the shop declared (None: it did not), `quantity` the sum over locations (None: not
    tracked). Times are aware UTC; a window's end is exclusive, an open side is None.
    """

    price: Money
    sale_price: Money | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    cost_of_goods_sold: Money | None = None
    availability: Availability | None = None
    quantity: int | None = None
    inventory_policy: InventoryPolicy = InventoryPolicy.DENY


@dataclass(frozen=True, slots=True)
class ExternalRefs:
    """Where an item lives in the shop that it came from. Empty: not known from this source."""

    source: str = ""
    product_id: str = ""
    variant_id: str = ""
    inventory_item_id: str = ""
    handle: str = ""
    options: tuple[tuple[str, str], ...] = ()
    sku: str = ""
    gtin: str = ""


def effective_availability(offer: Offer) -> Availability:
    """What a shopper can do now: the declared word, corrected by tracked stock.

    A declared discontinued or preorder wins. A tracked quantity of 0 that may not be oversold is out of
    stock, whatever was declared. Otherwise the declared word counts, and in stock where nothing was declared.
    """
    if offer.availability in (Availability.DISCONTINUED, Availability.PREORDER):
        return offer.availability
    sold_out = offer.quantity is not None and offer.quantity <= 0
    if sold_out and offer.inventory_policy is InventoryPolicy.DENY:
        return Availability.OUT_OF_STOCK
    return offer.availability or Availability.IN_STOCK
