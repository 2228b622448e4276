"""H1: how long a revoked key still works, per service, while Kafka is up. Issue 2 asks for less than a second."""

import tempfile
import time
from pathlib import Path

from tests.e2e.system import Brand, System

from bench.claims import Result, spread

ROUNDS = 15
LIMIT_MS = 1_000
DOORS = {"accounts": "/v1/brands", "catalog": "/v1/items", "shop_sync": "/v1/channels"}


def run() -> Result:
    system = System(Path(tempfile.mkdtemp(prefix="vitrin-bench-")))
    system.start()
    try:
        brand = system.new_brand(connected=False)
        rounds = [_revoke(brand) for _ in range(ROUNDS)]
    finally:
        system.stop()
    slowest = [max(times.values()) / LIMIT_MS for times in rounds]
    value, smallest, largest = spread(slowest)
    return Result(
        id="H1",
        name="a revoked key refused by every service, slowest service against one second",
        value=value,
        goal="largest <= 1",
        baseline="1,000 ms",
        met=largest <= 1,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={f"{service}_max_ms": round(max(times[service] for times in rounds), 1) for service in DOORS},
    )


def _revoke(brand: Brand) -> dict[str, float]:
    """Milliseconds from the answer to the revocation until each service refuses; the key is in use meanwhile."""
    made = brand.new_key(kind="secret", mode="live", role="viewer")
    for service, path in DOORS.items():
        brand.call(service, "GET", path, key=made["key"])
    brand.call("accounts", "DELETE", f"/v1/api-keys/{made['id']}")
    began = time.perf_counter()
    waiting, refused = dict(DOORS), {}
    while waiting and time.perf_counter() - began < 10:
        for service, path in list(waiting.items()):
            if brand.call(service, "GET", path, key=made["key"]).status_code == 401:
                refused[service] = (time.perf_counter() - began) * 1000
                del waiting[service]
    assert not waiting, f"still accepted after 10 s: {', '.join(waiting)}"
    return refused
