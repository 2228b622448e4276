"""P1, P2, P3: events that are durable before they are acknowledged, against what a request costs by itself.

Ours is the collector's door as it is deployed: key, quota, origin rules, typed validation and every rule of an event,
the window of recent ids, one sealed block per request, group commit with fdatasync, and then the answer. The spool lies
on the disk of the temporary directory. The carrier does not run, since it is not in the way of an answer; but it shares
the processor, so `also` says what the door spends on an event and what the carrier does beside it.

Events are 13 fields with one to three items, about 580 bytes as JSON, all ids new.
"""

import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from starlette.types import ASGIApp
from tests.retargeting.bare import KEY, bare_door

from bench.baselines.bare_reader import bare_reader, usual_service
from bench.claims import Result, spread
from bench.load import Rate, Server, post
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import BrandId
from vitrin.retargeting.collector import wire
from vitrin.retargeting.collector.envelopes import ready_events, records_of
from vitrin.retargeting.collector.packing import Taken

ROUNDS: Final = 7
LANES: Final = 64
REQUESTS: Final = {1: 150, 50: 40}
"""Per lane and round, by events in a request."""
HEADERS: Final = f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
_NUMBERS: Final = count()
GOALS: Final = {"P1": 0.20, "P2": 0.45, "P3": 3.0}


def event(random: Random) -> dict[str, Any]:
    number = next(_NUMBERS)
    items = [
        {"item_id": f"mug-{random.randrange(10_000)}", "quantity": 1, "price": 12.99}
        for _ in range(random.randint(1, 3))
    ]
    return {
        "event_id": f"0192f3a4-{number:012d}",
        "name": "view_item",
        "occurred_at": int(time.time() * 1000),
        "visitor_id": f"v-{random.randrange(100_000):08d}",
        "session_id": f"s-{random.randrange(1_000_000):08d}",
        "url": f"https://shop.example/products/mug-{number}?utm_source=newsletter&utm_campaign=autumn",
        "referrer": "https://www.search.example/",
        "items": items,
        "value": 12.99,
        "currency": "EUR",
        "consent": {"ads": "granted", "analytics": "granted"},
        "utm": {"source": "newsletter", "campaign": "autumn"},
        "properties": {"list": "autumn", "position": 3},
    }


def bodies(per_request: int, random: Random) -> list[list[bytes]]:
    return [
        [
            json.dumps({"events": [event(random) for _ in range(per_request)]}).encode()
            for _ in range(REQUESTS[per_request])
        ]
        for _ in range(LANES)
    ]


@asynccontextmanager
async def ours() -> AsyncIterator[ASGIApp]:
    with tempfile.TemporaryDirectory(prefix="vitrin-bench-") as folder:
        async with bare_door(Path(folder)) as (door, _):
            yield door


@asynccontextmanager
async def bare() -> AsyncIterator[ASGIApp]:
    yield bare_reader


@asynccontextmanager
async def usual() -> AsyncIterator[ASGIApp]:
    yield usual_service()


def measured(per_request: int, *others: Any) -> list[list[Rate]]:
    """Of ours and each of the others, interleaved; the first round of all is thrown away."""
    random = Random(1)
    servers = [Server(ours), *(Server(one) for one in others)]
    found: list[list[Rate]] = [[] for _ in servers]
    for number in range(ROUNDS + 1):
        for server, rates in zip(servers, found, strict=True):
            prepared = bodies(per_request, random)
            if number == 0:
                server.__enter__()
            rates.append(post(server, "/v1/events", HEADERS, prepared))
    for server in servers:
        server.__exit__()
    return [rates[1:] for rates in found]


def _result(name: str, what: str, baseline: str, per_request: int, rates: Sequence[Sequence[Rate]]) -> Result:
    mine, other = rates
    ratios = [a.per_s / b.per_s for a, b in zip(mine, other, strict=True)]
    median, least, most = spread(ratios)
    middle = sorted(mine, key=lambda rate: rate.per_s)[len(mine) // 2]
    return Result(
        id=name,
        name=what,
        value=median,
        goal=f">= {GOALS[name]:g}",
        baseline=baseline,
        met=median >= GOALS[name],
        min=least,
        max=most,
        rounds=ROUNDS,
        also={
            "events_per_request": per_request,
            "lanes": LANES,
            "events_per_s": round(middle.per_s * per_request),
            "baseline_events_per_s": round(sorted(r.per_s for r in other)[len(other) // 2] * per_request),
            "p50_ms": round(middle.p50_ms, 1),
            "p99_ms": round(middle.p99_ms, 1),
            "door_cpu_us_per_event": round(
                sorted(r.server_cpu_s for r in mine)[len(mine) // 2]
                / (LANES * REQUESTS[per_request] * per_request)
                * 1e6,
                2,
            ),
            "carrier_cpu_us_per_event": round(carrier_us(per_request), 2),
            "event_bytes": round(len(json.dumps(event(Random(2))))),
        },
    )


def carrier_us(per_request: int) -> float:
    """What the carrier spends on an event beside sealing personal fields and Kafka: decoding, envelopes."""
    brand, random = BrandId(UUID(int=1)), Random(3)
    taken = Taken(brand.bytes, "k", int(time.time() * 1000), "server", False, "", "", False)
    some = [json.dumps({"events": [event(random) for _ in range(per_request)]}).encode() for _ in range(100)]
    began = time.process_time()
    for body in some:
        records_of(list(ready_events(taken, wire.decode(body).events, system_clock())), 8)
    return (time.process_time() - began) / (100 * per_request) * 1e6


def p1() -> Result:
    rates = measured(50, bare)
    return _result("P1", "durable ingest, 50 events in a request", "bare ASGI body reader", 50, rates)


def p2() -> Result:
    rates = measured(1, bare)
    return _result("P2", "durable ingest, one event in a request", "bare ASGI body reader", 1, rates)


def p3() -> Result:
    rates = measured(50, usual)
    return _result(
        "P3", "durable ingest, 50 events in a request", "FastAPI and pydantic doing nothing", 50, rates
    )
