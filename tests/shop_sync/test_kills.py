"""A worker that dies between sending and storing, two workers at once, and a claim that runs out."""

import asyncio

from tests.shop_sync.conftest import Shop, until
from vitrin.shop_sync.service.dispatcher import Dispatcher


async def started(shop: Shop, name: str = "shop_sync-0") -> tuple[Dispatcher, "asyncio.Task[None]"]:
    worker = shop.fresh_worker(name)
    return worker.dispatcher, asyncio.create_task(worker.dispatcher.run(asyncio.Event()))


async def kill(dispatcher: Dispatcher, task: "asyncio.Task[None]") -> None:
    """Nothing is stored or given back any more, as after a SIGKILL: the sessions go first."""
    sessions = dispatcher.tasks()
    for session in sessions:
        session.cancel()
    await asyncio.gather(*sessions, return_exceptions=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_killed_after_the_platform_did_the_work(shop: Shop) -> None:
    await shop.hear(shop.content("1"), shop.offer("1"))
    await shop.fault(kind="timeout_after", platform="meta", method="POST", hold_ms=900)
    meta = await shop.connect()
    dispatcher, task = await started(shop)

    async def sent() -> int:
        return len(await meta.shows())

    await until(sent, 1)
    await kill(dispatcher, task)
    assert await meta.states() == {"1": "sent"}
    dispatcher, task = await started(shop)
    await meta.until({"1": "live"})

    async def attempts() -> int:
        return len(await shop.rows("select 1 from attempts where brand_id = :brand"))

    await until(attempts, 0)  # ended by a transaction of its own, after the item's
    await kill(dispatcher, task)
    assert len(await shop.sends()) == 1
    steps = await shop.rows("select step from timeline where brand_id = :brand order by at, id")
    assert [row.step for row in steps] == ["pending", "sent", "unknown", "live"]


async def test_killed_before_the_platform_did_the_work(shop: Shop) -> None:
    await shop.hear(shop.content("1"), shop.offer("1"))
    await shop.fault(kind="timeout_before", platform="meta", method="POST", hold_ms=900)
    meta = await shop.connect()
    dispatcher, task = await started(shop)
    await meta.until({"1": "sent"})
    await kill(dispatcher, task)
    dispatcher, task = await started(shop)
    await meta.until({"1": "live"})
    await kill(dispatcher, task)
    assert sorted(await meta.shows()) == ["1"]


async def test_two_workers_share_the_work_and_double_nothing(shop: Shop) -> None:
    names = [f"{number:02}" for number in range(40)]
    await shop.hear(*[shop.content(name) for name in names], *[shop.offer(name) for name in names])
    first, first_task = await started(shop, "shop_sync-0")
    second, second_task = await started(shop, "shop_sync-1")
    meta, pinterest = await shop.connect("meta"), await shop.connect("pinterest")
    for turn in range(5):
        await shop.hear(*[shop.offer(name, 2000 + turn) for name in names])
    await meta.until(dict.fromkeys(names, "live"))
    await pinterest.until(dict.fromkeys(names, "live"))
    await kill(first, first_task)
    await kill(second, second_task)
    prices = {item["fields"]["price"] for item in (await meta.shows()).values()}
    assert prices == {"20.04 USD"}
    overlaps = await shop.rows(
        "select item_id, channel_id, step, lag(step) over (partition by channel_id, item_id order by at, id) as before"
        " from timeline where brand_id = :brand"
    )
    assert [row for row in overlaps if row.step == "sent" and row.before == "sent"] == []
