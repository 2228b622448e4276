"""Items of a brand's channels by state, at a cost that does not grow with how often somebody asks.

A count reads every row of the brand. Small brands are counted each time. The count of a large one (above EXACT_ITEMS)
is told again for a second per ITEMS_PER_S rows of it, at most KEPT_MAX_S: a dashboard that polls costs the database a
few per cent of a core, whatever the size. Counters kept by the transactions that change states would be exact, and a
row that all transactions of a channel wait for.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.repository import queries

EXACT_ITEMS: Final = 10_000
ITEMS_PER_S: Final = 20_000
"""100,000 items: 5 s old at most. Measured there: 0.11 to 0.2 s for a count, on two busy cores."""
KEPT_MAX_S: Final = 60.0
BRANDS_MAX: Final = 1_000
"""Large brands remembered by one process; the one that was counted longest ago is forgotten first."""

Counts = Mapping[ChannelId, Mapping[str, int]]


def kept_s(items: int) -> float:
    """Seconds for which a count of so many items is told again."""
    return 0.0 if items <= EXACT_ITEMS else min(KEPT_MAX_S, items / ITEMS_PER_S)


class Counting:
    """Of one process. `monotonic_s` is its clock."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._now_s = monotonic_s
        self._kept: OrderedDict[BrandId, tuple[float, Counts]] = OrderedDict()

    async def counts(self, tx: ReadSession, brand: BrandId) -> Counts:
        """As old as `kept_s` says, at most."""
        now_s = self._now_s()
        until_s, known = self._kept.get(brand, (now_s, {}))
        if now_s < until_s:
            return known
        counts = await queries.counts(tx, brand)
        items = sum(sum(states.values()) for states in counts.values())
        self._kept.pop(brand, None)
        if items > EXACT_ITEMS:
            self._kept[brand] = (now_s + kept_s(items), counts)
        if len(self._kept) > BRANDS_MAX:
            self._kept.popitem(last=False)
        return counts
