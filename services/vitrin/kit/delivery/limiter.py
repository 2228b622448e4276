"""When the next call of one account's endpoint may go: it learns the platform's quota and spends it evenly. Pure.

Quotas are counted in sliding windows ("8 calls in any minute"). Three rules decide, the latest time wins:

- the window: never more calls than the limit within any `per_s`. A call counts from when the platform may have seen
  it at the latest (its answer, or 2 % of the window after its start), so that a slow connection makes no throttle;
- the pace: a quarter of the window may go in one burst (a shop that was silent is served at once); what is left is
  spread over the time until the burst falls out of the window, and never faster than the even rate. So the window is
  not empty for most of a minute after eight quick calls, and a price change waits for about one gap;
- the reserve: while the fast lane has been active in the last RESERVE_WINDOWS windows, the slow lane leaves it an
  eighth of the window. Otherwise the slow lane may use everything: a slot that nobody wants is not kept. The fast lane
  may use the whole rate, but for one call per window where the slow lane asks and had none in a whole one.

The limit is learned:

- from usage (`Usage.share`): what the platform counts beyond our own calls was spent by somebody else (another
  process, the merchant's other app, ourselves before a restart) and is counted as if it had been spent just now;
  where over a whole window the platform counts less than we sent, its limit is higher than we thought, and ours grows
  by at most half per window; where it is lower, ours falls to it at once;
- from refusals: the calls that were taken within the window are the limit, but not less than half of what it was.
  After HOLD_WINDOWS windows (doubling with every further throttle, up to a day) it grows again by a twentieth per
  window up to the documented rate. Usage headers may raise it sooner: above the calls that made the throttle only
  where they said then that the quota was used up, so that it is this quota that they measure.

A new limiter knows nothing of the calls before it (a restart, another worker). It assumes that the window before was
spent evenly: the first call goes at once and no burst follows until an answer says how much is used.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from vitrin.kit.delivery.rate import Priority, Rate, Usage

BURST_SHARE: Final = 0.25
RESERVE_SHARE: Final = 0.125
RESERVE_CALLS_FROM: Final = 4
"""A window of fewer calls has no reserve: it would be half of it or more. The pace alone bounds the wait there."""
RESERVE_WINDOWS: Final = 10
SPREAD_SHARE: Final = 0.02
"""Of the window: how much later than its start a call may be counted by the platform."""
GROWTH_FROM: Final = 1.05
"""Our window is a little longer than the platform's: a limit that seems higher by less than this is the same."""
FORESEEN_SHARE: Final = 0.9
GROWTH_PER_WINDOW: Final = 1.5
RECOVERY_PER_WINDOW: Final = 1.05
EVIDENCE_CALLS: Final = 4
"""Own calls in the window before a share is taken for a measure of the limit (all of them where it allows fewer)."""
HOLD_WINDOWS: Final = 30
HOLD_MAX_S: Final = 86_400.0
WAIT_MAX_S: Final = 3_600.0
"""What a platform asks for is believed up to an hour: its header may mean something else."""
ASSUMED_MAX: Final = 1_000
"""Calls assumed before the first one; in larger windows the rest is taken as free."""
EPSILON_S: Final = 1e-9


@dataclass(slots=True, eq=False)
class Ticket:
    """One counted call: it leaves the window at `until_s`. Not `own`: somebody else's, or assumed."""

    start_s: float
    until_s: float
    fast: bool = False
    own: bool = True
    own_then: int = 0
    """Own calls in the window when this one went, with it: what the platform's answer is compared with."""
    sure_then: int = 0
    """Of these, those that had surely arrived: answered before, and this one itself."""
    open: bool = True
    """Not answered yet."""


@dataclass(slots=True)
class Limiter:
    """Ask `wait_s`; at 0 `take`; then `answered` or `throttled`, and `cancel` for a call that was not sent."""

    rate: Rate
    limit: float = 0.0
    """Calls per window as learned; starts at the documented rate."""
    ceiling: float | None = None
    """After a throttle that usage headers did not foresee they do not raise the limit above it while it is held."""
    foreseen: bool = False
    """The last throttle came when the usage headers said that the quota was used up: they measure what is limited, so
    they may raise the limit above the ceiling."""
    share_seen: float = 0.0
    throttles: int = 0
    """Throttles since there was none for HOLD_WINDOWS after a hold: the exponent of the next one."""
    calls: deque[Ticket] = field(default_factory=deque)
    fast_calls: int = 0
    """Of `calls`."""
    foreign_calls: int = 0
    """Of `calls`, not our own."""
    open_calls: int = 0
    """Under way, also those that have left the window."""
    blocked_until_s: float = float("-inf")
    held_until_s: float = float("-inf")
    changed_s: float | None = None
    """When the limit was last changed; growth is at most one step per window from here."""
    known_since_s: float | None = None
    """When we began to count: shares are compared with our own calls after one whole window."""
    last_s: float = float("-inf")
    fast_seen_s: float = float("-inf")
    slow_seen_s: float = float("-inf")
    slow_asked_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = self.limit or float(self.rate.calls)

    # ---- asking

    def wait_s(self, priority: Priority, now_s: float) -> float:
        """Seconds until a call of this priority may go; 0 when it may go now. Takes nothing."""
        self._assume(now_s)
        self._forget(now_s)
        if priority is Priority.SLOW:
            self.slow_asked_s = now_s
        starved = self._starved(now_s)
        allowed = self._allowed(priority, now_s, starved)
        at_s = max(now_s, self.blocked_until_s)
        over = len(self.calls) - allowed
        if over >= 0:
            # Nearly in order of time: a call that was never answered stays a little longer than its neighbours.
            at_s = max(at_s, *(call.until_s for call in islice(self.calls, over + 1)))
        if priority is Priority.FAST or not starved:
            at_s = max(at_s, self._paced_s(priority, allowed))
        wait = at_s - now_s
        return wait if wait > EPSILON_S else 0.0

    def take(self, priority: Priority, now_s: float) -> Ticket:
        """A call goes now. Only when `wait_s` says 0."""
        self._assume(now_s)
        self._forget(now_s)
        fast = priority is Priority.FAST
        own = len(self.calls) - self.foreign_calls + 1
        until_s = now_s + self.rate.per_s * (1 + SPREAD_SHARE)
        ticket = Ticket(now_s, until_s, fast, own_then=own, sure_then=max(1, own - self.open_calls))
        self.open_calls += 1
        self.calls.append(ticket)
        self.fast_calls += fast
        self.last_s = now_s
        if fast:
            self.fast_seen_s = now_s
        else:
            self.slow_seen_s = now_s
        return ticket

    def is_quiet(self, now_s: float) -> bool:
        """Nothing that it remembers matters any more: a new one would do as well."""
        self._forget(now_s)
        learned = self.ceiling is not None or self.limit != self.rate.calls
        return not self.calls and not learned and now_s >= self.blocked_until_s

    # ---- learning

    def answered(self, ticket: Ticket, now_s: float, usage: Usage | None = None) -> None:
        """The call came to an end, with what its answer says about the quota."""
        self._close(ticket)
        ticket.until_s = min(ticket.until_s, now_s + self.rate.per_s)
        if usage is None:
            return
        self._forget(now_s)
        self.share_seen = usage.share
        if usage.regain_s and usage.share > 1:
            self._block(now_s, usage.regain_s)
        self._measure(ticket, usage, now_s)

    def throttled(
        self, ticket: Ticket, now_s: float, *, retry_after_s: float | None = None, usage: Usage | None = None
    ) -> None:
        """The platform refused the call for its rate, whatever the HTTP status said; it was not counted there."""
        self.cancel(ticket)
        self._forget(now_s)
        own = len(self.calls) - self.foreign_calls
        self.throttles += 1
        self.foreseen = max(self.share_seen, usage.share if usage else 0.0) >= FORESEEN_SHARE
        self.ceiling = float(max(1, own, int(self.limit / 2)))
        self._change(min(self.limit, self.ceiling), now_s)
        hold_s = min(HOLD_MAX_S, HOLD_WINDOWS * self.rate.per_s * 2.0 ** min(self.throttles - 1, 30))
        self.held_until_s = now_s + hold_s
        asked_s = retry_after_s or (usage.regain_s if usage else None)
        even_s = self.rate.per_s / self.limit
        self._block(now_s, asked_s or min(self.rate.per_s, even_s * 2.0 ** min(self.throttles, 30)))

    def cancel(self, ticket: Ticket) -> None:
        """The call was not sent after all."""
        self._close(ticket)
        if ticket in self.calls:
            self.calls.remove(ticket)
            self.fast_calls -= ticket.fast

    # ---- inside

    def _close(self, ticket: Ticket) -> None:
        self.open_calls -= ticket.open
        ticket.open = False

    def _starved(self, now_s: float) -> bool:
        """The slow lane waits and had no call in a whole window."""
        asks = now_s - self.slow_asked_s <= 2 * self.rate.per_s / self.limit
        began_s = self.slow_seen_s if self.slow_seen_s > float("-inf") else self.known_since_s or now_s
        return asks and now_s - began_s >= self.rate.per_s

    def _allowed(self, priority: Priority, now_s: float, starved: bool) -> int:
        """Calls in the window that this priority may fill."""
        self._recover(now_s)
        limit = max(1, int(self.limit + EPSILON_S))
        if starved:
            return limit - 1 if priority is Priority.FAST and limit > 1 else limit
        if priority is Priority.FAST or limit < RESERVE_CALLS_FROM:
            return limit
        active = now_s - self.fast_seen_s <= RESERVE_WINDOWS * self.rate.per_s
        return limit - max(1, int(limit * RESERVE_SHARE)) if active else limit

    def _paced_s(self, priority: Priority, allowed: int) -> float:
        burst = max(1, int(allowed * BURST_SHARE))
        spent = self.fast_calls if priority is Priority.FAST else len(self.calls)
        room = allowed - len(self.calls)
        if spent < burst or room <= 0 or not self.calls:
            return float("-inf")
        even_s = self.rate.per_s / allowed
        spread_s = (self.calls[0].until_s - self.last_s) / (room + 1)
        return self.last_s + max(even_s, spread_s)

    def _assume(self, now_s: float) -> None:
        """Before the first call: a window that was spent evenly, its oldest call just leaving."""
        if self.known_since_s is not None:
            return
        self.known_since_s = self.changed_s = now_s
        calls = min(self.rate.calls, ASSUMED_MAX)
        even_s, spread_s = self.rate.per_s / calls, SPREAD_SHARE * self.rate.per_s
        self.calls.extend(
            Ticket(now_s - self.rate.per_s + n * even_s, now_s + spread_s + n * even_s, own=False)
            for n in range(1, calls)
        )
        self.foreign_calls = len(self.calls)

    def _forget(self, now_s: float) -> None:
        while self.calls and self.calls[0].until_s <= now_s + EPSILON_S:
            gone = self.calls.popleft()
            self.fast_calls -= gone.fast
            self.foreign_calls -= not gone.own

    def _measure(self, ticket: Ticket, usage: Usage, now_s: float) -> None:
        own = len(self.calls) - self.foreign_calls
        self._compare(ticket.sure_then, max(own, ticket.own_then), usage, now_s)
        # Calls that we made meanwhile may be in the platform's count or not; they are no foreign ones in any case.
        counted = int(usage.share * self.limit + EPSILON_S)
        foreign = max(0, counted - max(own, ticket.own_then))
        if foreign < self.foreign_calls:
            others = [call for call in self.calls if not call.own]
            gone = set(map(id, others[: self.foreign_calls - foreign]))
            self.calls = deque(call for call in self.calls if id(call) not in gone)
        else:
            new = foreign - self.foreign_calls
            self.calls.extend(Ticket(now_s, now_s + self.rate.per_s, own=False) for _ in range(new))
        self.foreign_calls = foreign

    def _compare(self, sure: int, own: int, usage: Usage, now_s: float) -> None:
        """The limit that our own calls and the platform's share of it make, where both are known well enough."""
        if sure < min(EVIDENCE_CALLS, int(self.limit)) or usage.share <= 0:
            return
        window_s = self.rate.per_s
        least = sure / (usage.share + usage.step)
        if least > self.limit * GROWTH_FROM:
            if self.changed_s is None or now_s - self.changed_s >= window_s:
                grown = min(least, self.limit * GROWTH_PER_WINDOW)
                held = self.ceiling is not None and now_s < self.held_until_s and not self.foreseen
                self._change(max(self.limit, min(grown, self.ceiling or grown) if held else grown), now_s)
            return
        most = own / max(usage.share - usage.step, usage.step)
        known = self.known_since_s is not None and now_s - self.known_since_s >= window_s
        if known and most < self.limit and usage.share >= 0.5:
            self._change(max(1.0, most), now_s)

    def _recover(self, now_s: float) -> None:
        """After a hold without a throttle: a step per window, back to the documented rate."""
        if self.throttles and now_s >= self.held_until_s + HOLD_WINDOWS * self.rate.per_s:
            self.throttles = 0
        if self.ceiling is None or now_s < self.held_until_s:
            return
        if self.limit >= self.rate.calls:
            self.ceiling = None
        elif self.changed_s is None or now_s - self.changed_s >= self.rate.per_s:
            step = max(self.limit + 1, self.limit * RECOVERY_PER_WINDOW)
            self._change(min(step, float(self.rate.calls)), now_s)

    def _change(self, limit: float, now_s: float) -> None:
        self.limit = limit
        self.changed_s = now_s

    def _block(self, now_s: float, seconds: float) -> None:
        self.blocked_until_s = max(self.blocked_until_s, now_s + min(seconds, WAIT_MAX_S))
