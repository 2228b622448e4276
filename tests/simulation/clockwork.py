"""Virtual time, and processes made of steps. A process is a generator; between two steps it may be killed or stalled.

It yields seconds to sleep, `Nap` for a sleep that a wake may end, or a function that takes `resume` and calls it later
with an answer or an exception."""

import heapq
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

STEPS_MAX: Final = 30_000
"""Some thousand are usual."""
Resume = Callable[[Any], None]
Steps = Generator[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Nap:
    seconds: float


class Process:
    """`make` builds the steps anew after a kill: memory is lost, the database is not."""

    def __init__(self, clock: "Clockwork", name: str, make: Callable[[], Steps]) -> None:
        self.name = name
        self._clock = clock
        self._make = make
        self._steps: Steps | None = None
        self._turn = 0
        self._naps = False
        self._stalled_until_s = 0.0
        self.doomed_in: int | None = None
        """Steps until it is killed."""
        self.broke: BaseException | None = None

    @property
    def is_up(self) -> bool:
        return self._steps is not None

    def start(self) -> None:
        if not self.is_up:
            self.doomed_in = None
            self._steps = self._make()
            self._go(0.0, None)

    def kill(self) -> None:
        """As kill -9: no step after this one, and nobody cleans up."""
        self._turn += 1
        self._steps = None
        self._stalled_until_s = 0.0
        self._clock.note(f"kill {self.name}")

    def stall(self, seconds: float) -> None:
        """Stopped: what is due meanwhile happens when it wakes up."""
        self._stalled_until_s = max(self._stalled_until_s, self._clock.now_s + seconds)

    def wake(self) -> None:
        if self._naps and self.is_up:
            self._go(0.0, None)

    def _go(self, seconds: float, answer: Any) -> None:
        self._turn += 1
        turn = self._turn
        self._naps = False
        self._clock.after(seconds, lambda: self._step(turn, answer))

    def _step(self, turn: int, answer: Any) -> None:
        if turn != self._turn or self._steps is None:
            return
        if self._stalled_until_s > self._clock.now_s:
            self._clock.after(self._stalled_until_s - self._clock.now_s, lambda: self._step(turn, answer))
            return
        if self.doomed_in is not None:
            if self.doomed_in <= 0:
                self.kill()
                return
            self.doomed_in -= 1
        try:
            wish = (
                self._steps.throw(answer) if isinstance(answer, BaseException) else self._steps.send(answer)
            )
        except StopIteration:
            self._steps = None
            return
        self._turn += 1
        turn = self._turn
        self._naps = isinstance(wish, Nap)
        if isinstance(wish, Nap):
            self._clock.after(wish.seconds, lambda: self._step(turn, None))
        elif callable(wish):
            wish(lambda found: self._step(turn, found))
        else:
            self._clock.after(wish, lambda: self._step(turn, None))


class Clockwork:
    """Events in order of their time; of one time, in the order in which they were asked for."""

    def __init__(self, start_s: float, chance: random.Random) -> None:
        self.now_s = start_s
        self.chance = chance
        self.steps = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._trace = blake2b(digest_size=16)
        self.tail: list[str] = []

    def note(self, line: str) -> None:
        text = f"{self.now_s:.6f} {line}"
        self._trace.update(text.encode())
        self.tail.append(text)
        if len(self.tail) > 400:
            del self.tail[:200]

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_s + max(0.0, seconds), self._count, do))

    def run_until(self, end_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """To `end_s`, or to the first moment after an event at which `done`."""
        while self._events and self._events[0][0] <= end_s:
            if done():
                return
            self.now_s, _, do = heapq.heappop(self._events)
            self.steps += 1
            assert self.steps < STEPS_MAX, "it goes round and round"
            do()
        if not done():
            self.now_s = max(self.now_s, end_s)
