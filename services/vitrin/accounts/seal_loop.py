"""Destroys keys of days whose time is over, and brings keys under the current key of the ring. The worker role finds
what is due and sees no key; the work is done brand by brand under the app role."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.accounts import domain_seal, repository_seal
from vitrin.accounts.metrics_seal import OLD_RING, OVERDUE
from vitrin.accounts.service_seal import SealKeys
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import CannotOpen
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger

EVERY: Final = timedelta(minutes=1)
BRANDS_AT_ONCE: Final = 100
REWRAPS_AT_ONCE: Final = 500
_log = get_logger("vitrin.accounts.seal")


class SealLoop:
    def __init__(self, worker: WorkerDatabase, keys: SealKeys, ring_key: str, clock: Clock) -> None:
        """`ring_key`: id of the current key of the ring."""
        self._worker = worker
        self._keys = keys
        self._ring_key = ring_key
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            busy = False
            try:
                busy = await self.round()
            except SQLAlchemyError as error:
                _log.warning("seal_keys_wait", reason=type(error).__name__)
            except CannotOpen as error:
                _log.error("seal_keys_cannot_be_rewrapped", reason=str(error))
            if not busy:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=EVERY.total_seconds())

    async def round(self) -> bool:
        """True when there may be more to do."""
        before = domain_seal.days_over_before(self._clock(), self._keys.rules)
        async with self._worker.read() as session:
            brands = await repository_seal.brands_with_days_before(session, before, BRANDS_AT_ONCE)
        for brand_id in brands:
            await self._keys.destroy_days(brand_id)
        async with self._worker.read() as session:
            oldest = await repository_seal.oldest_living_day(session)
            rewrapped = await repository_seal.brand_under_other_ring_key(session, self._ring_key)
        OVERDUE.set(0 if oldest is None else max(0, (before - oldest).days))
        if rewrapped is not None:
            await self._keys.rewrap(rewrapped, at_most=REWRAPS_AT_ONCE)
        async with self._worker.read() as session:
            OLD_RING.set(await repository_seal.count_under_other_ring_keys(session, self._ring_key))
        return len(brands) == BRANDS_AT_ONCE or rewrapped is not None
