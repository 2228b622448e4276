"""Pause and resume from the command line, through accounts, Kafka and shop_sync: nothing goes out, nothing is lost."""

import pytest

from tests.e2e.system import Brand, System, equal, item, parsed, until


def halted(brand: Brand, platform: str) -> str | None:
    channels = brand.ok("shop_sync", "GET", "/v1/channels")["data"]
    halt = next(one["halted"] for one in channels if one["platform"] == platform)
    return halt["scope"] if halt else None


def reasons(brand: Brand, platform: str) -> list[str]:
    timeline = brand.ok("shop_sync", "GET", "/v1/items/mug/timeline")
    (channel,) = [one for one in timeline["channels"] if one["platform"] == platform]
    return [reason["code"] for reason in channel["reasons"]]


def price(brand: Brand) -> object:
    return brand.shown("meta")[0]["fields"]["price"]


@pytest.mark.parametrize("scope", ["channel", "platform", "brand", "house"])
def test_stop_and_go(system: System, scope: str) -> None:
    brand = system.new_brand()
    brand.ok("catalog", "POST", "/v1/items", json=item("mug"))
    until(brand.counts, equal({"meta": {"live": 1}, "pinterest": {"live": 1}}))
    channels = brand.ok("shop_sync", "GET", "/v1/channels")["data"]
    meta = next(one["id"] for one in channels if one["platform"] == "meta")
    option = {
        "channel": ["--channel", meta],
        "platform": ["--platform", "meta"],
        "brand": ["--brand"],
        "house": ["--house"],
    }[scope]
    paused = system.vitrin("pause", *option, "--reason", "wrong prices", "--json", VITRIN_API_KEY=brand.key)
    assert paused.returncode == 0, paused.stderr
    assert parsed(paused)
    try:
        until(lambda: halted(brand, "meta"), equal(scope))
        brand.ok("catalog", "POST", "/v1/offers:batch", json={"items": [{"id": "mug", "price": "12.00 EUR"}]})
        code = "channel_paused" if scope == "channel" else "outgoing_stopped"
        until(lambda: reasons(brand, "meta")[:1], equal([code]))
        assert price(brand) == "10.00 EUR"
        status = parsed(system.vitrin("status", "--json", VITRIN_API_KEY=brand.key))
        shown = next(one for one in status["channels"] if one["id"] == meta)
        assert (shown["halted"]["scope"], shown["stuck"]) == (scope, 0)
    finally:
        resumed = system.vitrin("resume", *option, VITRIN_API_KEY=brand.key)
    assert resumed.returncode == 0, resumed.stderr
    until(lambda: price(brand), equal("12.00 EUR"))
    until(brand.counts, equal({"meta": {"live": 1}, "pinterest": {"live": 1}}))
    assert halted(brand, "meta") is None
