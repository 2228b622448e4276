"""Webhooks of the whole system: what a platform shows, a held connection and an example arrive, signed."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.e2e.system import Brand, System, equal, item, parsed, until
from tests.notify.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """In a loop of its own thread: these tests wait without one."""
    found: Future[Receiver] = Future()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        stopping.set_result(stop := asyncio.Event())
        async with receiving() as receiver:
            found.set_result(receiver)
            await stop.wait()

    stopping: Future[asyncio.Event] = Future()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    yield found.result(10)
    loop.call_soon_threadsafe(stopping.result().set)
    thread.join()
    loop.close()


def test_what_the_platforms_show_is_told_signed(system: System, receiver: Receiver) -> None:
    brand = system.new_brand()
    wanted = {"url": receiver.url, "event_types": ["item.live", "item.invalid", "connection.failed"]}
    endpoint = brand.ok("notify", "POST", "/v1/webhook_endpoints", json=wanted)
    brand.ok(
        "catalog", "POST", "/v1/items:batch", json={"items": [item("mug"), item("bad", title="x" * 400)]}
    )

    def told() -> list[tuple[str, str, str]]:
        payloads = [got.verified_by(endpoint["secret"]) for got in list(receiver.got)]
        return sorted((one["type"], one["data"]["platform"], one["object"]["id"]) for one in payloads)

    until(
        told,
        lambda seen: (
            {("item.live", "meta", "mug"), ("item.live", "pinterest", "mug")} <= set(seen)
            and ("item.invalid", "meta", "bad") in seen
        ),
    )
    account = brand.accounts["meta"]
    expired = {"platform": "meta", "access_token": account["access_token"], "state": "expired"}
    system.http["sandbox"].post("/_sandbox/tokens", json=expired).raise_for_status()
    brand.ok("catalog", "POST", "/v1/offers:batch", json={"items": [{"id": "mug", "price": "11.00 EUR"}]})
    until(told, lambda seen: ("connection.failed", "meta", brand.connections["meta"]) in seen)
    attempts = brand.pages("notify", f"/v1/webhook_endpoints/{endpoint['id']}/attempts")
    assert {one["outcome"] for one in attempts} == {"delivered"}


def test_an_example_by_the_command_line(system: System, brand_b: Brand, receiver: Receiver) -> None:
    wanted = {"url": receiver.url, "event_types": ["removal.held"]}
    endpoint = brand_b.ok("notify", "POST", "/v1/webhook_endpoints", json=wanted)
    ran = system.vitrin(
        *("trigger", "removal.held", "--endpoint", endpoint["id"], "--key", brand_b.key, "--json")
    )
    assert ran.returncode == 0, ran.stderr
    assert [one["state"] for one in parsed(ran)["deliveries"]] == ["delivered"]
    (got,) = receiver.got
    assert got.verified_by(endpoint["secret"]) == json.loads(got.body)
    until(lambda: len(receiver.got), equal(1))
    brand_b.ok("notify", "DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")
