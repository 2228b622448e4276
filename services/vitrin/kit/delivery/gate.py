"""The doors to the platforms' endpoints: limiter, bulkhead, breaker and fair turns, for calls that wait. No network.

    gate      platform, account, endpoint          the learned rate, and whose turn it is under it
    bulkhead  brand, platform, endpoint            how many calls are under way, and how many wait
    breaker   brand, platform, endpoint            whether the endpoint is left alone

Waiting is bounded in number and time, so a sick endpoint or a throttled account holds neither memory nor connections
of anybody else; who is turned away learns when to come again (`TurnedAway.retry_after_s`), and nothing was sent.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from vitrin.kit.delivery import metrics
from vitrin.kit.delivery.breaker import Breaker, BreakerRules, Health, Permit
from vitrin.kit.delivery.fairness import FairShare
from vitrin.kit.delivery.limiter import Limiter, Ticket
from vitrin.kit.delivery.rate import Priority, Rate, Usage

GATES_MAX: Final = 10_000
"""Gates and breakers kept in memory; beyond it those that know nothing go first, then the oldest."""
WAITING_MAX: Final = 32
"""Calls of one brand that wait for one endpoint."""
TURN_WAIT_MAX_S: Final = 60.0
"""A call does not wait longer for its turn; whoever wants to send asks `ready_in_s` first."""
CROWDED_RETRY_S: Final = 1.0


class Caller(Protocol):
    """What a call must say of itself (`kit.http_client.Call`)."""

    @property
    def platform(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def brand(self) -> str: ...
    @property
    def rate(self) -> Rate: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def concurrency_max(self) -> int: ...


class TurnedAway(Exception):
    """`reason`: endpoint_resting (its breaker is open), crowded (too many wait), no_turn (no rate soon)."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(f"{reason}: again in {retry_after_s:.1f} s")
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What the end of a call says about the endpoint. `throttled`: refused for its rate, whatever the status was.
    `counted`: False where nothing reached the platform."""

    health: Health
    throttled: bool = False
    counted: bool = True
    retry_after_s: float | None = None
    usage: Usage | None = None


@dataclass(slots=True, eq=False)
class _Bulkhead:
    running: int = 0
    waiting: int = 0
    gates: set["_Gate"] = field(default_factory=set)
    """Where calls of it wait: they are told when a place gets free."""


@dataclass(slots=True, eq=False)
class _Waiter:
    brand: str
    bulkhead: _Bulkhead
    concurrency_max: int

    @property
    def may_run(self) -> bool:
        return self.bulkhead.running < self.concurrency_max


@dataclass(slots=True, eq=False)
class _Gate:
    limiter: Limiter
    documented: Rate
    share: FairShare = field(default_factory=FairShare)
    lines: dict[Priority, list[_Waiter]] = field(
        default_factory=lambda: {priority: [] for priority in Priority}
    )
    change: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self, now_s: float) -> tuple[_Waiter | None, float]:
        """Who goes next, and in how many seconds. The fast lane goes first where both may go."""
        best: tuple[_Waiter | None, float] = (None, float("inf"))
        for priority, line in self.lines.items():
            able = [waiter for waiter in line if waiter.may_run]
            brand = self.share.choose(waiter.brand for waiter in able)
            if brand is None:
                continue
            wait_s = self.limiter.wait_s(priority, now_s)
            if wait_s < best[1]:
                best = (next(waiter for waiter in able if waiter.brand == brand), wait_s)
        return best

    def tell(self) -> None:
        """Everybody who waits looks again."""
        self.change.set()
        self.change = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        return not any(self.lines.values())


@dataclass(frozen=True, slots=True)
class Pass:
    """Held by a call that goes; given back with `Gates.leave`."""

    call: Caller
    gate: _Gate
    bulkhead: _Bulkhead
    breaker: Breaker
    ticket: Ticket
    permit: Permit
    waited_s: float


class Gates:
    """One per process, used from its event loop only. Clock, randomness and sleep are arguments."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        breaker_rules: BreakerRules | None = None,
        rate_factor: float = 1.0,
    ) -> None:
        """`rate_factor` multiplies the documented rates: above 1 only where a sandbox counts no calls."""
        if rate_factor <= 0:
            raise ValueError("rate_factor is above 0")
        self._monotonic = monotonic
        self._rate_factor = rate_factor
        self._sleep = sleep
        self._jitter = jitter
        self._rules = breaker_rules or BreakerRules()
        self._gates: dict[tuple[str, str, str], _Gate] = {}
        self._bulkheads: dict[tuple[str, str, str], _Bulkhead] = {}
        self._breakers: dict[tuple[str, str, str], Breaker] = {}

    def ready_in_s(self, call: Caller) -> float:
        """Seconds until such a call could go: the longer of its rate's and its breaker's wait. 0: at once."""
        now_s = self._monotonic()
        resting_s = self._breaker(call).wait_s(now_s)
        return max(resting_s, self._gate(call).limiter.wait_s(call.priority, now_s))

    def waiting(self, brand: str, platform: str, endpoint: str) -> int:
        """Calls of a brand that wait for their turn at an endpoint now."""
        bulkhead = self._bulkheads.get((brand, platform, endpoint))
        return bulkhead.waiting if bulkhead else 0

    async def enter(self, call: Caller) -> Pass:
        """Waits for the call's turn. Raises TurnedAway; on cancellation nothing is held."""
        began_s = self._monotonic()
        breaker, gate = self._breaker(call), self._gate(call)
        bulkhead = self._bulkheads.setdefault(_of_brand(call), _Bulkhead())
        if bulkhead.waiting >= WAITING_MAX:
            raise self._turn_away(call, "crowded", CROWDED_RETRY_S)
        waiter = _Waiter(call.brand, bulkhead, call.concurrency_max)
        line = gate.lines[call.priority]
        line.append(waiter)
        bulkhead.waiting += 1
        bulkhead.gates.add(gate)
        gate.tell()
        try:
            await self._turn(call, gate, waiter, breaker, began_s)
            now_s = self._monotonic()
            permit = breaker.begin(now_s)
            gate.share.charge(call.brand)
            ticket = gate.limiter.take(call.priority, now_s)
            bulkhead.running += 1
        finally:
            line.remove(waiter)
            bulkhead.waiting -= 1
            if not any(other.bulkhead is bulkhead for queue in gate.lines.values() for other in queue):
                bulkhead.gates.discard(gate)
            self._forget_bulkhead(call, bulkhead)
            gate.tell()
        waited_s = now_s - began_s
        metrics.WAIT.labels(call.platform, call.rate.endpoint, call.priority.value).observe(waited_s)
        return Pass(call, gate, bulkhead, breaker, ticket, permit, waited_s)

    def leave(self, held: Pass, signal: Signal) -> None:
        """The call has ended; exactly once for every pass."""
        now_s, call = self._monotonic(), held.call
        limiter, limit = held.gate.limiter, held.gate.limiter.limit
        if not signal.counted:
            limiter.cancel(held.ticket)
        elif signal.throttled:
            metrics.THROTTLES.labels(call.platform, call.rate.endpoint).inc()
            limiter.throttled(held.ticket, now_s, retry_after_s=signal.retry_after_s, usage=signal.usage)
        else:
            limiter.answered(held.ticket, now_s, signal.usage)
        if limiter.limit != limit:
            self._publish_rates(call)
        closed = held.breaker.open_until_s is None
        held.breaker.end(held.permit, signal.health, now_s, jitter=self._jitter())
        if closed != (held.breaker.open_until_s is None):
            metrics.BREAKERS_OPEN.labels(call.platform, call.rate.endpoint).inc(1 if closed else -1)
        held.bulkhead.running -= 1
        self._forget_bulkhead(call, held.bulkhead)
        for gate in {held.gate, *held.bulkhead.gates}:
            gate.tell()

    async def _turn(
        self, call: Caller, gate: _Gate, waiter: _Waiter, breaker: Breaker, began_s: float
    ) -> None:
        while True:
            now_s = self._monotonic()
            self._check(call, breaker)
            chosen, wait_s = gate.next(now_s)
            if chosen is waiter and wait_s <= 0:
                return
            if chosen is not None and wait_s <= 0:
                gate.tell()
            own_s = max(0.0, gate.limiter.wait_s(call.priority, now_s))
            left_s = began_s + TURN_WAIT_MAX_S - now_s
            if own_s > left_s or left_s <= 0:
                raise self._turn_away(call, "no_turn", max(own_s, CROWDED_RETRY_S))
            await self._pause(gate.change, wait_s if chosen is waiter else left_s)

    async def _pause(self, change: asyncio.Event, seconds: float) -> None:
        """Until something changes at the gate, or the time is over."""
        changing = asyncio.ensure_future(change.wait())
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({changing, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()
            sleeping.cancel()

    def _check(self, call: Caller, breaker: Breaker) -> None:
        resting_s = breaker.wait_s(self._monotonic())
        if resting_s > 0:
            raise self._turn_away(call, "endpoint_resting", resting_s)

    def _turn_away(self, call: Caller, reason: str, retry_after_s: float) -> TurnedAway:
        metrics.TURNED_AWAY.labels(call.platform, call.rate.endpoint, reason).inc()
        return TurnedAway(reason, retry_after_s)

    def _gate(self, call: Caller) -> _Gate:
        key = (call.platform, call.account, call.rate.endpoint)
        gate = self._gates.get(key)
        if gate is None or (gate.documented != call.rate and gate.is_empty):
            self._make_room()
            calls = max(1, int(call.rate.calls * self._rate_factor))
            gate = self._gates[key] = _Gate(Limiter(replace(call.rate, calls=calls)), call.rate)
        return gate

    def _breaker(self, call: Caller) -> Breaker:
        key = _of_brand(call)
        if key not in self._breakers:
            self._make_room()
            self._breakers[key] = Breaker(self._rules)
        return self._breakers[key]

    def _make_room(self) -> None:
        now_s = self._monotonic()
        if len(self._gates) >= GATES_MAX:
            kept = {k: g for k, g in self._gates.items() if not (g.is_empty and g.limiter.is_quiet(now_s))}
            self._gates = dict(list(kept.items())[-GATES_MAX // 2 :])
        if len(self._breakers) >= GATES_MAX:
            self._breakers = {k: b for k, b in self._breakers.items() if not b.is_quiet(now_s)}

    def _forget_bulkhead(self, call: Caller, bulkhead: _Bulkhead) -> None:
        if bulkhead.running == 0 and bulkhead.waiting == 0:
            self._bulkheads.pop(_of_brand(call), None)

    def _publish_rates(self, call: Caller) -> None:
        shares = [
            gate.limiter.limit / gate.limiter.rate.calls
            for (platform, _, endpoint), gate in self._gates.items()
            if platform == call.platform and endpoint == call.rate.endpoint
        ]
        metrics.LEARNED_SHARE.labels(call.platform, call.rate.endpoint).set(min(shares))


def _of_brand(call: Caller) -> tuple[str, str, str]:
    return (call.brand, call.platform, call.rate.endpoint)
