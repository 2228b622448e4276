"""What the parts of a shop's way into the catalog say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.platforms.shop import ShopSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One connected shop of a brand. `currency` and `storefront_url` are the shop's own ("" until it told them)."""

    brand: BrandId
    connection_id: ConnectionId
    spec: ShopSpec
    external_ids: Mapping[str, str]
    market: str
    currency: str
    storefront_url: str

    @property
    def actor(self) -> str:
        """As the audit and the timelines name it."""
        return f"shop:{self.spec.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one piece of news did. `stale`: something newer was known already, so nothing was done.

    `parked`: of stock, its item is not known yet; it counts as soon as the item is. `refused`: item id and the problems
    of each variant that could not become an item, in the words of the catalog. `warnings`: likewise of each that did,
    without what could not be read."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    stale: bool = False
    parked: int = 0
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
