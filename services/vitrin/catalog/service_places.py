"""The market and location that a brand's offers belong to until it names others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from vitrin.catalog import repository_write
from vitrin.catalog.errors import BrandUnprepared
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

DEFAULT_LOCATION: Final = "default"
CACHED_BRANDS_MAX: Final = 10_000


class BrandWords(Protocol):
    """What the catalog needs of a brand's defaults."""

    @property
    def default_currency(self) -> str: ...
    @property
    def default_market(self) -> str: ...
    @property
    def storefront_url(self) -> str: ...


BrandSource = Callable[[ReadSession, BrandId], Awaitable[BrandWords]]
"""Raises an Unavailable error while the brand's own data has not arrived."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a write goes: one brand, its default market and location."""

    brand: BrandId
    market: str
    currency: str
    location: str = DEFAULT_LOCATION


class Places:
    """Finds a brand's place, and makes it on first use from the brand's defaults. After that the market's currency
    stays, whatever the brand's default becomes: stored prices are in it."""

    def __init__(self, *, brands: BrandSource, clock: Clock) -> None:
        self._brands = brands
        self._clock = clock
        self._known: dict[BrandId, Place] = {}

    async def of(self, tx: WriteSession, brand: BrandId) -> Place:
        """Raises BrandUnprepared while the brand's own data has not arrived here."""
        known = self._known.get(brand)
        if known is not None:
            return known
        found = await repository_write.default_market(tx, brand)
        if found is None:
            defaults = await self._brands(tx, brand)
            await repository_write.insert_places(
                tx,
                brand=brand,
                market=defaults.default_market,
                currency=defaults.default_currency,
                location=DEFAULT_LOCATION,
                now=self._clock(),
            )
            found = await repository_write.default_market(tx, brand)
        if found is None:
            raise BrandUnprepared(f"Brand {brand} has no default market.")
        place = Place(brand, found[0], found[1])
        tx.after_commit(lambda: self._remember(place))
        return place

    def _remember(self, place: Place) -> None:
        if len(self._known) >= CACHED_BRANDS_MAX:
            self._known.clear()
        self._known[place.brand] = place
