"""What does not move is found, told with its reason, and set going again where that is safe."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.protos.kit.v1.attention_pb2 import Attention, AttentionState
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch
from vitrin.shop_sync.domain.stuck import Cause, Finding, Kind, Standing, findings, stuck
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.watchdog import Watchdog

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AFTER = timedelta(minutes=15)


def standing(**values: object) -> Standing:
    base: dict[str, object] = {
        "brand_id": BrandId(uuid4()),
        "channel_id": ChannelId(uuid4()),
        "platform": "meta",
        "may_work": True,
        "due_at": NOW - AFTER * 2,
        "send_after": None,
        "failures": 0,
        "claimed": False,
        "claimed_until": None,
        "last_call_at": None,
        **dict.fromkeys(("items", "flights", "suspects", "looks", "attempts"), 0),
    }
    return Standing(**(base | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"items": 3}, [(Kind.ITEM, Cause.UNCLAIMED, 3)]),
        ({"items": 3, "may_work": False}, []),
        ({"items": 3, "due_at": None}, [(Kind.ITEM, Cause.NOT_DUE, 3)]),
        ({"items": 3, "failures": 2}, [(Kind.ITEM, Cause.PLATFORM, 3)]),
        ({"items": 3, "send_after": NOW}, [(Kind.ITEM, Cause.QUEUED, 3)]),
        ({"items": 3, "last_call_at": NOW}, [(Kind.ITEM, Cause.QUEUED, 3)]),
        ({"items": 3, "send_after": NOW - AFTER}, [(Kind.ITEM, Cause.QUEUED, 3)]),
        ({"items": 3, "send_after": NOW - AFTER * 2}, [(Kind.ITEM, Cause.UNCLAIMED, 3)]),
        ({"items": 3, "last_call_at": NOW - AFTER}, [(Kind.ITEM, Cause.QUEUED, 3)]),
        ({"items": 3, "last_call_at": NOW - AFTER * 2}, [(Kind.ITEM, Cause.UNCLAIMED, 3)]),
        ({"claimed": True, "claimed_until": NOW - AFTER}, []),
        ({"items": 3, "claimed": True, "claimed_until": NOW + AFTER}, [(Kind.ITEM, Cause.SILENT, 3)]),
        (
            {"items": 3, "due_at": None, "claimed": True, "claimed_until": NOW + AFTER},
            [(Kind.ITEM, Cause.SILENT, 3)],
        ),
        ({"items": 3, "claimed": True, "claimed_until": NOW}, [(Kind.ITEM, Cause.SILENT, 3)]),
        ({"claimed": True, "claimed_until": NOW - AFTER * 2}, [(Kind.CLAIM, Cause.LOST, 1)]),
        ({"flights": 2, "suspects": 1}, [(Kind.FLIGHT, Cause.LOST, 2), (Kind.SUSPECT, Cause.LOST, 1)]),
        (
            {"looks": 1, "attempts": 1, "due_at": None},
            [(Kind.LOOK, Cause.NOT_DUE, 1), (Kind.ATTEMPT, Cause.NOT_DUE, 1)],
        ),
    ],
)
def test_why_it_does_not_move(values: dict[str, object], expected: list[tuple[Kind, Cause, int]]) -> None:
    found = findings(standing(**values), now=NOW, after=AFTER, stopped=False)
    assert [(one.kind, one.cause, one.count) for one in found] == expected
    assert findings(standing(**values), now=NOW, after=AFTER, stopped=True) == []
    explained = {Cause.PLATFORM, Cause.QUEUED}
    assert stuck(found) == sum(count for _, cause, count in expected if cause not in explained)


def watchdog(shop: Shop) -> Watchdog:
    outcomes = Outcomes(
        database=shop.database,
        desires=Desires(shop.catalogs),
        clock=system_clock,
        look_first=timedelta(milliseconds=100),
    )
    return Watchdog(
        database=shop.database,
        outcomes=outcomes,
        waker=shop.waker,
        clock=system_clock,
        after=timedelta(minutes=15),
    )


async def live(shop: Shop, *items: str) -> Connected:
    for name in items:
        await shop.hear(shop.content(name), shop.offer(name))
    connected = await shop.connect()
    async with shop.dispatching():
        await connected.until(dict.fromkeys(items, "live"))
    return connected


async def break_it(shop: Shop, statement: str, connected: Connected) -> None:
    async with shop.database.write([shop.brand]) as tx:
        await tx.execute(text(statement), {"channel": connected.channel_id, "lost": uuid4()})


async def mine(shop: Shop, connected: Connected) -> list[tuple[Kind, Cause, int]]:
    found: list[Finding] = await watchdog(shop).sweep()
    return [(one.kind, one.cause, one.count) for one in found if one.channel_id == connected.channel_id]


async def test_a_due_time_that_got_lost(shop: Shop) -> None:
    meta = await live(shop, "1")
    await shop.hear(shop.offer("1", 1999))
    await break_it(shop, "update channel_work set due_at = null where channel_id = :channel", meta)
    await break_it(
        shop,
        "update channel_items set pending_at = now() - interval '20 min' where channel_id = :channel",
        meta,
    )
    _, view = await shop.reading.channel(shop.brand, meta.channel_id, sandbox_only=True)
    assert view.stuck == 1
    assert await mine(shop, meta) == [(Kind.ITEM, Cause.NOT_DUE, 1)]
    async with shop.dispatching():
        await meta.until({"1": "live"})
    assert await mine(shop, meta) == []


async def test_a_channel_that_nobody_works_on_is_said_to_its_brand_once(shop: Shop) -> None:
    meta = await live(shop, "1")
    await shop.hear(shop.offer("1", 1999))
    stand_still = (
        "update channel_items set pending_at = now() - interval '20 min' where channel_id = :channel",
        "update channel_work set due_at = now() - interval '20 min', send_after = null where channel_id = :channel",
        "update attempts set created_at = now() - interval '30 min' where channel_id = :channel",
    )
    for statement in stand_still:
        await break_it(shop, statement, meta)

    async def said() -> list[Attention]:
        rows = await shop.rows(
            "select payload from outbox where brand_id = :brand and topic = 'shop_sync.attention.v1' order by id"
        )
        batches = [OutboxBatch.FromString(bytes(row.payload)) for row in rows]
        return [Attention.FromString(event.payload) for batch in batches for event in batch.events]

    assert await said() == []
    for _ in range(2):
        assert (Kind.ITEM, Cause.UNCLAIMED, 1) in await mine(shop, meta)
        (opened,) = await said()
    assert (opened.kind, opened.cause) == ("channel.stuck", str(meta.channel_id))
    assert opened.title == "Changes for Meta have not moved for more than 15 minutes"
    async with shop.dispatching():
        await meta.until({"1": "live"})
    await watchdog(shop).sweep()
    assert [one.state for one in await said()] == [
        AttentionState.ATTENTION_STATE_OPEN,
        AttentionState.ATTENTION_STATE_RESOLVED,
    ]


async def test_a_claim_that_nobody_took_again(shop: Shop) -> None:
    meta = await live(shop, "1")
    await break_it(
        shop,
        "update channel_work set claim_id = gen_random_uuid(), claimed_by = 'gone', due_at = null,"
        " claimed_until = now() - interval '20 min' where channel_id = :channel",
        meta,
    )
    assert await mine(shop, meta) == [(Kind.CLAIM, Cause.LOST, 1)]
    assert await mine(shop, meta) == []


async def test_items_in_flight_with_a_call_that_nobody_knows_are_looked_at(shop: Shop) -> None:
    meta = await live(shop, "1", "2")
    before = len(await shop.sends())
    await break_it(
        shop,
        "update channel_items set attempt_id = :lost, flight = confirmed, state = 'sent', updated_at ="
        " now() - interval '20 min' where channel_id = :channel",
        meta,
    )
    assert await mine(shop, meta) == [(Kind.FLIGHT, Cause.LOST, 2)]
    async with shop.dispatching():
        await meta.until({"1": "live", "2": "live"})
    assert len(await shop.sends()) == before, "a look found them there"


async def test_suspects_without_a_hunt_are_released(shop: Shop) -> None:
    meta = await live(shop, "1")
    await shop.hear(shop.offer("1", 1999))
    await break_it(
        shop,
        "update channel_items set lane = 3, hunt_id = :lost, pending_at = now() - interval '20 min'"
        " where channel_id = :channel",
        meta,
    )
    kinds = {kind for kind, _, _ in await mine(shop, meta)}
    assert Kind.SUSPECT in kinds
    async with shop.dispatching():
        await meta.until({"1": "live"})


async def test_what_stands_still_on_purpose_is_not_stuck(shop: Shop) -> None:
    meta = await live(shop, "1")
    await shop.reading.pause(shop.brand, meta.channel_id, actor="key:test", reason="", sandbox_only=True)
    await shop.hear(shop.offer("1", 1999))
    await break_it(
        shop,
        "update channel_items set pending_at = now() - interval '20 min' where channel_id = :channel",
        meta,
    )

    async def state() -> dict[str, str]:
        return await meta.states()

    await until(state, {"1": "pending"})
    assert await mine(shop, meta) == []
