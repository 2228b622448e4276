"""Which locations of a shop count, and the quantities that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vitrin.catalog.changes import Change, Verb
from vitrin.catalog.errors import LocationUnknown, ShopUnknown
from vitrin.catalog.service_places import Places
from vitrin.catalog.service_write import write_changes
from vitrin.catalog.shop import repository_stock as stocks
from vitrin.catalog.shop.repository_products import Key
from vitrin.catalog.shop.repository_stock import LocationRow
from vitrin.catalog.shop.stock import quantity_of
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase

RECOUNTED_PER_TRANSACTION: Final = 500


@dataclass(frozen=True, slots=True)
class Chosen:
    """`recounted`: items whose quantity was decided anew."""

    locations: Sequence[LocationRow]
    recounted: int


class LocationService:
    """`GET` and `PUT /v1/shops/{connection_id}/locations`."""

    def __init__(self, *, database: AppDatabase, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    async def list(self, key: Key) -> Sequence[LocationRow]:
        """Raises ShopUnknown."""
        async with self._database.read(key.brand) as tx:
            found = await stocks.locations(tx, key)
        if not found:
            raise ShopUnknown
        return found

    async def choose(self, key: Key, counted: Sequence[str] | None, *, actor: str) -> Chosen:
        """None: all active ones count again. Stock that comes meanwhile goes by the new choice already; a call that
        broke off is completed by repeating it. Raises ShopUnknown, LocationUnknown."""
        async with self._database.write(key.brand) as tx:
            known = {one.location_id for one in await stocks.locations(tx, key)}
            if not known:
                raise ShopUnknown
            for location in counted or ():
                if location not in known:
                    raise LocationUnknown(f"The shop has no location {location[:100]!r}.", field="counted")
            await stocks.choose_locations(tx, key, counted)
        after, recounted = "", 0
        while True:
            ids, items = await self._recount(key, after, actor)
            recounted += items
            if len(ids) < RECOUNTED_PER_TRANSACTION:
                return Chosen(await self.list(key), recounted)
            after = ids[-1]

    async def _recount(self, key: Key, after: str, actor: str) -> tuple[Sequence[str], int]:
        now = self._clock()
        async with self._database.write(key.brand) as tx:
            place = await self._places.of(tx, key.brand)
            ids = await stocks.hold_page(tx, key, after=after, limit=RECOUNTED_PER_TRANSACTION)
            known = await stocks.inventory(tx, key, ids)
            changes = [
                Change(Verb.OFFER, one.item_id, {"quantity": quantity_of(one)}, now)
                for one in known.values()
                if one.item_id and one.levels
            ]
            await write_changes(tx, changes, place=place, actor=actor, received_at=now)
        return ids, len(changes)
