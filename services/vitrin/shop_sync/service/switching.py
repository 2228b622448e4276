"""Stopping and starting: a switch of accounts was turned, or somebody pauses or resumes one channel."""

from collections.abc import Sequence
from uuid import UUID

from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.shop_sync.repository import work
from vitrin.shop_sync.service.waking import Waker


class Switching:
    def __init__(self, *, waker: Waker, clock: Clock) -> None:
        self._waker = waker
        self._clock = clock

    async def turned(self, tx: WriteSession, brands: Sequence[UUID]) -> None:
        """Their channels look at once: to stop, or to go on with what was kept."""
        if brands:
            everybody = HOUSE in brands
            woken = await work.make_brands_due(tx, brands, self._clock(), everybody=everybody)
            self._waker.after(tx, woken)
