"""A test key never sees or reaches a live connection (ADR 4). The brand has no items, so nobody calls a platform."""

from collections.abc import Iterator

import pytest

from tests.e2e.system import Brand, System, equal, item, problem_of, until

LIVE = {
    "platform": "meta",
    "mode": "live",
    "external_ids": {"catalog_id": "990000000000001"},
    "access_token": "EAALive",
}


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    return system.new_brand()


@pytest.fixture(scope="module")
def live(brand: Brand) -> Iterator[str]:
    """The live connection, once both replicas know that the brand has one."""
    made: str = brand.ok("accounts", "POST", "/v1/connections", json=LIVE)["id"]
    until(lambda: len(brand.ok("shop_sync", "GET", "/v1/channels")["data"]), equal(3))
    for probe in (("catalog", "POST", "/v1/items:batch"), ("shop_sync", "PATCH", f"/v1/channels/{made}")):
        until(lambda probe=probe: tried(brand, *probe), equal("test_key_on_live_brand"))  # type: ignore[misc]
    yield made
    brand.ok("accounts", "DELETE", f"/v1/connections/{made}")


def tried(brand: Brand, service: str, method: str, path: str) -> str:
    """The code that the test key gets for an empty change."""
    return str(brand.call(service, method, path, key=brand.test_key, json={"items": [{}]}).json().get("code"))


def channel_ids(brand: Brand, *, key: str) -> dict[str, str]:
    page = brand.call("shop_sync", "GET", "/v1/channels", key=key).json()["data"]
    return {channel["id"]: channel["mode"] for channel in page}


def test_before_there_is_a_live_connection_a_test_key_writes(brand: Brand) -> None:
    answer = brand.call("catalog", "DELETE", "/v1/items/nothing", key=brand.test_key)
    problem_of(answer, 404, "item_unknown")


def test_it_cannot_make_one(brand: Brand) -> None:
    answer = brand.call("accounts", "POST", "/v1/connections", key=brand.test_key, json=LIVE)
    problem_of(answer, 403, "live_needs_live_key")
    assert {one["mode"] for one in brand.ok("accounts", "GET", "/v1/connections")["data"]} == {"sandbox"}


def test_it_does_not_see_a_live_connection_and_cannot_touch_it(brand: Brand, live: str) -> None:
    before = brand.ok("accounts", "GET", f"/v1/connections/{live}")
    assert before["mode"] == "live"
    seen = brand.call("accounts", "GET", "/v1/connections", key=brand.test_key).json()["data"]
    assert {one["id"] for one in seen} == set(brand.connections.values())
    for method, request in (("GET", {}), ("PATCH", {"json": {"access_token": "mine"}}), ("DELETE", {})):
        answer = brand.call("accounts", method, f"/v1/connections/{live}", key=brand.test_key, **request)
        problem_of(answer, 404, "connection_not_found")
    assert brand.ok("accounts", "GET", f"/v1/connections/{live}") == before


def test_it_does_not_see_the_live_channel(brand: Brand, live: str) -> None:
    (live_channel,) = (name for name, mode in channel_ids(brand, key=brand.key).items() if mode == "live")
    assert set(channel_ids(brand, key=brand.test_key).values()) == {"sandbox"}
    for path in (f"/v1/channels/{live_channel}", f"/v1/channels/{live_channel}/items"):
        assert brand.call("shop_sync", "GET", path).status_code == 200
        assert brand.call("shop_sync", "GET", path, key=brand.test_key).status_code == 404
    body = {"id_template": "{sku}"}
    answer = brand.call("shop_sync", "PATCH", f"/v1/channels/{live_channel}", key=brand.test_key, json=body)
    problem_of(answer, 403, "test_key_on_live_brand")
    assert brand.ok("shop_sync", "GET", f"/v1/channels/{live_channel}")["id_template"] == "{id}"


@pytest.mark.usefixtures("live")
def test_it_cannot_write_a_catalog_that_feeds_a_live_connection(brand: Brand) -> None:
    for method, path, request in (
        ("POST", "/v1/items", {"json": item("x")}),
        ("POST", "/v1/items:batch", {"json": {"items": [item("x")]}}),
        ("POST", "/v1/offers:batch", {"json": {"items": [{"id": "x", "price": "1.00 EUR"}]}}),
        ("POST", "/v1/imports", {"content": "id,title,price\nx,X,1.00 EUR\n"}),
        ("PATCH", "/v1/items/x", {"json": {"title": "X"}}),
        ("DELETE", "/v1/items/x", {}),
    ):
        answer = brand.call("catalog", method, path, key=brand.test_key, **request)
        assert problem_of(answer, 403, "test_key_on_live_brand")["fix"]
    assert brand.catalog() == {}
    assert brand.ok("catalog", "GET", "/v1/imports")["data"] == []
    assert brand.call("catalog", "GET", "/v1/items", key=brand.test_key).json()["data"] == []


def test_it_sees_no_live_key_and_makes_none(brand: Brand) -> None:
    keys = brand.ok("accounts", "GET", "/v1/api-keys")["data"]
    live_key = next(one["id"] for one in keys if one["mode"] == "live")
    seen = brand.call("accounts", "GET", "/v1/api-keys", key=brand.test_key).json()["data"]
    assert {one["mode"] for one in seen} == {"test"}
    for method in ("GET", "DELETE"):
        answer = brand.call("accounts", method, f"/v1/api-keys/{live_key}", key=brand.test_key)
        problem_of(answer, 404, "key_not_found")
    wanted = {"name": "more", "mode": "live"}
    answer = brand.call("accounts", "POST", "/v1/api-keys", key=brand.test_key, json=wanted)
    problem_of(answer, 403, "key_too_powerful")
    assert brand.call("accounts", "GET", "/v1/brands").status_code == 200
