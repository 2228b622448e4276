"""S1: one platform fails for all brands; what the other's changes wait then, against the same load on two well ones.

Real parts: the whole house and the sandbox. `BRANDS` brands are on Meta and Pinterest; single price changes come at a
fixed pace, every one of another item. In a round Meta is well, then answers 503 to everything, then takes every call
and says nothing. Measured is the time from the request at our API until Pinterest has the change. The goal (others'
p99 moves by at most 5 %) is one of virtual time (tests/kit/delivery/test_isolation.py); here two cores are shared with
the sandbox and the generator, and the figure is reported.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.e2e.system import Brand, System, item, until

from bench import scale
from bench.claims import Result, percentile, spread

BRANDS: Final = 3
CHANGES: Final = 400
PER_S: Final = 20.0
ROUNDS: Final = 3
GOAL: Final = 1.05
MODES: Final[dict[str, dict[str, Any] | None]] = {
    "well": None,
    "down": {"kind": "outage", "platform": "meta"},
    "silent": {"kind": "hang", "platform": "meta", "count": None},
}


@dataclass(frozen=True, slots=True)
class Phase:
    """Delays in seconds, of every change."""

    mode: str
    delays_s: list[float]


def run() -> Result:
    with scale.running() as system:
        brands = [_brand(system, number) for number in range(BRANDS)]
        _phase(system, brands, "well", 2_000)
        phases = [
            _phase(system, brands, mode, 2_100 + 10 * number + place)
            for number in range(ROUNDS)
            for place, mode in enumerate(MODES)
        ]
    p99 = {mode: [percentile(one.delays_s, 0.99) for one in phases if one.mode == mode] for mode in MODES}
    p50 = {mode: [percentile(one.delays_s, 0.5) for one in phases if one.mode == mode] for mode in MODES}
    ratios = {
        mode: [sick / well for sick, well in zip(p99[mode], p99["well"], strict=True)]
        for mode in ("down", "silent")
    }
    worst = max(ratios, key=lambda mode: spread(ratios[mode])[0])
    value, smallest, largest = spread(ratios[worst])
    return Result(
        id="S1",
        name=f"Pinterest's p99 delay while Meta is {worst} for {BRANDS} brands, {PER_S:g} changes a second",
        value=value,
        goal=f"<= {GOAL}x in virtual time; on the real parts reported",
        baseline="the same load while Meta is well, in the same round",
        met=value <= GOAL,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "p99_ratio": {mode: spread(found) for mode, found in ratios.items()},
            "p99_delay_s": {mode: spread(found) for mode, found in p99.items()},
            "p50_delay_s": {mode: spread(found) for mode, found in p50.items()},
            "changes_per_phase": CHANGES,
        },
    )


def _name(brand: int, number: int) -> str:
    return f"mug-{brand}-{number:04d}"


def _brand(system: System, number: int) -> Brand:
    brand = system.new_brand(connected=False)
    brand.connect()
    items = [{"op": "upsert", **item(_name(number, one))} for one in range(number, CHANGES, BRANDS)]
    brand.ok("catalog", "POST", "/v1/items:batch", json={"items": items})
    live = {"live": len(items)}
    for platform in ("pinterest", "meta"):
        until(
            lambda platform=platform: brand.counts().get(platform),  # type: ignore[misc]
            lambda seen: seen == live,
            within_s=scale.SETTLE_S,
            every_s=0.5,
        )
    return brand


def _phase(system: System, brands: list[Brand], mode: str, cents: int) -> Phase:
    sandbox = system.http["sandbox"]
    fault = MODES[mode]
    since = scale.log_end(system)
    if fault is not None:
        sandbox.post("/_sandbox/faults", json=fault).raise_for_status()
    try:
        sent_at = _offer(brands, cents)
        until(
            lambda: _arrived(system, since, sent_at),
            lambda delays: len(delays) == CHANGES,
            within_s=scale.SETTLE_S,
            every_s=0.5,
        )
    finally:
        sandbox.delete("/_sandbox/faults").raise_for_status()
    return Phase(mode, list(_arrived(system, since, sent_at).values()))


def _arrived(system: System, since: int, sent_at: dict[str, float]) -> dict[str, float]:
    """Seconds until the first call with each change came to Pinterest."""
    found: dict[str, float] = {}
    for entry in scale.all_entries(system, since):
        if scale.is_send(entry):
            received = datetime.fromisoformat(entry["received_at"]).timestamp()
            for name in entry["item_ids"]:
                if name in sent_at and received >= sent_at[name]:
                    found.setdefault(name, received - sent_at[name])
    return found


def _offer(brands: list[Brand], cents: int) -> dict[str, float]:
    """One after the other, at its time; when the house is late, the next goes at once. Times of the requests."""
    sent_at = {}
    began = time.perf_counter()
    for number in range(CHANGES):
        time.sleep(max(0.0, began + number / PER_S - time.perf_counter()))
        brand = number % BRANDS
        name = _name(brand, number)
        sent_at[name] = time.time()
        change = {"id": name, "price": f"{cents / 100:.2f} EUR"}
        brands[brand].ok("catalog", "POST", "/v1/offers:batch", json={"items": [change]})
    return sent_at
