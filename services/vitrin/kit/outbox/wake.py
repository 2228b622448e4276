"""Waking the relay without a NOTIFY in every commit (that made sixteen writers 3.4 times slower)."""

import asyncio
import time
from typing import Final

NOTIFY_CHANNEL: Final = "vitrin_outbox"
NOTIFY_GAP_MS: Final = 5


class Wake:
    """A relay in this process is woken directly. One in another process gets a NOTIFY, at most every
    `NOTIFY_GAP_MS` per process; what falls into the gap is found by the relay's own second look or its poll."""

    def __init__(self, *, relay_is_here: bool) -> None:
        self.event = asyncio.Event()
        self._relay_is_here = relay_is_here
        self._last_notify_s = float("-inf")

    def should_notify(self) -> bool:
        if self._relay_is_here:
            return False
        now_s = time.monotonic()
        if (now_s - self._last_notify_s) * 1000 < NOTIFY_GAP_MS:
            return False
        self._last_notify_s = now_s
        return True

    def not_notified(self) -> None:
        """The transaction that was to notify has failed, or may have: the next one notifies."""
        self._last_notify_s = float("-inf")

    def committed(self) -> None:
        self.event.set()
