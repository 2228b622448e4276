"""What is copied from the catalog into an event, and which of an item's offers it is copied from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ItemPart:
    """The content register of an item: the highest version wins; `offer_floor`: offers up to it are void."""

    item_id: str
    content_version: int
    deleted: bool = False
    offer_floor: int = 0
    group_id: str = ""
    brand: str = ""
    category: str = ""
    product_type: str = ""
    shop_variant_id: str = ""


@dataclass(frozen=True, slots=True)
class OfferPart:
    """The offer register of an item in a market."""

    item_id: str
    market: str
    offer_version: int
    price_minor: int
    currency: str
    sale_minor: int | None
    sale_start: datetime | None
    sale_end: datetime | None
    availability: str

    def price_at(self, moment: datetime) -> int:
        """The sale's while it runs; its bounds are open where they are not said."""
        begun = self.sale_start is None or self.sale_start <= moment
        over = self.sale_end is not None and self.sale_end <= moment
        return self.price_minor if self.sale_minor is None or not begun or over else self.sale_minor


@dataclass(frozen=True, slots=True)
class Item:
    """As the replica has it."""

    group_id: str
    brand: str
    category: str
    product_type: str
    offers: Sequence[OfferPart]
    default_market: str

    def attributes_at(self, moment: datetime, currency: str) -> dict[str, object]:
        """What rules may ask of an item in an event, as it was then. Of several markets the one that sells in the
        event's currency, else the brand's default, else the first by name."""
        found: dict[str, object] = {
            "group_id": self.group_id,
            "brand": self.brand,
            "category": self.category,
            "product_type": self.product_type,
        }
        if self.offers:
            offer = min(
                self.offers,
                key=lambda one: (
                    bool(currency) and one.currency != currency,
                    one.market != self.default_market,
                    one.market,
                ),
            )
            found |= {
                "catalog_price_minor": offer.price_at(moment),
                "catalog_currency": offer.currency,
                "availability": offer.availability,
            }
        return {name: value for name, value in found.items() if value != ""}


def newest_item(left: ItemPart, right: ItemPart) -> ItemPart:
    """Both floors count, whichever content wins."""
    newer = right if right.content_version > left.content_version else left
    floor = max(left.offer_floor, right.offer_floor)
    return ItemPart(
        newer.item_id,
        newer.content_version,
        newer.deleted,
        floor,
        newer.group_id,
        newer.brand,
        newer.category,
        newer.product_type,
    )
