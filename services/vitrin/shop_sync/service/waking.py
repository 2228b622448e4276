"""Waking the dispatcher of this process after a commit. A hint only: it also looks by itself."""

from collections.abc import Callable, Sequence

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import ChannelId

Wake = Callable[[Sequence[ChannelId]], None]


class Waker:
    """Whoever leaves work behind calls `after`; the dispatcher of the process, if it has one, listens."""

    def __init__(self) -> None:
        self._listeners: list[Wake] = []

    def listen(self, wake: Wake) -> None:
        self._listeners.append(wake)

    def after(self, tx: WriteSession, channels: Sequence[ChannelId]) -> None:
        if channels:
            tx.after_commit(lambda: self._wake(channels))

    def _wake(self, channels: Sequence[ChannelId]) -> None:
        for wake in self._listeners:
            wake(channels)
