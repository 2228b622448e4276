"""kill -9 of the broker and of every service while changes flow: all of them arrive, none of them twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.system import PLATFORMS, Brand, Document, System, equal, item, until

pytestmark = pytest.mark.embedded_only(reason="the broker is the house's own")

CHANGES = 200
PER_REQUEST = 5
CREATED_EVERY = 20
BROKER_KILLED_AT = 40
ARRIVAL_S = 90.0
"""Meta takes 8 batches a minute of a catalog without traffic: what comes after them waits for the next minute."""
ROWS = 3_000
REFUSED_EVERY = 100
WRONG_PRICE = '"12,50 EUR"'
CHUNK_ROWS = 1_000
UNKNOWN_WINDOW = timedelta(seconds=3)
"""A batch sent this long before a kill may have lost its answer with the process."""


def offers_of(items: list[Document]) -> dict[str, str]:
    return {one["item_id"]: one["fields"]["price"] for one in items}


def prices(brand: Brand) -> dict[str, str]:
    return {name: one["price"] for name, one in brand.catalog().items()}


def until_both_show(brand: Brand, expected: dict[str, str]) -> None:
    """Every item once, with this price, on both platforms; everything seen there by Vitrin."""
    for platform in PLATFORMS:
        until(
            lambda platform=platform: offers_of(brand.shown(platform)),  # type: ignore[misc]
            equal(expected),
            within_s=ARRIVAL_S,
            every_s=0.25,
        )
        assert len(brand.shown(platform)) == len(expected)
    live = {platform: {"live": len(expected)} for platform in PLATFORMS}
    until(brand.counts, equal(live), within_s=ARRIVAL_S, every_s=0.25)


@pytest.mark.timeout(300)
def test_the_broker_comes_back_empty_and_no_change_is_lost(system: System) -> None:
    brand = system.new_brand()
    names = [f"mug-{number}" for number in range(20)]
    brand.ok("catalog", "POST", "/v1/items:batch", json={"items": [item(name) for name in names]})
    until(brand.counts, equal({platform: {"live": len(names)} for platform in PLATFORMS}))
    old_pid, restarts = system.part("broker")["pid"], -1
    for first in range(0, CHANGES, PER_REQUEST):
        if first == BROKER_KILLED_AT:
            restarts = system.kill("broker")
        changes = [
            {"id": names[number % len(names)], "price": f"{number + 11}.50 EUR", "quantity": number}
            for number in range(first, first + PER_REQUEST)
        ]
        counts = brand.ok("catalog", "POST", "/v1/offers:batch", json={"items": changes})["counts"]
        assert counts["updated"] == PER_REQUEST
        if first % CREATED_EVERY == 0:
            made = item(f"new-{first}", price=f"{first + 1}.25 EUR")
            assert brand.call("catalog", "POST", "/v1/items", json=made).status_code == 201
    system.until_back("broker", restarts)
    assert system.part("broker")["pid"] != old_pid
    truth = prices(brand)
    assert truth == {
        **{name: f"{CHANGES - len(names) + number + 11}.50 EUR" for number, name in enumerate(names)},
        **{f"new-{first}": f"{first + 1}.25 EUR" for first in range(0, CHANGES, CREATED_EVERY)},
    }
    until_both_show(brand, truth)


def feed() -> str:
    rows = [
        f"row-{number},Row {number},{WRONG_PRICE if number % REFUSED_EVERY == 0 else f'{number}.25 EUR'},"
        f"https://shop.example/p/{number},https://shop.example/i/{number}.jpg,A row.,Holm"
        for number in range(1, ROWS + 1)
    ]
    return "id,title,price,link,image_link,description,brand\n" + "\n".join(rows) + "\n"


@pytest.mark.timeout(300)
def test_kill_9_of_every_service_in_the_middle_of_an_import(system: System) -> None:
    brand = system.new_brand()
    imported = brand.ok("catalog", "POST", "/v1/imports", content=feed())["id"]

    def report() -> Document:
        found: Document = brand.ok("catalog", "GET", f"/v1/imports/{imported}")
        return found

    begun = until(report, lambda seen: seen["rows"]["done"] >= CHUNK_ROWS, every_s=0.002)
    assert begun["state"] == "applying", "the kill came too late to prove anything"
    restarts = {name: system.kill(name) for name in ("catalog", "accounts")}
    until(lambda: len(brand.shown("meta")), lambda shown: shown > 0, every_s=0.02)
    killed_at = datetime.now(UTC)
    restarts["shop_sync"] = system.kill("shop_sync")
    for name, before in restarts.items():
        system.until_back(name, before)
    finished = until(report, lambda seen: seen["state"] not in {"staged", "verifying", "applying"})
    assert (finished["state"], finished["problem"]) == ("done", None)
    refused = ROWS // REFUSED_EVERY
    assert finished["rows"] == {
        "total": ROWS,
        "done": ROWS,
        "created": ROWS - refused,
        "updated": 0,
        "unchanged": 0,
        "refused": refused,
        "images": 0,
    }
    rows = brand.pages("catalog", f"/v1/imports/{imported}/rows", outcome="refused")
    assert [(row["id"], [problem["code"] for problem in row["problems"]]) for row in rows] == [
        (f"row-{n}", ["price_comma"]) for n in range(REFUSED_EVERY, ROWS + 1, REFUSED_EVERY)
    ]
    truth = prices(brand)
    assert truth == {f"row-{n}": f"{n}.25 EUR" for n in range(1, ROWS + 1) if n % REFUSED_EVERY}
    until_both_show(brand, truth)
    for platform in PLATFORMS:
        check_no_repeats(brand, platform, set(truth), killed_at)


def check_no_repeats(brand: Brand, platform: str, names: set[str], killed_at: datetime) -> None:
    """Every item was sent once. Only one whose answer may have died with the process was sent again, and only after
    it was looked up on the platform."""
    entries = log_of(brand, platform)
    writes = [entry for entry in entries if entry["operations"]]
    doubtful = {
        name
        for entry in writes
        if timedelta(0) <= killed_at - datetime.fromisoformat(entry["received_at"]) <= UNKNOWN_WINDOW
        for name in entry["item_ids"]
    }
    sent = Counter(name for entry in writes for name in entry["item_ids"])
    assert set(sent) == names
    again = {name for name, times in sent.items() if times > 1}
    assert again <= doubtful, f"{platform}: sent again without a doubt: {sorted(again - doubtful)[:10]}"
    for name in again:
        first, second = [entry["seq"] for entry in writes if name in entry["item_ids"]]
        assert any(first < entry["seq"] < second for entry in entries if name in entry["item_ids"]), name


def log_of(brand: Brand, platform: str) -> list[Document]:
    """The platform requests of the brand's account, the oldest first."""
    own = set(brand.accounts[platform]["external_ids"].values())
    found: list[Document] = []
    since = 0
    while True:
        parameters: dict[str, str | int] = {"platform": platform, "since": since, "limit": 1_000}
        page = brand.system.http["sandbox"].get("/_sandbox/log", params=parameters).json()
        found += [entry for entry in page["entries"] if entry["account"] in own]
        if not page["entries"]:
            return found
        since = page["next_since"]
