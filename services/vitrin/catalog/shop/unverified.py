"""How much is taken on trust while the secrets are not known: a bound in number and bytes."""

from typing import Final

RECORDS_MAX: Final = 5_000
BYTES_MAX: Final = 128 * 1024 * 1024


class Unverified:
    """Of this process since it began; the mover gives back what it has looked at."""

    def __init__(self, *, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._records = 0
        self._bytes = 0

    def take(self, size: int) -> bool:
        if self._records >= self._records_max or self._bytes + size > self._bytes_max:
            return False
        self._records += 1
        self._bytes += size
        return True

    def release(self, size: int) -> None:
        """Those of a process before this one were not counted."""
        self._records = max(0, self._records - 1)
        self._bytes = max(0, self._bytes - size)
