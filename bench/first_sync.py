"""F1: the first sync of 100,000 items to both sandboxes: items/s until all are live, and the memory of shop_sync.

The catalog is there before the platforms are connected, so that only the sync is measured. Sandbox quotas are off; what
bounds the sync are the rates that the connectors keep to. Value: items live per second on the slower platform, as a
share of what these rates allow at best; 1 would be a sync that never waits for anything else. The bound counts calls
(sends, and read-backs where a platform shows its items), not polls, as a sliding window lets them go: a full window at
once, then by its rate.
"""

import math
import threading
import time
from typing import Any, Final

import psutil
from tests.e2e.system import PLATFORMS, Brand, System, until

from bench import scale
from bench.claims import Result
from vitrin.platforms.base import Capabilities, Endpoint
from vitrin.platforms.meta.rules import CAPABILITIES as META
from vitrin.platforms.pinterest.rules import CAPABILITIES as PINTEREST

ITEMS: Final = 100_000
IMPORT_ITEMS: Final = 5_000
DEADLINE_S: Final = 600.0
SYNC_S: Final = 900.0
"""Meta's read-backs alone (50 items a call, 150 calls a minute) need 13 minutes."""
SAMPLE_S: Final = 2.0
LIMITS: Final = {"meta": META, "pinterest": PINTEREST}


def run() -> Result:
    with scale.running() as system:
        brand = system.new_brand(connected=False)
        scale.import_items(brand, ITEMS, batch=IMPORT_ITEMS)
        _until_followed(system)
        memory = _Memory(system)
        seen = _sync(brand, memory)
        memory.stop()
    bounds = {name: _bound_s(limits) for name, limits in LIMITS.items()}
    rates = [one["live"] / one["live_s"] for one in seen.values()]
    value = round(min(rates) / (ITEMS / max(bounds.values())), 3)
    return Result(
        id="F1",
        name="first sync of 100,000 items to both sandboxes: items/s live against what the connectors' rates allow",
        value=value,
        goal="reported; memory flat",
        baseline="sends and read-backs at the rates of platforms/*/rules.py",
        met=memory.flat,
        min=value,
        max=value,
        rounds=1,
        also={
            "items_per_s_live_on_both": round(min(rates), 1),
            **{f"{name}_{what}": found for name, one in seen.items() for what, found in one.items()},
            **{f"{name}_bound_s": round(bound, 1) for name, bound in bounds.items()},
            **memory.report(),
        },
    )


def _until_followed(system: System) -> None:
    with scale.admin(system, "shop_sync") as connection:
        until(
            lambda: connection.execute("select count(*) from replica_offers").fetchone(),
            lambda row: row is not None and row[0] >= ITEMS,
            within_s=DEADLINE_S,
            every_s=1.0,
        )


def _sync(brand: Brand, memory: "_Memory") -> dict[str, dict[str, float]]:
    """Per platform: items accepted (live ones too) and live, and the seconds from the connection until the last of
    them; after `SYNC_S` what there is then."""
    for platform in PLATFORMS:
        scale.connect(brand, platform)
    began = time.perf_counter()
    seen: dict[str, dict[str, float]] = {}
    memory.start()
    while time.perf_counter() - began < SYNC_S:
        time.sleep(SAMPLE_S)
        counts = brand.counts()
        took_s = round(time.perf_counter() - began, 1)
        for platform, states in counts.items():
            live = states.get("live", 0)
            now = {"live": live, "accepted": live + states.get("accepted", 0)}
            one = seen.setdefault(platform, {})
            for name, items in now.items():
                if one.get(name, 0) != ITEMS:
                    one |= {name: items, f"{name}_s": took_s}
        if seen and all(one["live"] == ITEMS for one in seen.values()):
            break
    return seen


def _bound_s(limits: Capabilities) -> float:
    """Seconds for the calls of the slower endpoint class; classes that share a window are added up."""
    calls: dict[str, int] = {}
    needed = {Endpoint.SEND: limits.batch_items_max, Endpoint.READ_BACK: limits.read_back_items_max}
    windows: dict[str, Any] = {}
    for endpoint, items in needed.items():
        rate = limits.rates[endpoint]
        windows[rate.endpoint] = rate
        calls[rate.endpoint] = calls.get(rate.endpoint, 0) + math.ceil(ITEMS / items)
    return max((calls[name] - 1) // rate.calls * rate.per_s for name, rate in windows.items())


class _Memory:
    """Resident memory of shop_sync, every two seconds."""

    def __init__(self, system: System) -> None:
        self._process = psutil.Process(system.part("shop_sync")["pid"])
        self._samples: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before_mb = self._now_mb()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def flat(self) -> bool:
        """The last third needs at most a tenth more than the middle one: it does not grow with what was sent."""
        third = max(1, len(self._samples) // 3)
        return max(self._samples[-third:]) <= 1.1 * max(self._samples[third : 2 * third] or self._samples)

    def report(self) -> dict[str, Any]:
        return {
            "shop_sync_rss_before_mb": self._before_mb,
            "shop_sync_rss_max_mb": max(self._samples),
            "shop_sync_rss_end_mb": self._samples[-1],
            "shop_sync_rss_flat": self.flat,
        }

    def _watch(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            self._samples.append(self._now_mb())

    def _now_mb(self) -> float:
        return round(self._process.memory_info().rss / 2**20, 1)
