"""How many pieces an item has when a shop tells it twice: by location, and as its own sum in the product. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vitrin.catalog.shop.mapping import pieces
from vitrin.platforms.shop import StockLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is known of one inventory item. `item_id` "" while no product named it. `available`: sum over the counted
    locations. `sole_location`: the shop has one location, and it is counted."""

    inventory_item_id: str
    item_id: str
    tracked: bool
    payload_quantity: int | None
    payload_at: datetime | None
    levels: int
    available: int
    level_at: datetime | None
    sole_location: bool


def quantity_of(known: Inventory) -> int | None:
    """None: not tracked. Levels win over the product's own sum, which cannot follow which locations count; only where
    there is one location the two say the same thing, and the newer word counts."""
    if not known.tracked:
        return None
    payload = known.payload_quantity
    if payload is not None:
        newer = (
            known.payload_at is not None and known.level_at is not None and known.payload_at > known.level_at
        )
        if known.levels == 0 or (known.sole_location and newer):
            return pieces(payload)
    return pieces(known.available)


def newest(levels: Iterable[StockLevel]) -> list[StockLevel]:
    """One per inventory item and location, in their order: rows are locked in it."""
    kept: dict[tuple[str, str], StockLevel] = {}
    for level in levels:
        key = (level.inventory_item_id, level.location_id)
        before = kept.get(key)
        if before is None or level.updated_at >= before.updated_at:
            kept[key] = level
    return [kept[key] for key in sorted(kept)]
