"""What the limiter is told: documented rates, priorities, and what an answer says about the quota. Pure values."""

from dataclasses import dataclass
from enum import StrEnum


class Priority(StrEnum):
    """FAST: price and stock, and what frees them to be sent again. SLOW: content, backlog, looking back."""

    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The documented rate of one endpoint class of one account: at most `calls` in any `per_s` seconds."""

    endpoint: str
    calls: int
    per_s: float

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per_s <= 0:
            raise ValueError(f"rate of {self.endpoint}: calls and per_s must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of the quota is used, in the platform's own count, after the call that was answered.

    `share`: 0.25 is a quarter of the window's calls; values above 1 mean that the platform is over its own limit.
    `step`: the share is exact to this (0.01 where a platform rounds to percent).
    `regain_s`: the platform says that calls are taken again after this many seconds; it counts in a refusal, and where
    the share is above 1 (in whole minutes it would be too coarse to plan the next call with)."""

    share: float
    step: float = 0.01
    regain_s: float | None = None
