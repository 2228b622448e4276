"""Stopping and starting a channel, a brand, a platform, the house; what is kept; what an old replica says."""

import asyncio
from typing import Any

from tests.shop_sync.conftest import Connected, Shop, until
from tests.shop_sync.test_kills import kill, started
from vitrin.events import topics
from vitrin.kit.access.outgoing import HOUSE, UNKNOWN, Outgoing, switch_key
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.ids import BrandId
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.events_pb2 import OutgoingChanged
from vitrin.shop_sync.consumers import switching_handler


async def turn(
    shop: Shop, *, stopped: bool, platform: str = "", house: bool = False, version: int | None = None
) -> None:
    """What the consumer of accounts' switches does with one turn."""
    brand = HOUSE if house else shop.brand
    number = version or shop.next_version(f"switch {brand}/{platform}")
    payload = OutgoingChanged(
        brand_id="" if house else str(brand),
        platform=platform,
        version=number,
        stopped=stopped,
        reason="wrong prices",
        actor="key:test",
        changed_at_us=1,
    )
    mine, shop.brand = shop.brand, BrandId(brand)
    message = shop.message(topics.OUTGOING, switch_key(brand, platform), payload)
    shop.brand = mine
    async with shop.database.write([brand]) as tx:
        await switching_handler(shop.switching)(tx, [message])


async def calls(shop: Shop, platform: str = "meta") -> int:
    return len(await shop.log(platform))


async def live(shop: Shop, platform: str = "meta") -> Connected:
    await shop.hear(shop.content("1"), shop.offer("1"))
    connected = await shop.connect(platform)
    async with shop.dispatching():
        await connected.until({"1": "live"})
    return connected


async def changed_while_stopped(shop: Shop, connected: Connected, platform: str = "meta") -> None:
    """A change waits, and nothing is called, however often somebody looks."""
    before = await calls(shop, platform)
    await shop.hear(shop.offer("1", 1999))
    await until(connected.states, {"1": "pending"})

    async def looked() -> bool:
        rows = await shop.rows(
            "select claim_id, due_at > now() + interval '5 s' as later from channel_work"
            " where channel_id = :channel",
            channel=connected.channel_id,
        )
        return bool(rows[0].later) and rows[0].claim_id is None

    await until(looked, True)
    assert await calls(shop, platform) == before


async def price(connected: Connected) -> Any:
    return (await connected.shows())["1"]["fields"]["price"]


async def test_each_switch_stops_and_starts(shop: Shop) -> None:
    meta = await live(shop)
    scopes: list[dict[str, Any]] = [{}, {"platform": "meta"}, {"house": True}]
    for scope in scopes:
        async with shop.dispatching():
            await turn(shop, stopped=True, **scope)
            await changed_while_stopped(shop, meta)
            await turn(shop, stopped=False, **scope)
            await meta.until({"1": "live"})
        assert await price(meta) == "19.99 USD"
        async with shop.dispatching():
            await shop.hear(shop.offer("1", 2499))
            await until(lambda: price(meta), "24.99 USD")
            await meta.until({"1": "live"})


async def test_a_switch_of_another_platform_or_brand_stops_nothing_here(shop: Shop) -> None:
    meta = await live(shop)
    await turn(shop, stopped=True, platform="pinterest")
    mine, shop.brand = shop.brand, BrandId(HOUSE)
    shop.brand = mine
    async with shop.dispatching():
        await shop.hear(shop.offer("1", 1999))
        await until(lambda: price(meta), "19.99 USD")


async def test_what_was_under_way_is_looked_at_after_the_resume(shop: Shop) -> None:
    await shop.hear(shop.content("1"), shop.offer("1"))
    await shop.fault(kind="timeout_after", platform="meta", method="POST", hold_ms=900)
    meta = await shop.connect()
    dispatcher, task = await started(shop)

    async def sent() -> int:
        return len(await meta.shows())

    await until(sent, 1)
    await turn(shop, stopped=True)
    await kill(dispatcher, task)
    before = await calls(shop)
    dispatcher, task = await started(shop)
    await asyncio.sleep(0.5)
    assert await calls(shop) == before
    assert (await meta.states())["1"] in {"sent", "unknown"}
    await turn(shop, stopped=False)
    await meta.until({"1": "live"})
    await kill(dispatcher, task)
    assert len(await shop.sends()) == 1


async def test_an_older_turn_is_no_news(shop: Shop) -> None:
    await turn(shop, stopped=True, version=5)
    await turn(shop, stopped=False, version=4)
    assert not await shop.outgoing.allowed(shop.brand, "meta")


async def test_a_paused_channel_keeps_its_changes(shop: Shop) -> None:
    meta = await live(shop)
    pinterest = await shop.connect("pinterest")
    async with shop.dispatching():
        await pinterest.until({"1": "live"})
        channel, view = await shop.reading.pause(
            shop.brand, meta.channel_id, actor="key:test", reason="new photos", sandbox_only=True
        )
        assert (channel.paused_by, channel.paused_reason, view.stop) == ("key:test", "new photos", None)
        before = await calls(shop)
        await shop.hear(shop.offer("1", 1999))
        await until(lambda: price(pinterest), "19.99 USD")
        await meta.change(market="US")
        await pinterest.until({"1": "live"})
        assert await calls(shop) == before, "a change of the connection resumes nothing"
        assert await meta.states() == {"1": "pending"}
        await shop.reading.resume(shop.brand, meta.channel_id, actor="key:test", sandbox_only=True)
        await meta.until({"1": "live"})
    assert await price(meta) == "19.99 USD"


class Old:
    def __init__(self, age: float) -> None:
        self._age = age

    def age_s(self) -> float:
        return self._age


async def test_an_old_replica_asks_accounts_and_else_keeps_what_it_knew(shop: Shop) -> None:
    nobody = grpc_channel("127.0.0.1:1", "no-token")
    stub = AccessServiceStub(nobody)
    old, never = Outgoing(shop.database, Old(60.0), stub), Outgoing(shop.database, Old(float("inf")), stub)
    assert await old.allowed(shop.brand, "meta")
    assert await never.stop(shop.brand, "meta") == UNKNOWN
    await turn(shop, stopped=True)
    fresh_look = Outgoing(shop.database, Old(60.0), stub)
    stop = await fresh_look.stop(shop.brand, "meta")
    assert stop is not None
    assert (stop.scope, stop.reason, stop.actor) == ("brand", "wrong prices", "key:test")
    await nobody.close()
