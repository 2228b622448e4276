"""What a catalog held a moment ago, for reads that lag behind."""

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")

ENTRIES_MAX = 200_000
"""Changes that are remembered per catalog; the oldest are forgotten first."""


class History(Generic[Item]):
    """The changes of the last ``for_ms``: when, of which key, and what was there before (None: nothing)."""

    def __init__(self, *, for_ms: int) -> None:
        self.for_ms = for_ms
        self._entries: deque[tuple[int, str, Item | None]] = deque(maxlen=ENTRIES_MAX)

    def add(self, key: str, old: Item | None, *, at_ms: int) -> None:
        """Remember a change; changes come in the order of their times."""
        self._entries.append((at_ms, key, old))
        while self._entries and self._entries[0][0] < at_ms - self.for_ms:
            self._entries.popleft()

    def before(self, at_ms: int) -> dict[str, Item | None]:
        """Per key that changed after ``at_ms``, what was there then."""
        found: dict[str, Item | None] = {}
        for changed_ms, key, old in self._entries:
            if changed_ms > at_ms:
                found.setdefault(key, old)
        return found
