"""Removes what a brand no longer needs: invitations that ended, consents that were begun.

Their own use cases do it when the brand does the same again; a brand that never does would keep people's addresses.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.accounts import repository, repository_oauth, repository_people
from vitrin.accounts.domain_oauth import ATTEMPT_KEPT
from vitrin.accounts.service_people import INVITATION_KEEP
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger

EVERY: Final = timedelta(hours=1)
_log = get_logger("vitrin.accounts.tidying")


class Tidying:
    """The worker role lists the brands; the work is done brand by brand under the app role."""

    def __init__(self, worker: WorkerDatabase, database: AppDatabase, clock: Clock) -> None:
        self._worker = worker
        self._database = database
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.round(stop)
            except SQLAlchemyError as error:
                _log.warning("tidying_waits", reason=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY.total_seconds())

    async def round(self, stop: asyncio.Event) -> None:
        """Every brand once, a short transaction each."""
        brand: BrandId | None = None
        while not stop.is_set():
            async with self._worker.read() as session:
                brand = await repository.next_brand(session, brand)
            if brand is None:
                return
            now = self._clock()
            async with self._database.write(brand) as tx:
                await repository_people.forget_invitations(tx, brand, before=now - INVITATION_KEEP)
                await repository_oauth.forget_attempts(tx, brand, now - ATTEMPT_KEPT)
