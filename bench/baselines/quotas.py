"""What a first sync costs at least: the platforms' published limits (performance.md A4) and arithmetic."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor

from vitrin.kit.delivery.rate import Rate, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One platform of A4. `tells_usage`: its answers say how much of the quota is used."""

    platform: str
    rate: Rate
    items_max: int
    bytes_max: int
    tells_usage: bool = False

    def fluid_s(self, calls: int) -> float:
        """The bound: so many calls at the even rate."""
        return calls * self.rate.per_s / self.rate.calls

    def burst_s(self, calls: int) -> float:
        """The least that a sliding window allows to whoever spends each window at once: nobody who keeps room for a
        price change can reach it."""
        return floor((calls - 1) / self.rate.calls) * self.rate.per_s


def limits(
    platform: str, calls: int, per_s: float, *, items: int, megabytes: int, tells_usage: bool = False
) -> Limits:
    rate = Rate(endpoint=f"{platform}-items", calls=calls, per_s=per_s)
    return Limits(
        platform=platform,
        rate=rate,
        items_max=items,
        bytes_max=megabytes * 1_000_000,
        tells_usage=tells_usage,
    )


A4 = (
    limits("meta", 8, 60, items=5_000, megabytes=28, tells_usage=True),
    limits("pinterest", 100, 1, items=1_000, megabytes=8, tells_usage=True),
    limits("tiktok", 10, 1, items=5_000, megabytes=30),
    limits("microsoft", 40, 1, items=300, megabytes=8),
    limits("walmart", 10, 3_600, items=10_000, megabytes=25),
)
"""The five catalogs of A4 with a published number of calls. Meta: an idle catalog. TikTok: Basic, 10 a second (600 a
minute). Bytes of Pinterest, TikTok and Microsoft are not published."""


@dataclass(slots=True)
class Double:
    """A platform that counts calls when they arrive, in a sliding window, and refuses what is too much.

    A call arrives within 1 % of the window after its start, and is answered 0.2 to 1.5 s after that."""

    of: Limits
    chance: random.Random
    taken: deque[float] = field(default_factory=deque)
    throttles: int = 0

    def call(self, start_s: float) -> tuple[float, bool]:
        """When it is answered, and whether it was taken. Calls come in the order of their starts."""
        window_s = self.of.rate.per_s
        arrives_s = start_s + self.chance.uniform(0.001, 0.01) * window_s
        while self.taken and self.taken[0] <= arrives_s - window_s:
            self.taken.popleft()
        answered_s = arrives_s + self.chance.uniform(0.2, 1.5)
        if len(self.taken) >= self.of.rate.calls:
            self.throttles += 1
            return answered_s, False
        self.taken.append(arrives_s)
        return answered_s, True

    def usage(self) -> Usage | None:
        if not self.of.tells_usage:
            return None
        return Usage(share=floor(100 * len(self.taken) / self.of.rate.calls) / 100)


def calls_at_least(sizes_bytes: Sequence[int], of: Limits) -> int:
    """Calls that so many items need, by count and by bytes."""
    return max(ceil(len(sizes_bytes) / of.items_max), ceil(sum(sizes_bytes) / of.bytes_max))
