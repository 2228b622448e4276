"""Counting calls in a rolling window, for quotas."""

from collections import deque


class RollingWindow:
    """At most ``limit`` calls in any ``window_ms``."""

    def __init__(self, *, limit: int, window_ms: int) -> None:
        self.limit = limit
        self.window_ms = window_ms
        self._calls: deque[int] = deque()

    def take(self, *, now_ms: int) -> bool:
        """Count a call; False, and nothing counted, when the window is full."""
        self._forget(now_ms=now_ms)
        if len(self._calls) >= self.limit:
            return False
        self._calls.append(now_ms)
        return True

    def used(self, *, now_ms: int) -> int:
        """Calls in the window that ends now."""
        self._forget(now_ms=now_ms)
        return len(self._calls)

    def wait_ms(self, *, now_ms: int) -> int:
        """Time until a call is taken again; 0 when it would be taken now."""
        self._forget(now_ms=now_ms)
        if len(self._calls) < self.limit:
            return 0
        return self._calls[0] + self.window_ms - now_ms

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()

    def _forget(self, *, now_ms: int) -> None:
        while self._calls and self._calls[0] <= now_ms - self.window_ms:
            self._calls.popleft()
