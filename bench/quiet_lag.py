"""P17: one change, quiet: API call received -> platform request on the wire, against the same hops measured bare."""

import tempfile
import time
from datetime import datetime
from pathlib import Path

import httpx
from tests.e2e.system import Brand, System, item

from bench.baselines.bare_hops import BareHops
from bench.claims import Result, percentile, spread

ROUNDS = 5
CHANGES_PER_ROUND = 25
PAUSE_S = 1.2
"""Longer than a change needs to be seen on the platform: the next one meets a quiet channel."""
SILENCE_S = 6.0


def run() -> Result:
    system = System(Path(tempfile.mkdtemp(prefix="vitrin-bench-")))
    system.start()
    try:
        brand = system.new_brand()
        brand.ok("catalog", "POST", "/v1/items", json=item("mug"))
        _until_live(brand)
        state = system.state()
        database = state["database_url"].replace("/postgres?", "/vitrin_hint?")
        ours: list[float] = []
        bare: list[float] = []
        ratios: list[float] = []
        with BareHops(database_url=database, bootstrap=state["kafka_bootstrap"]).running() as hops:
            for number in range(ROUNDS):
                time.sleep(SILENCE_S)
                mine = [_change(brand, number * CHANGES_PER_ROUND + n) for n in range(CHANGES_PER_ROUND)]
                theirs = [hops.measure() for _ in range(CHANGES_PER_ROUND)]
                ratios.append(percentile(mine, 0.5) / percentile(theirs, 0.5))
                ours += mine
                bare += theirs
    finally:
        system.stop()
    value, smallest, largest = spread(ratios)
    p99_ms = percentile(ours, 0.99)
    return Result(
        id="P17",
        name="quiet change, API call to platform request, p50 against the bare hops",
        value=value,
        goal="p50 <= 3x, p99 <= 50 ms",
        baseline="bench/baselines/bare_hops.py, same broker and database",
        met=value <= 3 and p99_ms <= 50,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "changes": len(ours),
            "p50_ms": round(percentile(ours, 0.5), 1),
            "p99_ms": round(p99_ms, 1),
            "bare_p50_ms": round(percentile(bare, 0.5), 1),
            "bare_p99_ms": round(percentile(bare, 0.99), 1),
        },
    )


def _until_live(brand: Brand) -> None:
    end = time.monotonic() + 30
    while brand.counts() != {"meta": {"live": 1}, "pinterest": {"live": 1}} and time.monotonic() < end:
        time.sleep(0.1)


def _change(brand: Brand, number: int) -> float:
    """Milliseconds until Pinterest's request, whose rate has room for every change (Meta's has eight a minute)."""
    sandbox = brand.system.http["sandbox"]
    since = _log_end(sandbox)
    began = time.time()
    body = {"items": [{"id": "mug", "price": f"{20 + number}.00 EUR"}]}
    brand.ok("catalog", "POST", "/v1/offers:batch", json=body)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        time.sleep(PAUSE_S)
        query = {"since": since, "platform": "pinterest"}
        for entry in sandbox.get("/_sandbox/log", params=query).json()["entries"]:
            if entry["method"] == "POST" and entry["path"].endswith("/catalogs/items/batch"):
                return (datetime.fromisoformat(entry["received_at"]).timestamp() - began) * 1000
    raise AssertionError("the change did not arrive within 10 s")


def _log_end(sandbox: httpx.Client) -> int:
    """Sequence number of the newest entry: the log comes in pages."""
    since = 0
    while (page := sandbox.get("/_sandbox/log", params={"since": since, "limit": 1000}).json())["entries"]:
        since = page["next_since"]
    return since
