"""Whether anything changed that a restart must not forget."""

from collections.abc import Callable


class Changes:
    """Counts changes to what the platforms hold; one listener is told of each. Used on the event loop only."""

    def __init__(self) -> None:
        self.count = 0
        self._listener: Callable[[], None] | None = None

    def note(self) -> None:
        """Something changed."""
        self.count += 1
        if self._listener is not None:
            self._listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` on every change from now on; it has to be quick."""
        self._listener = listener
