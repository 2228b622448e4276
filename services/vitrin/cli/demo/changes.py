"""The scene with two changes: a new price and a sold-out item, each followed until every platform shows it."""

import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vitrin.cli.client import ServiceClient
from vitrin.cli.demo.memory import Memory
from vitrin.cli.demo.verdicts import Board
from vitrin.cli.failures import CliFailure
from vitrin.cli.output import Output

ARRIVAL_S = 30.0
POLL_S = 0.05
COLUMNS = {
    "change": "change",
    "platform": "platform",
    "accepted_ms": "accepted after ms",
    "seen_ms": "seen after ms",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """One row per change and platform; `arrived` when all of them did."""

    rows: list[dict[str, object]]

    @property
    def arrived(self) -> bool:
        return all(row["arrived"] for row in self.rows)


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of offers:batch, and how a person would say it."""

    entry: dict[str, object]
    words: str

    @property
    def item_id(self) -> str:
        return str(self.entry["id"])


def show_changes(
    output: Output,
    *,
    catalog: ServiceClient,
    shop_sync: ServiceClient,
    memory: Memory,
    board: Board,
    allowed: Container[str],
) -> Changes:
    """Change a price and the stock of two `allowed` items that are live everywhere; without such there is nothing."""
    live = [item_id for item_id in _live_everywhere(board) if item_id in allowed]
    chosen = _choose(catalog, live, memory)
    rows: list[dict[str, object]] = []
    for change in chosen:
        answer = catalog.post("/v1/offers:batch", {"items": [change.entry]})
        result = answer["results"][0]
        if result["outcome"] not in ("updated", "unchanged"):
            raise CliFailure(f"{change.words}: {result}", code="change_refused")
        output.note(f"changed: {change.words}")
        rows += follow(shop_sync, change, offer_version=int(result["offer_version"]), platforms=list(board))
    output.table(rows, columns=COLUMNS)
    return Changes(rows)


def _live_everywhere(board: Board) -> list[str]:
    verdicts = list(board.values())
    if not verdicts:
        return []
    return [
        item_id
        for item_id, verdict in verdicts[0].items()
        if verdict.state == "live" and all(other.get(item_id, verdict).state == "live" for other in verdicts)
    ]


def _choose(catalog: ServiceClient, live: list[str], memory: Memory) -> list[Change]:
    """The first two that are live: a price up (and back on the next run), a stock to nothing (and back)."""
    from urllib.parse import quote

    documents = [catalog.get(f"/v1/items/{quote(item_id, safe='')}") for item_id in live[:2]]
    changes = []
    if documents:
        changes.append(_new_price(documents[0], memory))
    if len(documents) > 1:
        changes.append(_other_stock(documents[1]))
    return changes


def _new_price(item: Mapping[str, Any], memory: Memory) -> Change:
    now = str(item["price"])
    first = memory.first_price.setdefault(str(item["id"]), now)
    amount, currency = first.split(" ")
    wanted = f"{Decimal(amount) + 1} {currency}" if now == first else first
    return Change({"id": item["id"], "price": wanted}, f"price of {item['id']} from {now} to {wanted}")


def _other_stock(item: Mapping[str, Any]) -> Change:
    if item["effective_availability"] == "out_of_stock":
        entry = {"id": item["id"], "quantity": 5, "availability": None}
        return Change(entry, f"{item['id']} is back in stock")
    entry = {"id": item["id"], "quantity": 0, "availability": "out_of_stock"}
    return Change(entry, f"{item['id']} is sold out")


def follow(
    shop_sync: ServiceClient, change: Change, *, offer_version: int, platforms: list[str]
) -> list[dict[str, object]]:
    """Read the item's timeline until each platform has this version, or the time is over."""
    from urllib.parse import quote

    end = time.monotonic() + ARRIVAL_S
    path = f"/v1/items/{quote(change.item_id, safe='')}/timeline"
    while True:
        answer = shop_sync.get(path, {"limit": 100})
        rows = [arrival(answer, change.words, platform, offer_version) for platform in platforms]
        if all(row["arrived"] for row in rows) or time.monotonic() > end:
            return rows
        time.sleep(POLL_S)


def arrival(answer: Mapping[str, Any], words: str, platform: str, offer_version: int) -> dict[str, object]:
    """What the timeline says about one version on one platform: lag to accepted and to seen, in milliseconds.

    A platform whose batch verdict is the proof goes to `live` at once: accepted and seen are one moment there.
    """
    row: dict[str, object] = {"change": words, "platform": platform, "accepted_ms": None, "seen_ms": None}
    for step in reversed(answer["data"]):  # oldest first
        if step["platform"] == platform and int(step["offer_version"]) >= offer_version:
            if step["step"] in ("accepted", "live") and row["accepted_ms"] is None:
                row["accepted_ms"] = step["lag_ms"]
            if step["step"] == "live" and row["seen_ms"] is None:
                row["seen_ms"] = step["lag_ms"]
    for channel in answer["channels"]:
        if channel["platform"] == platform:
            there = channel["state"] == "live" and channel["up_to_date"]
            row["arrived"] = there and int(channel["offer_version"]) >= offer_version
    row.setdefault("arrived", False)
    return row
