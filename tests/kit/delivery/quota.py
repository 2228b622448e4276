"""A platform's quota with a virtual clock: it counts calls when they arrive, and says so in its own way."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import floor

from vitrin.kit.delivery.limiter import Limiter
from vitrin.kit.delivery.rate import Priority, Usage


@dataclass
class Quota:
    """`limit` calls in any `window_s`, counted when they arrive. `percents`: answers tell the usage, rounded down."""

    limit: int
    window_s: float
    percents: bool = True
    retry_after_s: float | None = None
    taken: deque[float] = field(default_factory=deque)
    throttles: int = 0
    accepted: int = 0

    def arrive(self, now_s: float) -> bool:
        while self.taken and self.taken[0] <= now_s - self.window_s:
            self.taken.popleft()
        if len(self.taken) >= self.limit:
            self.throttles += 1
            return False
        self.taken.append(now_s)
        self.accepted += 1
        return True

    def usage(self) -> Usage | None:
        if not self.percents:
            return None
        return Usage(share=floor(100 * len(self.taken) / self.limit) / 100)


@dataclass
class World:
    """One limiter in front of one quota; a call arrives after `delay()` seconds and is answered after as long again."""

    limiter: Limiter
    quota: Quota
    delay: Callable[[], float] = lambda: 0.1
    now_s: float = 1_000.0
    starts: list[float] = field(default_factory=list)

    def send(self, priority: Priority) -> tuple[float, bool]:
        """Waits for its turn and calls. Answers the seconds waited and whether it was taken. The clock stands at the
        call's start afterwards: others may start while it is under way."""
        began = self.now_s
        while (wait_s := self.limiter.wait_s(priority, self.now_s)) > 0:
            self.now_s += wait_s
        ticket = self.limiter.take(priority, self.now_s)
        self.starts.append(self.now_s)
        delay_s = self.delay()
        taken = self.quota.arrive(self.now_s + delay_s)
        answered_s = self.now_s + 2 * delay_s
        if taken:
            self.limiter.answered(ticket, answered_s, self.quota.usage())
        else:
            self.limiter.throttled(
                ticket, answered_s, retry_after_s=self.quota.retry_after_s, usage=self.quota.usage()
            )
            self.now_s = answered_s
        return self.now_s - began, taken

    def for_s(self, seconds: float, priority: Priority = Priority.SLOW) -> int:
        """Sends as often as it may. Answers how many calls were taken."""
        before, end_s = self.quota.accepted, self.now_s + seconds
        while self.now_s < end_s:
            self.send(priority)
        return self.quota.accepted - before
