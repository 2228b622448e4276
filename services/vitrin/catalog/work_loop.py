"""What the loops over imports and addresses share: round after round, a pause when there is nothing, another try when
the database is away."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from structlog.stdlib import BoundLogger

RETRY_S: Final = 1.0


class WorkLoop(ABC):
    """`wake` ends a pause of `poll_s`. What is in work when `stop` is set is left to whoever comes next."""

    def __init__(self, *, name: str, log: BoundLogger, wake: asyncio.Event, poll_s: float) -> None:
        self._name = name
        self._log = log
        self._wake = wake
        self._poll_s = poll_s

    @abstractmethod
    async def work_once(self, stop: asyncio.Event) -> bool:
        """One piece of work; False when there is none."""

    async def prepare(self) -> None:
        """Before each round."""
        return

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                if not await self._round(stop):
                    await self._sleep(stopping)
        finally:
            stopping.cancel()

    async def _round(self, stop: asyncio.Event) -> bool:
        try:
            await self.prepare()
            return await self.work_once(stop)
        except (SQLAlchemyError, OSError) as error:
            self._log.warning(f"{self._name}_loop_waits", reason=str(error).splitlines()[0])
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_S)
            return True

    async def _sleep(self, stopping: asyncio.Task[bool]) -> None:
        waking = asyncio.create_task(self._wake.wait())
        await asyncio.wait({waking, stopping}, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        waking.cancel()
        with suppress(asyncio.CancelledError):
            await waking
