"""The rule of shop_sync's claims in virtual time: brands by turns, and no platform in all of a worker's places. Pure.

A slot is held as long as a session works on a channel, so a platform that hangs would hold every slot after a while.
No platform gets more than `platform_max` of them; what it cannot have is left for the others.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from vitrin.kit.delivery.fairness import FairShare


@dataclass(slots=True)
class Slots:
    """`choose` looks, `take` and `give_back` record; `give_back` once for every `take`."""

    total: int
    platform_max: int
    share: FairShare = field(default_factory=FairShare)
    held: Counter[str] = field(default_factory=Counter)
    """By platform."""

    def __post_init__(self) -> None:
        if not 0 < self.platform_max <= self.total:
            raise ValueError("platform_max lies between 1 and total")

    @property
    def free(self) -> int:
        return self.total - self.held.total()

    def room(self, platform: str) -> int:
        """Slots that this platform could have now."""
        return min(self.free, self.platform_max - self.held[platform])

    def choose(self, waiting: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
        """(brand, platform) of `waiting` whose turn it is, of one brand's the first. None where nobody may start."""
        able = [(brand, platform) for brand, platform in waiting if self.room(platform) > 0]
        chosen = self.share.choose(brand for brand, _ in able)
        return next((pair for pair in able if pair[0] == chosen), None)

    def take(self, brand: str, platform: str, *, cost: float = 1.0) -> None:
        """A session starts. Raises ValueError where there is no room."""
        if self.room(platform) <= 0:
            raise ValueError(f"no slot for {platform}")
        self.share.charge(brand, cost)
        self.held[platform] += 1

    def give_back(self, platform: str) -> None:
        """A session has ended. Raises ValueError where none was held."""
        if self.held[platform] <= 0:
            raise ValueError(f"{platform} holds no slot")
        self.held[platform] -= 1
        if not self.held[platform]:
            del self.held[platform]
