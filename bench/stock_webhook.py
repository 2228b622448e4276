"""S2: a shop's stock webhook until a platform has it, while the shop sells.

Real parts, durable (PostgreSQL with fsync) and with the platforms' quotas on: the sandbox plays a Shopify shop that
sends its own signed webhooks, and Meta and Pinterest. `PRODUCTS` products are live on both. Then stock changes come at
a fixed pace, each of another variant (sold out, or back in stock: Pinterest knows no number), with price changes of
products between them. Measured is the time from the sale in the shop until the platform's request with that item;
every change must arrive. The limit is the issue's 15 s for p99; Meta takes about eight batches a minute from a catalog
of this size, so that a change waits for the next one.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.e2e.system import Brand, Document, System, until

from bench import scale
from bench.claims import Result, percentile, spread

HOST: Final = "busy.myshopify.com"
PRODUCTS: Final = 1_200
CHANGES: Final = 1_200
PER_S: Final = 20.0
PRICE_EVERY: Final = 10
"""After so many stock changes a price changes."""
LIMIT_S: Final = 15.0
ROUNDS: Final = 3
SENDS: Final = {"pinterest": "/catalogs/items/batch", "meta": "/items_batch"}


def run() -> Result:
    with _system() as system:
        brand = system.new_brand(connected=False)
        brand.connect()
        variants = _live(system, brand)
        rounds = [_round(system, variants, number) for number in range(ROUNDS)]
        acked = _acked_within(system)
    p99 = {platform: [percentile(one[platform], 0.99) for one in rounds] for platform in SENDS}
    p50 = {platform: [percentile(one[platform], 0.5) for one in rounds] for platform in SENDS}
    worst = max(SENDS, key=lambda platform: max(p99[platform]))
    value, smallest, largest = spread([seconds / LIMIT_S for seconds in p99[worst]])
    return Result(
        id="S2",
        name=f"stock webhook to {worst}'s request, p99, {PER_S:g} sales a second of {PRODUCTS} products",
        value=value,
        goal="<= 1",
        baseline=f"{LIMIT_S:g} s",
        met=largest <= 1,
        min=smallest,
        max=largest,
        rounds=ROUNDS,
        also={
            "p99_s": {platform: spread(found) for platform, found in p99.items()},
            "p50_s": {platform: spread(found) for platform, found in p50.items()},
            "max_s": {platform: round(max(max(one[platform]) for one in rounds), 3) for platform in SENDS},
            "changes_per_round": CHANGES,
            "lost": 0,
            "answers_within_s": acked,
        },
    )


@contextmanager
def _system() -> Iterator[System]:
    directory = Path(tempfile.mkdtemp(prefix="vitrin-bench-"))
    system = System(directory, more={"SANDBOX_QUOTA": "true", "VITRIN_POSTGRES_FSYNC": "on"})
    system.start()
    try:
        yield system
    finally:
        system.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _command(system: System, method: str, path: str, **body: Any) -> Document:
    answer = system.http["sandbox"].request(method, f"/_sandbox/shops/{path}".rstrip("/"), json=body)
    answer.raise_for_status()
    found: Document = answer.json() if answer.content else {}
    return found


def _live(system: System, brand: Brand) -> list[tuple[str, int]]:
    """Item and variant of each product, when all are live on both platforms."""
    made = _command(
        system, "POST", "", kind="shopify", host=HOST, seed={"products": PRODUCTS, "variants_each": 1}
    )
    shop = {"shop": HOST}
    started = brand.ok(
        "accounts", "POST", "/v1/connections:authorize",
        json={"platform": "shopify", "mode": "sandbox", "external_ids": shop},
    )  # fmt: skip
    back = system.http["sandbox"].post(started["authorize_url"], data={"decision": "approve"})
    system.http["accounts"].get(back.headers["location"]).raise_for_status()
    live = {platform: {"live": PRODUCTS} for platform in SENDS}
    until(brand.counts, lambda seen: seen == live, within_s=scale.SETTLE_S, every_s=0.5)
    until(
        lambda: _command(system, "GET", f"shopify/{HOST}")["subscriptions"],
        lambda seen: len(seen) > 0,
        within_s=scale.SETTLE_S,
    )
    assert made["products"] == PRODUCTS
    return [(one["id"], int(one["external"]["variant_id"])) for one in brand.catalog().values()]


def _round(system: System, variants: list[tuple[str, int]], number: int) -> dict[str, list[float]]:
    """Seconds of every change, per platform."""
    since = {platform: _end(system, platform) for platform in SENDS}
    sold_at: dict[str, float] = {}
    began = time.perf_counter()
    for place in range(CHANGES):
        time.sleep(max(0.0, began + place / PER_S - time.perf_counter()))
        item, variant = variants[place]
        sold_at[item] = time.time()
        _command(system, "POST", f"shopify/{HOST}/stock", variant_id=variant, available=500 * (number % 2))
        if place % PRICE_EVERY == 0:
            other = variants[-1 - place // PRICE_EVERY][1]
            _command(
                system, "PATCH", f"shopify/{HOST}/variants/{other}", price=f"{20 + number}.{place % 100:02d}"
            )
    found: dict[str, dict[str, float]] = {}
    until(
        lambda: {
            p: len(found.setdefault(p, {}) | _arrived(system, p, since[p], sold_at, found)) for p in SENDS
        },
        lambda seen: all(count == CHANGES for count in seen.values()),
        within_s=scale.SETTLE_S,
        every_s=1.0,
    )
    return {platform: list(found[platform].values()) for platform in SENDS}


def _arrived(
    system: System,
    platform: str,
    since: int,
    sold_at: dict[str, float],
    found: dict[str, dict[str, float]],
) -> dict[str, float]:
    """Seconds until the first request with each item after its sale. A request that left before is none of it: what a
    price change carried along is counted for its item only when its stock had been sold."""
    seconds = found[platform]
    while page := _entries(system, platform, since):
        for entry in page:
            if entry["method"] == "POST" and str(entry["path"]).endswith(SENDS[platform]):
                received = datetime.fromisoformat(entry["received_at"]).timestamp()
                for item in entry["item_ids"]:
                    if item in sold_at and received >= sold_at[item]:
                        seconds.setdefault(item, received - sold_at[item])
        since = page[-1]["seq"]
    return seconds


def _entries(system: System, platform: str, since: int) -> list[Document]:
    query = {"since": since, "limit": 1000, "platform": platform}
    found: list[Document] = system.http["sandbox"].get("/_sandbox/log", params=query).json()["entries"]
    return found


def _end(system: System, platform: str) -> int:
    since = 0
    while page := _entries(system, platform, since):
        since = page[-1]["seq"]
    return since


def _acked_within(system: System) -> float:
    """Upper bound of the bucket that holds 99 % of the door's answers, in seconds."""
    page = system.http["catalog"].get("/metrics").text
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rsplit(" ", 1)[1]))
        for line in page.splitlines()
        if line.startswith("vitrin_catalog_webhook_ack_seconds_bucket") and 'platform="shopify"' in line
    ]
    total = max(count for _, count in buckets)
    return min(bound for bound, count in buckets if count >= 0.99 * total)
