"""Whether anything changed that a restart must not forget."""

from collections.abc import Callable


class Changes:
    """Counts changes to what the platforms hold; its listeners are told of each. Used on the event loop only."""

    def __init__(self) -> None:
        self.count = 0
        self._listeners: list[Callable[[], None]] = []

    def note(self) -> None:
        """Something changed."""
        self.count += 1
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` on every change from now on; it has to be quick."""
        self._listeners.append(listener)
