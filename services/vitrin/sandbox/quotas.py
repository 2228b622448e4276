"""Limits that were set on command, in place of a platform's own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrin.sandbox.windows import RollingWindow


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``calls`` in any ``window_ms``, for one account (an external or catalog id) or, with None, for each."""

    category: str
    account: str | None
    calls: int
    window_ms: int

    def as_json(self) -> dict[str, Any]:
        """The shape of ``GET /_sandbox/quota``."""
        return {
            "category": self.category,
            "account": self.account,
            "calls": self.calls,
            "window_s": self.window_ms / 1000,
        }


@dataclass(slots=True)
class Limits:
    """The windows of one platform: per owner (a catalog or a token's account) and category.

    Without ``enabled`` only limits that were set on command count. ``defaults`` are the platform's own.
    """

    enabled: bool
    defaults: dict[str, tuple[int, int]]
    _set: dict[tuple[str, str | None], Limit] = field(default_factory=dict)
    _windows: dict[tuple[str, str], RollingWindow] = field(default_factory=dict)

    def take(self, category: str, *, owner: str, names: Sequence[str], now_ms: int) -> bool:
        """Count a call; False, and nothing counted, when it is one too many. ``names`` are all ids of the owner."""
        if not self.counts(category, names=names):
            return True
        return self.window(category, owner=owner, names=names).take(now_ms=now_ms)

    def counts(self, category: str, *, names: Sequence[str]) -> bool:
        """Whether calls of this category are counted at all."""
        return self.enabled or self._found(category, names) is not None

    def window(self, category: str, *, owner: str, names: Sequence[str]) -> RollingWindow:
        """The owner's window, of the size that holds now."""
        found = self._found(category, names)
        calls, window_ms = (found.calls, found.window_ms) if found else self.defaults[category]
        window = self._windows.setdefault((owner, category), RollingWindow(limit=calls, window_ms=window_ms))
        window.limit, window.window_ms = calls, window_ms
        return window

    def set(self, limit: Limit) -> None:
        """Take a limit into force; calls that were counted already count against it."""
        self._set[limit.category, limit.account] = limit

    def all(self) -> list[Limit]:
        """The limits that were set."""
        return list(self._set.values())

    def restore(self) -> int:
        """Back to the platform's own; the number of limits that were removed."""
        removed = len(self._set)
        self._set.clear()
        return removed

    def clear(self) -> None:
        """Forget all calls and what was set."""
        self._set.clear()
        self._windows.clear()

    def _found(self, category: str, names: Sequence[str]) -> Limit | None:
        for name in (*names, None):
            found = self._set.get((category, name))
            if found is not None:
                return found
        return None
