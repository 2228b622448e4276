"""A house of brands and platforms in virtual time: the real gates and slots, with doubles instead of the network.

Every brand has a channel on every platform. Changes come at random; a worker with few slots takes channels by turns,
asks whether the channel may send, and sends what it has as one call. A sick platform lets every call hang until its
time-out.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kit.delivery.slots import Slots
from vitrin.kit.delivery.breaker import Health
from vitrin.kit.delivery.gate import Gates, Signal, TurnedAway
from vitrin.kit.delivery.rate import Priority, Rate

PLATFORMS = ("meta", "pinterest", "tiktok", "google", "snapchat")
RATE = Rate(endpoint="send", calls=120, per_s=60)
LATENCY_S = 0.4
HANG_S = 60.0
LOOK_AGAIN_S = 1.0
SLOTS = 48


@dataclass(frozen=True)
class Call:
    platform: str
    brand: str
    priority: Priority = Priority.FAST
    rate: Rate = RATE
    concurrency_max: int = 4

    @property
    def account(self) -> str:
        return self.brand


@dataclass
class Channel:
    brand: str
    platform: str
    pending: dict[int, float] = field(default_factory=dict)
    """Item -> when its oldest change that was not sent came."""
    due_s: float = 0.0
    busy: bool = False


@dataclass
class House:
    """`every_s`: between two changes of one channel; `noisy`: brands whose changes come a hundred times as often."""

    seed: int
    brands: int = 12
    every_s: float = 4.0
    sick: frozenset[str] = frozenset()
    noisy: frozenset[str] = frozenset()
    items: int = 50
    waits: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """(brand, platform) -> seconds from a change to its acceptance."""
    calls: Counter[str] = field(default_factory=Counter)
    probe: Callable[[float], None] = lambda now_s: None
    """Called every minute of the house's time."""

    async def live(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.gates = Gates(monotonic=loop.time, jitter=random.Random(self.seed).random)
        self.slots = Slots(total=SLOTS, platform_max=SLOTS // 2)
        self.channels = [
            Channel(f"brand-{n}", platform) for n in range(self.brands) for platform in PLATFORMS
        ]
        self.woken = asyncio.Event()
        self.sessions: set[asyncio.Task[None]] = set()
        jobs = [asyncio.create_task(self._change(number)) for number in range(len(self.channels))]
        jobs += [asyncio.create_task(self._work()), asyncio.create_task(self._watch())]
        await asyncio.sleep(seconds)
        for job in (*jobs, *self.sessions):
            job.cancel()
        await asyncio.gather(*jobs, *self.sessions, return_exceptions=True)

    async def _watch(self) -> None:
        began_s = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(60)
            self.probe(asyncio.get_running_loop().time() - began_s)

    async def _change(self, number: int) -> None:
        """The same changes with every seed, whatever the platforms do."""
        channel, chance = self.channels[number], random.Random(f"{self.seed}-{number}")
        often = 100 if channel.brand in self.noisy else 1
        while True:
            await asyncio.sleep(chance.expovariate(often / self.every_s))
            now_s = asyncio.get_running_loop().time()
            channel.pending.setdefault(chance.randrange(self.items), now_s)
            self.woken.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.woken.clear()
            now_s = loop.time()
            waiting = [
                (c.brand, c.platform) for c in self.channels if c.pending and not c.busy and c.due_s <= now_s
            ]
            chosen = self.slots.choose(waiting)
            if chosen is None:
                soon = min((c.due_s for c in self.channels if c.pending and c.due_s > now_s), default=None)
                try:
                    async with asyncio.timeout(None if soon is None else soon - now_s):
                        await self.woken.wait()
                except TimeoutError:
                    pass
                continue
            channel = next(c for c in self.channels if (c.brand, c.platform) == chosen)
            self.slots.take(*chosen)
            channel.busy = True
            session = asyncio.create_task(self._session(channel))
            self.sessions.add(session)
            session.add_done_callback(self.sessions.discard)

    async def _session(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        call = Call(channel.platform, channel.brand)
        try:
            wait_s = self.gates.ready_in_s(call)
            if wait_s > 0:
                channel.due_s = loop.time() + wait_s
                return
            await self._send(channel, call)
        except TurnedAway as away:
            channel.due_s = loop.time() + away.retry_after_s
        finally:
            channel.busy = False
            self.slots.give_back(channel.platform)
            self.woken.set()

    async def _send(self, channel: Channel, call: Call) -> None:
        loop = asyncio.get_running_loop()
        held = await self.gates.enter(call)
        batch = dict(channel.pending)
        channel.pending.clear()
        self.calls[channel.platform] += 1
        signal = Signal(health=Health.ABANDONED)
        try:
            if channel.platform in self.sick:
                await asyncio.sleep(HANG_S)
                signal = Signal(health=Health.UNWELL)
                channel.pending = batch | channel.pending | batch
                channel.due_s = loop.time() + LOOK_AGAIN_S
            else:
                await asyncio.sleep(LATENCY_S)
                signal = Signal(health=Health.WELL)
                waits = self.waits.setdefault((channel.brand, channel.platform), [])
                waits += [loop.time() - since_s for since_s in batch.values()]
        finally:
            self.gates.leave(held, signal)
