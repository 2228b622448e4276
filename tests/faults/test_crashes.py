"""kill -9 of every process at random moments under load: every change has its effect once, and nothing is doubted long.

`VITRIN_CRASH_SEED` repeats a run's choices (not its timing: the machine has a say in that). The sandbox is not killed:
a platform does not forget what it took, and its log is the evidence.
"""

import os
import secrets
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic

import pytest

from tests.e2e.system import PLATFORMS, Brand, System, equal, until
from tests.faults.crashes import reckoning
from tests.faults.crashes.kills import Eyes, Kill, Killer
from tests.faults.crashes.load import (
    REFUSED_EVERY,
    ROWS,
    AccountsWriter,
    ContentWriter,
    ImportWriter,
    OfferWriter,
    Owed,
    Writer,
)

KILLS = {"catalog": 34, "shop_sync": 28, "accounts": 22, "broker": 10, "postgres": 12}
EARLY_SHARE = {"shop_sync": 0.35, "catalog": 0.1}
"""shop_sync is ready when it has caught up, and what it does until then is worth a kill."""
KILLS_MIN = 100
HIT_SHARE_MIN = 0.5
QUIET_S = {
    "catalog": (0.2, 4.0),
    "shop_sync": (0.2, 4.0),
    "accounts": (0.5, 8.0),
    "broker": (8.0, 20.0),
    "postgres": (6.0, 18.0),
}
"""Pauses between a process's being back and its next end: with the time until it is back about four minutes for each.
After each end of the broker everything that it held is written and read again."""
KILLING_S = 900.0
SETTLE_S = 300.0
SLOW_MS = {"meta": (100, 200), "pinterest": (50, 300)}
"""What a call to the platform takes at least, and at random more: a platform is not as quick as loopback."""


@pytest.fixture
def house(request: pytest.FixtureRequest) -> Iterator[System]:
    directory = Path(tempfile.mkdtemp(prefix="vitrin-crash-"))
    more = {
        "VITRIN_RESTART_BACKOFF_MS_MAX": "250",
        "SHOP_SYNC_RATE_FACTOR": "1000",
        "SANDBOX_BATCH_LATENCY_MS": "200",
        "SANDBOX_LOG_ENTRIES_MAX": "500000",
    }
    running = System(directory, more=more)
    failed_before = request.session.testsfailed
    try:
        running.start()
        yield running
    finally:
        running.stop()
        if request.session.testsfailed > failed_before:
            print(f"the logs of the system are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def brand_of(house: System) -> Brand:
    """A brand whose removals are not guarded: here they are many, on purpose."""
    brand = house.new_brand()
    brand.ok("shop_sync", "PATCH", "/v1/removal-policy", json={"percent": 100, "at_least": 1_000})
    return brand


def slow_platforms(house: System) -> None:
    for platform, (least, more) in SLOW_MS.items():
        fault = {"kind": "slow", "platform": platform, "delay_ms": least, "jitter_ms": more, "count": None}
        answer = house.http["sandbox"].post("/_sandbox/faults", json=fault)
        assert answer.status_code == 201, answer.text


@pytest.mark.timeout(1_800)
@pytest.mark.embedded_only(reason="the broker that is killed is the house's own")
def test_kill_9_of_every_process_under_load(house: System, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("VITRIN_CRASH_SEED") or secrets.randbelow(10**6))
    with capsys.disabled():
        print(f"\nVITRIN_CRASH_SEED={seed}")
    began = monotonic()
    brand, calm = brand_of(house), brand_of(house)
    slow_platforms(house)
    offers, contents, imports, accounts = writers = make_writers(brand, calm, seed)
    for writer in (offers, contents, accounts):
        writer.begin()
    kills = kill_under_load(house, writers, seed, began)
    owed = offers.owed | contents.owed | rows_of(imports)
    for platform in PLATFORMS:
        until(
            lambda platform=platform: reckoning.shown(brand, platform),  # type: ignore[misc]
            equal(reckoning.wanted(owed)),
            within_s=SETTLE_S,
            every_s=0.5,
        )
        assert len(brand.shown(platform)) == len(reckoning.wanted(owed))
    live = len(reckoning.wanted(owed))
    until(brand.counts, lambda seen: reckoning.is_settled(seen, live), within_s=SETTLE_S, every_s=0.5)
    settled_s = monotonic() - began
    books = reckoning.Books(house)
    reckoning.check_catalog(books, brand, owed)
    torn = reckoning.check_imports(imports)
    reckoning.check_replica(books, brand, owed)
    until(lambda: reckoning.channels_of(books, calm), equal(sorted(accounts.versions)), within_s=SETTLE_S)
    reckoning.check_connections(books, calm, accounts.versions)
    until(lambda: reckoning.left_over(books), equal({}), within_s=SETTLE_S, every_s=0.5)
    samples = reckoning.check_timeline(books, brand, lasted_ms=round(1000 * settled_s))
    repeats = reckoning.check_repeats(books, brand)
    with capsys.disabled():
        print(report(seed, kills, writers, repeats=repeats, torn=torn, samples=samples, settled_s=settled_s))
    assert len(kills) >= KILLS_MIN
    assert sum(kill.hit for kill in kills) >= HIT_SHARE_MIN * len(kills)


def make_writers(
    brand: Brand, calm: Brand, seed: int
) -> tuple[OfferWriter, ContentWriter, ImportWriter, AccountsWriter]:
    stop = threading.Event()

    def common(name: str) -> dict[str, object]:
        return {"name": name, "random": Random(f"{seed}-{name}"), "stop": stop}

    return (
        OfferWriter(brand=brand, pause_s=(0.05, 0.4), **common("offers")),  # type: ignore[arg-type]
        ContentWriter(brand=brand, pause_s=(0.1, 1.0), **common("contents")),  # type: ignore[arg-type]
        ImportWriter(brand=brand, pause_s=(10.0, 25.0), **common("imports")),  # type: ignore[arg-type]
        AccountsWriter(brand=calm, pause_s=(0.02, 0.4), **common("accounts")),  # type: ignore[arg-type]
    )


def kill_under_load(house: System, writers: tuple[Writer, ...], seed: int, began: float) -> list[Kill]:
    """All killers at once, each with its own target; the load goes on until the last has done its part."""
    url = str(house.state()["database_url"])
    killers = [
        Killer(
            target,
            times,
            QUIET_S[target],
            house,
            Eyes(url, writers),
            Random(f"{seed}-{target}"),
            began,
            writers[0].stop,
            EARLY_SHARE.get(target, 0.0),
        )
        for target, times in KILLS.items()
    ]
    for one in (*writers, *killers):
        one.start()
    end = monotonic() + KILLING_S
    try:
        for killer in killers:
            killer.join(end - monotonic())
    finally:
        writers[0].stop.set()
    for writer in writers:
        writer.join()
    return sorted((kill for killer in killers for kill in killer.kills), key=lambda kill: kill.at_s)


def rows_of(imports: ImportWriter) -> dict[str, Owed]:
    return {
        f"row-{number}": Owed(imports.price_of(number), f"Row {number}", offer_version=imports.round)
        for number in range(1, ROWS + 1)
        if number % REFUSED_EVERY
    }


def report(
    seed: int,
    kills: list[Kill],
    writers: tuple[Writer, ...],
    *,
    repeats: reckoning.Repeats,
    torn: int,
    samples: int,
    settled_s: float,
) -> str:
    hits = [kill for kill in kills if kill.hit]
    kinds = Counter(kind for kill in hits for kind in kill.flight or ())
    lines = [
        f"crash test, seed {seed}: {len(kills)} kills, {len(hits)} ({len(hits) / len(kills):.0%}) with work in flight"
    ]
    for target in KILLS:
        mine = [kill for kill in kills if kill.target == target]
        back = sorted(kill.back_s for kill in mine if kill.back_s is not None)
        lines.append(
            f"  {target:<10}{len(mine):>4} kills, {sum(kill.hit for kill in mine):>3} in flight,"
            f" {sum(kill.early for kill in mine)} before it was ready;"
            f" ready again after p50 {median(back):.1f} s, max {back[-1]:.1f} s"
        )
    lines.append(
        "  in flight: " + ", ".join(f"{kind} at {count} kills" for kind, count in kinds.most_common())
    )
    lines.append(
        "  changes: " + ", ".join(f"{one.name} {one.changes:,}" for one in writers) + f"; {torn} torn uploads"
    )
    answers = sum((one.tries for one in writers), Counter[str]())
    lines.append("  answers: " + ", ".join(f"{kind} {count}" for kind, count in answers.most_common()))
    lines.append(
        f"  platforms: {repeats.sends:,} sends of items, {repeats.writes:,} in the platforms' logs,"
        f" {repeats.unknown:,} outcomes unknown, {repeats.calls:,} repeats; {samples:,} lag samples"
    )
    lines.append(f"  settled after {settled_s:.0f} s")
    return "\n".join(lines)
