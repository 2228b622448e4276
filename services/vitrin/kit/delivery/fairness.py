"""Who goes next when many wait for one thing: an app's quota, a worker's session slots. Pure.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): every flow (a brand, a channel) has the virtual time at
which its next job would start; the earliest goes. A flow that was idle starts at the present virtual time, so it can
neither save up turns nor be punished for what it used when nobody else wanted it. A flow that always waits gets no
more than its share: between two of its turns every other waiting flow has one of the same cost.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

FLOWS_MAX: Final = 10_000
"""Flows remembered; those that are not ahead of the present carry no information and are forgotten first."""


@dataclass(slots=True)
class FairShare:
    """`choose` looks, `charge` records. The cost may be calls, items, bytes or seconds, but one unit throughout."""

    now: float = 0.0
    """Virtual time: the start of the job served last."""
    finishes: dict[str, float] = field(default_factory=dict)
    """Virtual time at which a flow's last job ends; absent or in the past means that it waited for nothing."""

    def choose(self, waiting: Iterable[str]) -> str | None:
        """The flow whose turn it is; of equals the one named first. None when nobody waits."""
        return min(waiting, key=self._start, default=None)

    def charge(self, flow: str, cost: float = 1.0, *, weight: float = 1.0) -> None:
        """The flow was served a job of this cost; a flow of weight 2 gets twice the share of one of weight 1.

        Raises ValueError for a cost or weight that is not above 0."""
        if cost <= 0 or weight <= 0:
            raise ValueError("cost and weight are above 0")
        self.now = self._start(flow)
        self.finishes[flow] = self.now + cost / weight
        if len(self.finishes) > FLOWS_MAX:
            self.finishes = {name: end for name, end in self.finishes.items() if end > self.now}

    def _start(self, flow: str) -> float:
        return max(self.now, self.finishes.get(flow, 0.0))
