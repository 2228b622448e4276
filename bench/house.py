"""H2: what the idle house costs: memory of each service against 110 MB, and its share of a core.

A service's memory is its proportional set size: libraries that all of them map are counted once, in shares. The
resident set, which counts them again for every process, stands beside it.
"""

import tempfile
import time
from pathlib import Path

import psutil
from tests.e2e.system import SERVICES, System, item

from bench.claims import Result

LIMIT_BYTES = 110 * 1024 * 1024
WATCH_S = 30.0
ITEMS = 200


def run() -> Result:
    system = System(Path(tempfile.mkdtemp(prefix="vitrin-bench-")))
    system.start()
    try:
        brand = system.new_brand()
        body = {"items": [{"op": "upsert", **item(f"mug-{number}")} for number in range(ITEMS)]}
        brand.ok("catalog", "POST", "/v1/items:batch", json=body)
        time.sleep(15)
        parts = {name: psutil.Process(system.part(name)["pid"]) for name in (*SERVICES, "broker", "sandbox")}
        before = {name: sum(part.cpu_times()[:2]) for name, part in parts.items()}
        time.sleep(WATCH_S)
        used = {name: sum(part.cpu_times()[:2]) - before[name] for name, part in parts.items()}
        memory = {name: parts[name].memory_full_info() for name in SERVICES}
    finally:
        system.stop()
    share = {name: info.pss / LIMIT_BYTES for name, info in memory.items()}
    return Result(
        id="H2",
        name="idle service, proportional memory against 110 MB (largest of the services)",
        value=round(max(share.values()), 3),
        goal="<= 1",
        baseline="110 MB",
        met=max(share.values()) <= 1,
        min=round(min(share.values()), 3),
        max=round(max(share.values()), 3),
        rounds=1,
        also={
            **{f"{name}_rss_mb": round(info.rss / 2**20, 1) for name, info in memory.items()},
            **{f"{name}_pss_mb": round(info.pss / 2**20, 1) for name, info in memory.items()},
            **{
                f"{name}_idle_cpu_percent": round(seconds / WATCH_S * 100, 2)
                for name, seconds in used.items()
            },
        },
    )
