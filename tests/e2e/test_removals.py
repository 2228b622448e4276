"""The removal guard from the shop's delete to the platform: a part goes, the rest waits for an approver."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from kafka import TopicPartition

from tests.e2e.system import PLATFORMS, Brand, Document, System, equal, item, parsed, problem_of, until
from vitrin.events import topics
from vitrin.events.envelope import Message
from vitrin.kit.consumer.records import parse
from vitrin.kit.kafka.client import make_consumer
from vitrin.kit.settings import KafkaSettings

ITEMS = 60
DELETED = 50
PASS = 20
ARRIVAL_S = 90.0
"""Meta takes 8 batches a minute of a catalog without traffic: what comes after them waits for the next minute."""


def names(count: int, first: int = 0) -> list[str]:
    return [f"mug-{number:02}" for number in range(first, first + count)]


def stocked(system: System, count: int) -> Brand:
    brand = system.new_brand()
    body = {"items": [item(name) for name in names(count)]}
    brand.ok("catalog", "POST", "/v1/items:batch", json=body)
    until_counts(brand, {"live": count})
    return brand


def until_counts(brand: Brand, expected: dict[str, int]) -> None:
    until(brand.counts, equal(dict.fromkeys(PLATFORMS, expected)), within_s=ARRIVAL_S, every_s=0.25)


def shown(brand: Brand, platform: str) -> list[str]:
    return sorted(one["item_id"] for one in brand.shown(platform))


def broker_port(system: System) -> int:
    process = psutil.Process(system.part("broker")["pid"])
    return min(one.laddr.port for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN)


@contextmanager
def reading(system: System) -> Iterator[Any]:
    """A consumer of the alert topic, as a stranger to the house would write it."""
    settings = KafkaSettings(bootstrap=f"127.0.0.1:{broker_port(system)}", membership="lock")
    consumer = make_consumer(settings, client_id="e2e-alerts", group=None)
    try:
        consumer.assign([TopicPartition(topics.ALERT, partition) for partition in range(4)])
        consumer.seek_to_beginning()
        yield consumer
    finally:
        consumer.close()


def alerts_of(consumer: Any, brand: Brand, found: list[Message]) -> list[str]:
    """Types of the brand's alerts so far. A relay that was killed between sending and marking sends again: the event
    id tells a repeat, as it does for every consumer."""
    for records in consumer.poll(timeout_ms=200).values():
        found += [message for record in records if (message := parse(record, topic=topics.ALERT))]
    mine = {message.event_id: message.type for message in found if str(message.brand_id) == brand.id}
    return sorted(mine.values())


def open_requests(brand: Brand) -> list[Document]:
    return brand.pages("shop_sync", "/v1/removals", state="open")


@pytest.mark.timeout(400)
def test_an_incomplete_import_cannot_empty_a_shopfront(system: System) -> None:
    """50 of 60 items deleted one by one; shop_sync is killed before and after the approval."""
    brand, other = stocked(system, ITEMS), stocked(system, 3)
    restarts = -1
    for number, name in enumerate(names(DELETED)):
        assert brand.call("catalog", "DELETE", f"/v1/items/{name}").is_success
        if number == DELETED // 2:
            restarts = system.kill("shop_sync")
    assert other.call("catalog", "DELETE", f"/v1/items/{names(1)[0]}").is_success
    system.until_back("shop_sync", restarts)
    until_counts(brand, {"live": ITEMS - DELETED, "held": DELETED - PASS, "removed": PASS})
    until_counts(other, {"live": 2, "removed": 1})
    assert open_requests(other) == []
    requests = {one["platform"]: one for one in open_requests(brand)}
    assert sorted(requests) == sorted(PLATFORMS)
    for platform, request in requests.items():
        assert request["waiting"] == {"removals": DELETED - PASS, "zeroings": 0}
        assert sum(request["causes"].values()) == DELETED - PASS
        assert [cause.startswith("key:") for cause in request["causes"]] == [True]
        assert len(shown(brand, platform)) == ITEMS - PASS
    check_strangers(system, brand, other, requests["meta"]["id"])
    check_items_and_command_line(system, brand, requests["meta"])
    with reading(system) as consumer:
        found: list[Message] = []
        until(
            lambda: alerts_of(consumer, brand, found),
            lambda seen: seen[:2] == ["shop_sync.removal_held"] * 2,
        )
        message = next(one.decode() for one in found if str(one.brand_id) == brand.id)
        assert (message.limit, message.passed) == (PASS, PASS)  # type: ignore[attr-defined]
        approver = brand.new_key(mode="live", role="approver")["key"]
        restarts = system.part("shop_sync")["restarts"]
        for request in requests.values():
            path = f"/v1/removals/{request['id']}:approve"
            decided = brand.call("shop_sync", "POST", path, key=approver, json={"note": "season is over"})
            assert (decided.status_code, decided.json()["state"]) == (200, "approved"), decided.text
        system.kill("shop_sync")
        system.until_back("shop_sync", restarts)
        until_counts(brand, {"live": ITEMS - DELETED, "removed": DELETED})
        for platform in PLATFORMS:
            assert shown(brand, platform) == names(ITEMS - DELETED, DELETED)
        until(
            lambda: alerts_of(consumer, brand, found).count("shop_sync.removal_decided"),
            equal(len(PLATFORMS)),
        )
    request = brand.ok("shop_sync", "GET", f"/v1/removals/{requests['meta']['id']}")
    assert (request["state"], request["note"], request["settled"]["gone"]) == (
        "approved",
        "season is over",
        DELETED - PASS,
    )
    assert request["decided_by"].startswith("key:")
    assert shown(other, "meta") == names(2, 1)


def check_strangers(system: System, brand: Brand, other: Brand, request_id: str) -> None:
    """An editor may not decide, another brand finds nothing, and neither changes anything."""
    editor = brand.new_key(mode="live", role="editor")["key"]
    for verb in ("approve", "reject"):
        path = f"/v1/removals/{request_id}:{verb}"
        problem = problem_of(brand.call("shop_sync", "POST", path, key=editor), 403, "scope_missing")
        assert problem["scope"] == "sync:approve"
        problem_of(other.call("shop_sync", "POST", path), 404, "removal_not_found")
    problem_of(
        brand.call("shop_sync", "PATCH", "/v1/removal-policy", key=editor, json={"percent": 100}),
        403,
        "scope_missing",
    )
    problem_of(other.call("shop_sync", "GET", f"/v1/removals/{request_id}"), 404, "removal_not_found")
    assert other.ok("shop_sync", "GET", "/v1/removals")["data"] == []
    assert brand.ok("shop_sync", "GET", f"/v1/removals/{request_id}")["state"] == "open"
    assert brand.ok("shop_sync", "GET", "/v1/removal-policy") == {
        "percent": 10,
        "at_least": 20,
        "guarded": ["removal", "zeroing"],
    }


def check_items_and_command_line(system: System, brand: Brand, request: Document) -> None:
    path = f"/v1/removals/{request['id']}"
    first = brand.ok("shop_sync", "GET", path, params={"limit": 7})
    cursor = first["next_cursor"]
    rest = brand.ok("shop_sync", "GET", path, params={"limit": 100, "cursor": cursor})
    found = first["data"] + rest["data"]
    assert (len(first["data"]), len(found), rest["next_cursor"]) == (7, DELETED - PASS, None)
    assert len({one["item_id"] for one in found}) == DELETED - PASS
    one = found[0]
    assert (one["title"], one["would"], one["reason"]["code"], one["state"]) == (
        f"Mug {one['item_id']}",
        "taken down",
        "item_deleted",
        "waiting",
    )
    why = brand.ok("shop_sync", "GET", f"/v1/items/{one['item_id']}/timeline")
    for channel in why["channels"]:
        assert (channel["state"], channel["reasons"][0]["code"]) == ("held", "removal_held")
    ran = system.vitrin("removals", "list", "--state", "open", "--json", "--key", brand.key)
    assert {row["id"] for row in parsed(ran)["data"]} == {row["id"] for row in open_requests(brand)}
    ran = system.vitrin("removals", "show", request["id"], "--key", brand.key)
    assert ran.returncode == 0
    assert one["item_id"] in ran.stdout
    editor = brand.new_key(mode="live", role="editor")["key"]
    ran = system.vitrin("removals", "approve", request["id"], "--key", editor)
    assert (ran.returncode, "scope_missing" in ran.stderr) == (5, True), ran.stderr


@pytest.mark.timeout(300)
def test_a_rejection_and_a_restock(system: System) -> None:
    brand = stocked(system, 30)
    gone = {"items": [{"id": name, "quantity": 0} for name in names(30)]}
    brand.ok("catalog", "POST", "/v1/offers:batch", json=gone)
    until_counts(brand, {"live": PASS, "held": 10})
    request = next(one for one in open_requests(brand) if one["platform"] == "meta")
    assert request["waiting"] == {"removals": 0, "zeroings": 10}
    ran = system.vitrin(
        "removals", "reject", request["id"], "--note", "wrong feed", "--items-max", "10", "--key", brand.key
    )
    assert ran.returncode == 0, ran.stderr
    until(lambda: brand.ok("shop_sync", "GET", f"/v1/removals/{request['id']}")["settled"]["kept"], equal(10))
    problem_of(
        brand.call("shop_sync", "POST", f"/v1/removals/{request['id']}:reject", json={"note": 5}),
        422,
        "malformed",
    )
    restocked = {"items": [{"id": name, "quantity": 4} for name in names(30)]}
    brand.ok("catalog", "POST", "/v1/offers:batch", json=restocked)
    until_counts(brand, {"live": 30})
    assert open_requests(brand) == []
    states = {one["platform"]: one["state"] for one in brand.pages("shop_sync", "/v1/removals")}
    assert states == {"meta": "rejected", "pinterest": "withdrawn"}
    words = {one["fields"]["availability"] for platform in PLATFORMS for one in brand.shown(platform)}
    assert words == {"in stock"}
