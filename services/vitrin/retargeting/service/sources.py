"""Use cases around events: where they may come from, how they fare, which there are."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from vitrin.kit.access import Principal, ReplicaDirectory
from vitrin.kit.access.errors import AccessUnavailable
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.errors import FieldError
from vitrin.retargeting.collector import origins
from vitrin.retargeting.collector.keys import BrandOfKey
from vitrin.retargeting.errors import OriginInvalid
from vitrin.retargeting.repository import events, health, sources

UNKNOWN_SHOWN: Final = 50
HEALTH_SINCE_MAX: Final = timedelta(days=89)


class Events:
    def __init__(self, *, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(self, caller: Principal, **asked: Any) -> Sequence[Any]:
        """`asked`: as `repository.events.page` has it."""
        async with self._database.read(caller.brand_id) as session:
            return await events.page(session, caller.brand_id, **asked)

    async def health(self, caller: Principal, since: datetime | None) -> tuple[datetime, Any, Any]:
        """Counts by the hour, from the full hour of `since` on; a day back where it is not said."""
        now = self._clock()
        begin = max(since or now - timedelta(days=1), now - HEALTH_SINCE_MAX)
        begin = begin.replace(minute=0, second=0, microsecond=0)
        async with self._database.read(caller.brand_id) as session:
            counts = await health.counts(session, caller.brand_id, begin)
            unknown = await health.unknown_items(session, caller.brand_id, begin, UNKNOWN_SHOWN)
        return begin, counts, unknown


class Sources:
    def __init__(self, *, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Principal) -> tuple[str | None, Sequence[tuple[str, str]]]:
        """The storefront's origin, and (key id, origin) of the list."""
        async with self._database.read(caller.brand_id) as session:
            row = await sources.of_key(session, caller.brand_id, caller.key_id)
            listed = await sources.origins(session, caller.brand_id)
        storefront = origins.of_storefront(row.storefront_url or "")
        return storefront, [(one.key_id, one.origin) for one in listed]

    async def replace(self, caller: Principal, wanted: Sequence[tuple[str, str]]) -> None:
        """(key id, origin), all of them. Raises OriginInvalid."""
        normal: dict[tuple[str, str], None] = {}
        wrong = []
        for number, (key_id, text) in enumerate(wanted):
            origin = origins.normal(text)
            if origin is None or "\x00" in key_id:
                wrong.append(
                    FieldError(
                        f"data[{number}].origin", "origin_invalid", "This is no origin.", OriginInvalid.fix
                    )
                )
            else:
                normal[key_id, origin] = None
        if wrong:
            raise OriginInvalid(f"{wrong[0].field} is no origin.", field=wrong[0].field, errors=wrong)
        async with self._database.write(caller.brand_id) as tx:
            await sources.replace(tx, caller.brand_id, list(normal), now=self._clock(), by=caller.actor)


class KeyLook:
    """What the door asks of a key's brand, beside whether the key is good."""

    def __init__(self, *, database: AppDatabase, directory: ReplicaDirectory) -> None:
        self._database = database
        self._directory = directory

    async def __call__(self, caller: Principal) -> BrandOfKey:
        """A key's own origins where it has some, else the brand's; the storefront's always."""
        async with self._database.read(caller.brand_id) as session:
            row = await sources.of_key(session, caller.brand_id, caller.key_id)
            listed = await sources.origins(session, caller.brand_id)
        storefront = row.storefront_url
        if storefront is None:  # accounts was asked about the key, and has told of the brand then
            try:
                storefront = (await self._directory.brand_defaults(caller.brand_id)).storefront_url
            except AccessUnavailable:
                storefront = ""
        own = [one.origin for one in listed if one.key_id == caller.key_id]
        chosen = own or [one.origin for one in listed if not one.key_id]
        home = origins.of_storefront(storefront or "")
        return BrandOfKey(tuple([*chosen, home] if home else chosen), row.expires_at)
