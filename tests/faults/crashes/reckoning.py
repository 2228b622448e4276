"""After the kills: what the databases, the platforms and the sandbox's log of requests say, against what is owed."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg

from tests.e2e.system import PLATFORMS, SERVICES, Brand, Document, System
from tests.faults.crashes.load import REFUSED_EVERY, ROWS, ImportWriter, Owed

LOG_PAGE = 1_000
GONE_STATES = frozenset({"removed", "excluded"})


class Books:
    """The databases, as their superuser."""

    def __init__(self, system: System) -> None:
        self._url = str(system.state()["database_url"])

    def rows(self, service: str, query: str, **values: object) -> list[tuple]:
        url = self._url.replace("/postgres?", f"/vitrin_{service}?", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def number(self, service: str, query: str, **values: object) -> int:
        return int(self.rows(service, query, **values)[0][0])


def check_catalog(books: Books, brand: Brand, owed: Mapping[str, Owed]) -> None:
    """Versions count effects: each accepted change had one, and none had two."""
    query = "select item_id, content_version, offer_version, content is null from items where brand_id = %(brand)s"
    stored = {row[0]: row[1:] for row in books.rows("catalog", query, brand=brand.id)}
    assert stored == {name: (one.content_version, one.offer_version, one.gone) for name, one in owed.items()}


def check_imports(writer: ImportWriter) -> int:
    """Every round once, whatever broke off; answers how many uploads were given up by a kill."""
    refused = ROWS // REFUSED_EVERY
    applied = Counter[str]()
    torn = 0
    for one in writer.imports():
        if one["state"] in {"uploading", "aborted"}:
            torn += 1
            continue
        rows = one["rows"]
        assert (one["state"], one["problem"]) == ("done", None)
        assert (rows["total"], rows["done"], rows["refused"]) == (ROWS, ROWS, refused), one
        assert rows["created"] + rows["updated"] + rows["unchanged"] == ROWS - refused, one
        applied.update({name: rows[name] for name in ("created", "updated")})
    assert applied == {"created": ROWS - refused, "updated": (writer.round - 1) * (ROWS - refused)}
    return torn


def check_replica(books: Books, brand: Brand, owed: Mapping[str, Owed]) -> None:
    query = "select item_id, content_version, deleted from replica_items where brand_id = %(brand)s"
    items = {row[0]: row[1:] for row in books.rows("shop_sync", query, brand=brand.id)}
    assert items == {name: (one.content_version, one.gone) for name, one in owed.items()}
    query = "select item_id, offer_version from replica_offers where brand_id = %(brand)s"
    offers = dict(books.rows("shop_sync", query, brand=brand.id))
    live = {name: one.offer_version for name, one in owed.items() if not one.gone}
    assert {name: offers[name] for name in live} == live


def check_connections(books: Books, brand: Brand, versions: Mapping[str, int]) -> None:
    query = "select connection_id::text, version from {} where brand_id = %(brand)s"
    assert dict(books.rows("accounts", query.format("connections"), brand=brand.id)) == versions
    assert dict(books.rows("shop_sync", query.format("replica_connections"), brand=brand.id)) == versions


def channels_of(books: Books, brand: Brand) -> list[str]:
    """Connections that have a channel; twice where one has two."""
    query = "select connection_id::text from channels where brand_id = %(brand)s"
    return sorted(row[0] for row in books.rows("shop_sync", query, brand=brand.id))


def left_over(books: Books) -> dict[str, int]:
    """What is not finished, or was given up; empty when all is done."""
    found = {}
    for service in SERVICES:
        found[f"{service} unsent"] = books.number(
            service, "select count(*) from outbox where sent_at is null"
        )
    for service in ("catalog", "shop_sync"):
        found[f"{service} dead letters"] = books.number(service, "select count(*) from dead_letters")
    for table in ("parked_messages", "hunts", "attempts"):
        found[table] = books.number("shop_sync", f"select count(*) from {table}")
    return {what: count for what, count in found.items() if count}


def shown(brand: Brand, platform: str) -> dict[str, tuple[str, str]]:
    return {one["item_id"]: (one["fields"]["price"], one["fields"]["title"]) for one in brand.shown(platform)}


def wanted(owed: Mapping[str, Owed]) -> dict[str, tuple[str, str]]:
    return {name: (one.price, one.title) for name, one in owed.items() if not one.gone}


def is_settled(counts: Mapping[str, Mapping[str, int]], live: int) -> bool:
    return all(
        counts[platform].get("live") == live and set(counts[platform]) - GONE_STATES == {"live"}
        for platform in PLATFORMS
    )


@dataclass(frozen=True)
class Send:
    """A step `sent` of the timeline, and whether its outcome was lost."""

    at: datetime
    versions: tuple[int, int]
    attempt: str


@dataclass
class Repeats:
    """`calls`: the platform took the same content of an item once more. `unknown`: lost outcomes, per item."""

    sends: int = 0
    writes: int = 0
    calls: int = 0
    unknown: int = 0
    lost: int = 0


def check_repeats(books: Books, brand: Brand) -> Repeats:
    """Every write in the platforms' logs belongs to one `sent` of the timeline, and no two to the same; the same
    versions went out again only after an unknown outcome and a look."""
    found = Repeats()
    sends, unknown = _timeline(books, brand)
    found.sends = sum(len(one) for one in sends.values())
    found.unknown = len(unknown)
    for platform in PLATFORMS:
        entries = log_of(brand, platform)
        assert all(entry["item_count"] == len(entry["item_ids"]) for entry in entries), "ids were cut off"
        writes: dict[str, list[Document]] = defaultdict(list)
        reads: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            if entry["operations"]:
                assert entry["accepted_count"] == entry["item_count"], entry
            into = writes if entry["operations"] or entry["outcome"] == "duplicate" else None
            for name in _named(entry):
                if into is not None:
                    into[name].append(entry)
                else:
                    reads[name].append(entry["seq"])
        for name, calls in writes.items():
            found.writes += len(calls)
            _check_item(
                found,
                name,
                calls,
                sends[platform, name],
                unknown=unknown,
                reads=reads[name],
                platform=platform,
            )
    found.lost = found.sends - found.writes
    assert found.calls <= found.unknown
    return found


def _check_item(
    found: Repeats,
    name: str,
    calls: list[Document],
    sends: list[Send],
    *,
    unknown: set[tuple[str, str, str]],
    reads: list[int],
    platform: str,
) -> None:
    begun = [send.at for send in sends]
    earlier: dict[tuple[int, int], tuple[int, Send]] = {}
    used = set()
    for call in calls:
        position = bisect_right(begun, datetime.fromisoformat(call["received_at"])) - 1
        assert position >= 0, f"{platform} got {name} before it was sent: {call}"
        assert position not in used, f"{platform} got {name} twice from one attempt: {call}"
        used.add(position)
        send = sends[position]
        before = earlier.get(send.versions)
        earlier[send.versions] = (call["seq"], send)
        if before is None:
            continue
        found.calls += 1
        assert (platform, name, before[1].attempt) in unknown, (
            f"{platform}: {name} sent again without a doubt: {call}"
        )
        assert any(before[0] < seq < call["seq"] for seq in reads), (
            f"{platform}: {name} sent again without a look"
        )


def _named(entry: Document) -> list[str]:
    """The items of a request: what it names, also where the answer held none of them."""
    names = set(entry["item_ids"])
    text = entry["query"].get("filter", "")
    if text:
        _collect(orjson.loads(text), names)
    return sorted(names)


def _collect(value: Any, names: set[str]) -> None:
    if isinstance(value, str):
        names.add(value)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _collect(one, names)


def _timeline(
    books: Books, brand: Brand
) -> tuple[dict[tuple[str, str], list[Send]], set[tuple[str, str, str]]]:
    query = """
        select platform, item_id, date_trunc('milliseconds', at), step, content_version, offer_version,
               attempt_id::text
        from timeline where brand_id = %(brand)s and step in ('sent', 'unknown') order by at, id
    """
    sends: dict[tuple[str, str], list[Send]] = defaultdict(list)
    unknown = set()
    for platform, name, at, step, content, offer, attempt in books.rows("shop_sync", query, brand=brand.id):
        if step == "sent":
            sends[platform, name].append(Send(at, (content, offer), attempt))
        else:
            unknown.add((platform, name, attempt))
    return sends, unknown


def check_timeline(books: Books, brand: Brand, *, lasted_ms: int) -> int:
    """One outcome per attempt and item, one lag sample per outcome, and none of them longer than the test."""
    twice = """
        select channel_id, item_id, attempt_id, step, count(*) from timeline
        where brand_id = %(brand)s and attempt_id is not null group by 1, 2, 3, 4 having count(*) > 1
    """
    assert books.rows("shop_sync", twice, brand=brand.id) == []
    outcomes = """
        select item_id, channel_id, count(*) filter (where step = 'sent'),
               count(*) filter (where step <> 'sent' and attempt_id is not null and lag_ms is not null)
        from timeline where brand_id = %(brand)s group by 1, 2
    """
    samples = {
        (row[0], row[1]): row[2]
        for row in books.rows(
            "shop_sync",
            "select item_id, channel_id, count(*) from lag_samples where brand_id = %(brand)s and kind = 'accepted'"
            " group by 1, 2",
            brand=brand.id,
        )
    }
    for name, channel, sent, accepted in books.rows("shop_sync", outcomes, brand=brand.id):
        assert 0 < accepted <= sent, (name, channel, sent, accepted)
        assert samples[name, channel] == accepted, (name, channel)
    strange = (
        "select count(*) from lag_samples where brand_id = %(brand)s"
        " and not (received_ms between 0 and %(most)s and occurred_ms between 0 and %(most)s)"
    )
    assert books.number("shop_sync", strange, brand=brand.id, most=lasted_ms) == 0
    return sum(samples.values())


def log_of(brand: Brand, platform: str) -> list[Document]:
    """The platform requests of the brand's account, the oldest first; fails when the log has forgotten any."""
    own = set(brand.accounts[platform]["external_ids"].values())
    found: list[Document] = []
    since = 0
    while True:
        parameters: dict[str, str | int] = {"platform": platform, "since": since, "limit": LOG_PAGE}
        page = brand.system.http["sandbox"].get("/_sandbox/log", params=parameters).json()
        found += [entry for entry in page["entries"] if entry["account"] in own]
        if not page["entries"]:
            return found
        since = page["next_since"]
