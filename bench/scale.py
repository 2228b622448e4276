"""A running system with one brand on Pinterest, a catalog as large as wanted, and what work costs in it.

Large catalogs are not sent: unchanged items are copies of one live item in the tables of catalog and shop_sync (items,
offers, stock, replicas, ids, items of the channel), made by SQL and vacuumed. The changed items are real ones, live on
the platform, and go the whole way. Only Pinterest is connected: Meta's rate (eight batches a minute) would hide what is
measured. Autovacuum is off while it is measured; nothing else is.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from tests.e2e.system import Brand, System, item, until

PLATFORM: Final = "pinterest"
BATCH_ITEMS: Final = 1_000
SETTLE_S: Final = 300.0
FLUSH_S: Final = 11.0
"""An idle backend tells its statistics after ten seconds."""
TABLES: Final = {
    "catalog": ("items", "offers", "stock_levels"),
    "shop_sync": ("replica_items", "replica_offers", "channel_ids", "channel_items"),
}
_BUSY: Final = """
select exists (select from channel_items where lane is not null)
    or exists (select from channel_items where attempt_id is not null)
    or exists (select from channel_items where read_back_at is not null)
"""
_WORK: Final = """
select sum(blks_hit + blks_read), sum(tup_returned + tup_fetched + tup_inserted + tup_updated + tup_deleted),
       sum(xact_commit)
from pg_stat_database where datname in ('vitrin_catalog', 'vitrin_shop_sync')
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What something cost: buffers and rows that PostgreSQL touched for catalog and shop_sync, their transactions,
    calls at the platform, seconds of processor time of all services and PostgreSQL, and seconds by the clock."""

    buffers: float
    rows: float
    transactions: float
    calls: float
    cpu_s: float
    wall_s: float


@contextmanager
def running() -> Iterator[System]:
    directory = Path(tempfile.mkdtemp(prefix="vitrin-bench-"))
    system = System(directory)
    system.start()
    try:
        yield system
    finally:
        system.stop()
        shutil.rmtree(directory, ignore_errors=True)


def admin(system: System, service: str) -> "psycopg.Connection[Any]":
    """The superuser in a service's database."""
    url = system.state()["database_url"].replace("/postgres?", f"/vitrin_{service}?")
    return psycopg.connect(url, autocommit=True)


def connect(brand: Brand, platform: str = PLATFORM) -> None:
    """One platform, to a sandbox account of the brand's own."""
    account = brand.system.http["sandbox"].post("/_sandbox/accounts", json={"platform": platform}).json()
    brand.accounts[platform] = account
    names = {"catalog_id", "business_id", "ad_account_id"}
    wanted = {
        "platform": platform,
        "mode": "sandbox",
        "access_token": account["access_token"],
        "base_url": account["base_url"],
        "external_ids": {name: value for name, value in account["external_ids"].items() if name in names},
    }
    brand.connections[platform] = brand.ok("accounts", "POST", "/v1/connections", json=wanted)["id"]


def item_id(number: int) -> str:
    return f"mug-{number:06d}"


def import_items(brand: Brand, count: int, *, batch: int = BATCH_ITEMS) -> None:
    for start in range(0, count, batch):
        numbers = range(start, min(start + batch, count))
        body = {"items": [{"op": "upsert", **item(item_id(number))} for number in numbers]}
        brand.ok("catalog", "POST", "/v1/items:batch", json=body)


def live_brand(system: System, items: int) -> Brand:
    """A brand whose items are all live."""
    brand = system.new_brand(connected=False)
    connect(brand)
    import_items(brand, items)
    until(brand.counts, lambda seen: seen.get(PLATFORM) == {"live": items}, within_s=SETTLE_S, every_s=0.5)
    return brand


def fill(system: System, brand: Brand, *, first: int, last: int) -> None:
    """Copies of the first item, numbered `first` to `last`, as if they had been live for long."""
    for service, tables in TABLES.items():
        with admin(system, service) as connection:
            for table in tables:
                _copies(connection, table, brand.id, first, last)
            connection.execute("vacuum analyze")


def _copies(connection: "psycopg.Connection[Any]", table: str, brand_id: str, first: int, last: int) -> None:
    found = connection.execute(
        "select column_name from information_schema.columns where table_name = %s order by ordinal_position",
        (table,),
    ).fetchall()
    names = [row[0] for row in found]
    made = [
        "'unchanged-' || lpad(n::text, 7, '0')" if name in {"item_id", "platform_item_id"} else f"t.{name}"
        for name in names
    ]
    connection.execute(
        f"insert into {table} ({', '.join(names)}) select {', '.join(made)}"
        f" from {table} t, generate_series(%s::int, %s::int) n where t.brand_id = %s and t.item_id = %s",
        (first, last, brand_id, item_id(0)),
    )


def quiet(system: System) -> None:
    """Waits until the channel has nothing to send, to poll or to read back."""
    with admin(system, "shop_sync") as connection:
        until(
            lambda: connection.execute(_BUSY).fetchone(),
            lambda row: row == (False,),
            within_s=SETTLE_S,
            every_s=0.2,
        )


def log_end(system: System) -> int:
    """Sequence number of the newest entry of the sandbox's request log."""
    since = 0
    while page := entries(system, since):
        since = page[-1]["seq"]
    return since


def entries(system: System, since: int) -> list[dict[str, Any]]:
    """The next page of the request log, of the platform's own paths."""
    query = {"since": since, "limit": 1000, "platform": PLATFORM}
    found: list[dict[str, Any]] = system.http["sandbox"].get("/_sandbox/log", params=query).json()["entries"]
    return found


def all_entries(system: System, since: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := entries(system, since):
        found += page
        since = page[-1]["seq"]
    return found


def is_send(entry: dict[str, Any]) -> bool:
    return entry["method"] == "POST" and str(entry["path"]).endswith("/catalogs/items/batch")


def change_prices(brand: Brand, numbers: Sequence[int], cents: int) -> None:
    for start in range(0, len(numbers), BATCH_ITEMS):
        part = numbers[start : start + BATCH_ITEMS]
        body = {"items": [{"id": item_id(number), "price": f"{cents / 100:.2f} EUR"} for number in part]}
        brand.ok("catalog", "POST", "/v1/offers:batch", json=body)


def cost_of_changes(brand: Brand, numbers: Sequence[int], cents: int) -> Work:
    """Changes the price of these items and waits until all of it is on the platform and read back."""
    system = brand.system
    with admin(system, "catalog") as connection:
        time.sleep(FLUSH_S)
        since = log_end(system)
        before, cpu = connection.execute(_WORK).fetchone(), _cpu_s(system)
        began = time.perf_counter()
        change_prices(brand, numbers, cents)
        until(
            lambda: sum(entry["item_count"] for entry in all_entries(system, since) if is_send(entry)),
            lambda sent: sent >= len(numbers),
            within_s=SETTLE_S,
            every_s=0.2,
        )
        quiet(system)
        wall_s = time.perf_counter() - began
        used = _cpu_s(system) - cpu
        time.sleep(FLUSH_S)
        after = connection.execute(_WORK).fetchone()
    assert before is not None
    assert after is not None
    buffers, rows, transactions = (float(new - old) for old, new in zip(before, after, strict=True))
    return Work(buffers, rows, transactions, float(len(all_entries(system, since))), used, wall_s)


def idle_work(system: System) -> Work:
    """What the same watch costs when nothing changes, of the length of its fixed waits."""
    with admin(system, "catalog") as connection:
        time.sleep(FLUSH_S)
        before, cpu = connection.execute(_WORK).fetchone(), _cpu_s(system)
        time.sleep(FLUSH_S)
        after, used = connection.execute(_WORK).fetchone(), _cpu_s(system) - cpu
    assert before is not None
    assert after is not None
    buffers, rows, transactions = (float(new - old) for old, new in zip(before, after, strict=True))
    return Work(buffers, rows, transactions, 0.0, used, FLUSH_S)


def autovacuum(system: System, *, on: bool) -> None:
    with admin(system, "catalog") as connection:
        connection.execute(f"alter system set autovacuum = {'on' if on else 'off'}")
        connection.execute("select pg_reload_conf()")


def _cpu_s(system: System) -> float:
    """Of every process under `vitrin up` but the sandbox, which a platform would run for us."""
    sandbox = system.part("sandbox")["pid"]
    total = 0.0
    for process in psutil.Process(system.process.pid).children(recursive=True):
        if process.pid != sandbox:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return total
