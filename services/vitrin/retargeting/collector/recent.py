"""Ids that this process has seen of late: a repetition is answered at once, and one that arrives while the first is on
its way to the disk waits for it. An id counts as seen when it is durable, never before.

It is a convenience of the door. The truth about repetitions is the unique key at the consumer.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

IDS_MAX: Final = 200_000
"""In memory at the most, the older half of them forgotten at once: about 30 MB."""


class Claim(NamedTuple):
    """`mine`: positions that this request brings; `seen`: repetitions; `waiting`: positions that somebody else is
    bringing, each with what tells how that ended."""

    mine: Sequence[int]
    seen: Sequence[int]
    waiting: Sequence[tuple[int, "asyncio.Future[bool]"]]
    ids: Sequence[str]
    ticket: "asyncio.Future[bool]"


class RecentIds:
    """Not for threads. An id has the brand in front."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._half = ids_max // 2
        self._new: set[str] = set()
        self._old: set[str] = set()
        self._pending: dict[str, asyncio.Future[bool]] = {}

    def claim(self, positions: Sequence[int], ids: Sequence[str]) -> Claim:
        """`ids[n]` stands at `positions[n]`. Every claim must be settled."""
        ticket: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        distinct = set(ids)
        if (
            len(distinct) == len(ids)
            and distinct.isdisjoint(self._new)
            and distinct.isdisjoint(self._old)
            and (not self._pending or distinct.isdisjoint(self._pending))
        ):
            self._pending.update(dict.fromkeys(ids, ticket))
            return Claim(positions, (), (), ids, ticket)
        mine, mine_ids, seen = list[int](), list[str](), list[int]()
        waiting: list[tuple[int, asyncio.Future[bool]]] = []
        for position, one in zip(positions, ids, strict=True):
            if one in self._new or one in self._old:
                seen.append(position)
                continue
            other = self._pending.get(one)
            if other is ticket:
                seen.append(position)
            elif other is not None:
                waiting.append((position, other))
            else:
                self._pending[one] = ticket
                mine.append(position)
                mine_ids.append(one)
        return Claim(mine, seen, waiting, mine_ids, ticket)

    def settle(self, claim: Claim, *, durable: bool) -> None:
        for one in claim.ids:
            del self._pending[one]
        if durable:
            self._new.update(claim.ids)
            if len(self._new) >= self._half:
                self._old, self._new = self._new, set()
        claim.ticket.set_result(durable)
