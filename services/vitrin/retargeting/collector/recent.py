"""Ids that this process has seen of late: a repetition is answered at once, and one that arrives while the first is on
its way to the disk waits for it. An id counts as seen when it is durable, never before.

It is a convenience of the door. The truth about repetitions is the unique key at the consumer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

IDS_MAX: Final = 200_000
"""In memory at the most, of all brands: about 30 MB."""


class Ticket:
    """Of one request: its ids are on their way until it is settled, then durable, or nothing was taken."""

    __slots__ = ("_settled", "_waiting", "durable")

    def __init__(self) -> None:
        self.durable = False
        self._settled = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def failed(self) -> bool:
        return self._settled and not self.durable

    async def outcome(self) -> bool:
        """Whether it became durable; waits until that is known."""
        if not self._settled:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)
        return self.durable

    def settle(self, *, durable: bool) -> None:
        self._settled, self.durable = True, durable
        if self._waiting is not None:
            self._waiting.set_result(None)


class Claim(NamedTuple):
    """`mine`: positions that this request brings; `seen`: repetitions; `waiting`: positions that somebody else is
    bringing."""

    brand: bytes
    mine: Sequence[int]
    seen: Sequence[int]
    waiting: Sequence[tuple[int, Ticket]]
    ids: Sequence[str]
    ticket: Ticket


@dataclass(slots=True)
class _Window:
    """Of one brand: what is new, and what was new before that."""

    new: dict[str, Ticket] = field(default_factory=dict)
    old: Mapping[str, Ticket] = field(default_factory=dict)

    def get(self, one: str) -> Ticket | None:
        return self.new.get(one) or self.old.get(one)


class RecentIds:
    """Not for threads."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._ids_max = ids_max
        self._windows: OrderedDict[bytes, _Window] = OrderedDict()
        self._held = 0

    def claim(self, brand: bytes, positions: Sequence[int], ids: Sequence[str]) -> Claim:
        """`ids[n]` stands at `positions[n]`. Every claim must be settled."""
        window = self._windows.get(brand)
        if window is None:
            window = self._windows[brand] = _Window()
        ticket, distinct = Ticket(), set(ids)
        if (
            len(distinct) == len(ids)
            and window.new.keys().isdisjoint(distinct)
            and window.old.keys().isdisjoint(distinct)
        ):
            window.new.update(dict.fromkeys(ids, ticket))
            self._hold(brand, window, len(ids))
            return Claim(brand, positions, (), (), ids, ticket)
        mine, mine_ids, seen = list[int](), list[str](), list[int]()
        waiting: list[tuple[int, Ticket]] = []
        for position, one in zip(positions, ids, strict=True):
            other = window.get(one)
            if other is None or other.failed:
                window.new[one] = ticket
                mine.append(position)
                mine_ids.append(one)
            elif other is ticket or other.durable:
                seen.append(position)
            else:
                waiting.append((position, other))
        self._hold(brand, window, len(mine))
        return Claim(brand, mine, seen, waiting, mine_ids, ticket)

    def _hold(self, brand: bytes, window: _Window, more: int) -> None:
        """Beyond the limit brands that were silent longest are forgotten whole, and of a single one its older half."""
        self._windows.move_to_end(brand)
        self._held += more
        if len(window.new) >= self._ids_max // 2:
            self._held -= len(window.old)
            window.old, window.new = window.new, {}
        while self._held > self._ids_max and len(self._windows) > 1:
            _, silent = self._windows.popitem(last=False)
            self._held -= len(silent.new) + len(silent.old)

    def settle(self, claim: Claim, *, durable: bool) -> None:
        """What was not taken is nobody's any more: whoever waits for it brings it itself."""
        window = self._windows.get(claim.brand)
        if not durable and window is not None:
            for one in claim.ids:
                if window.new.get(one) is claim.ticket:
                    del window.new[one]
                    self._held -= 1
        claim.ticket.settle(durable=durable)
