"""When to leave a sick endpoint alone, and how to find out that it is well again. Pure.

    CLOSED     calls go; opens after `consecutive_max` failures in a row, or when at least `share_max` of at least
               `calls_min` calls within `window_s` failed
    OPEN       calls fail at once, for `open_first_s`, doubling with every failed probe up to `open_max_s`
    HALF_OPEN  one call at a time goes as a probe: its success closes, its failure opens again

A failure is an outcome that says that the endpoint is unwell: a 5xx, no connection, no (complete) answer. An answer
that refuses (a throttle, a refused item, a bad token) comes from an endpoint that works.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

PROBE_RETRY_S: Final = 1.0
"""While a probe is under way the others are told to come back after this time."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Health(StrEnum):
    """What one call says about the endpoint. ABANDONED: cut off by us, says nothing."""

    WELL = "well"
    UNWELL = "unwell"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    window_s: float = 30.0
    calls_min: int = 10
    share_max: float = 0.5
    consecutive_max: int = 5
    open_first_s: float = 2.0
    open_max_s: float = 120.0

    def __post_init__(self) -> None:
        if min(self.window_s, self.calls_min, self.consecutive_max, self.open_first_s) <= 0:
            raise ValueError("the limits of a breaker are above 0")
        if not 0 < self.share_max <= 1 or self.open_max_s < self.open_first_s:
            raise ValueError("share_max lies in (0, 1], and open_max_s is not below open_first_s")


@dataclass(frozen=True, slots=True)
class Permit:
    """Given to a call that goes. An outcome of a permit from before the last change of state is history."""

    era: int
    probe: bool


@dataclass(slots=True)
class Breaker:
    """One brand's endpoint at one platform. Ask `wait_s`; at 0 `begin`, and `end` with the outcome in every case."""

    rules: BreakerRules = field(default_factory=BreakerRules)
    era: int = 0
    open_until_s: float | None = None
    """None while closed."""
    openings: int = 0
    """Openings since it was last closed: the exponent of the pause."""
    probing: bool = False
    in_a_row: int = 0
    outcomes: deque[tuple[float, bool]] = field(default_factory=deque)
    """(when it ended, failed) within the window, oldest first."""
    failed: int = 0
    """Of `outcomes`."""

    def state(self, now_s: float) -> BreakerState:
        if self.open_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self.open_until_s else BreakerState.HALF_OPEN

    def wait_s(self, now_s: float) -> float:
        """0 when a call may begin, else the seconds after which it is worth asking again."""
        if self.open_until_s is None:
            return 0.0
        if now_s < self.open_until_s:
            return self.open_until_s - now_s
        return PROBE_RETRY_S if self.probing else 0.0

    def begin(self, now_s: float) -> Permit:
        """A call goes. Only when `wait_s` says 0: raises ValueError otherwise."""
        if self.wait_s(now_s) > 0:
            raise ValueError("the breaker is open")
        probe = self.open_until_s is not None
        self.probing = self.probing or probe
        return Permit(self.era, probe)

    def end(self, permit: Permit, health: Health, now_s: float, *, jitter: float = 0.0) -> None:
        """How the call ended; `jitter` in [0, 1) lengthens a pause by up to a quarter: not all probe at once."""
        if permit.era != self.era:
            return
        if permit.probe:
            self.probing = False
            if health is Health.WELL:
                self._close()
            elif health is Health.UNWELL:
                self._open(now_s, jitter)
            return
        if health is Health.ABANDONED:
            return
        unwell = health is Health.UNWELL
        self._count(unwell, now_s)
        if unwell and self._is_sick():
            self._open(now_s, jitter)

    def is_quiet(self, now_s: float) -> bool:
        """Nothing that it remembers matters any more."""
        self._forget(now_s)
        return self.open_until_s is None and not self.outcomes

    def _count(self, unwell: bool, now_s: float) -> None:
        self._forget(now_s)
        self.in_a_row = self.in_a_row + 1 if unwell else 0
        self.outcomes.append((now_s, unwell))
        self.failed += unwell

    def _forget(self, now_s: float) -> None:
        while self.outcomes and self.outcomes[0][0] <= now_s - self.rules.window_s:
            self.failed -= self.outcomes.popleft()[1]

    def _is_sick(self) -> bool:
        calls = len(self.outcomes)
        enough = calls >= self.rules.calls_min
        return self.in_a_row >= self.rules.consecutive_max or (
            enough and self.failed >= self.rules.share_max * calls
        )

    def _open(self, now_s: float, jitter: float) -> None:
        doubled = self.rules.open_first_s * 2.0 ** min(self.openings, 30)
        self.open_until_s = now_s + min(self.rules.open_max_s, doubled) * (1 + jitter / 4)
        self.openings += 1
        self._turn()

    def _close(self) -> None:
        self.open_until_s = None
        self.openings = 0
        self._turn()

    def _turn(self) -> None:
        self.era += 1
        self.probing = False
        self.in_a_row = 0
        self.outcomes.clear()
        self.failed = 0
