"""A connection to a platform that this release does not know waits; the brand's others do not."""

import pytest

from tests.shop_sync.conftest import Shop
from vitrin.events import topics
from vitrin.events.envelope import Message, TryLater
from vitrin.kit.consumer.handling import all_or_one_by_one
from vitrin.kit.ids import new_uuid
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.consumers import connection_handler


def connection(shop: Shop, platform: str) -> Message:
    named = str(new_uuid())
    changed = ConnectionChanged(
        connection_id=named,
        brand_id=str(shop.brand),
        version=1,
        platform=platform,
        mode=ConnectionMode.CONNECTION_MODE_SANDBOX,
        base_url="http://127.0.0.1:1",
        external_ids={"catalog_id": "1"},
        state="active",
        market="US",
        language="en",
        id_template="{id}",
        currency="USD",
    )
    return shop.message(topics.CONNECTION, named, changed)


async def channels(shop: Shop) -> list[str]:
    found = await shop.rows(
        "select connection_id from channels where brand_id = :brand order by connection_id"
    )
    return [str(row.connection_id) for row in found]


async def test_it_is_named_and_nothing_is_done(shop: Shop) -> None:
    known, unknown = connection(shop, "meta"), connection(shop, "orkut")
    with pytest.raises(TryLater, match="this release does not know the platform 'orkut'") as raised:
        async with shop.database.write([shop.brand]) as tx:
            await connection_handler(shop.worker.connections)(tx, [known, unknown])
    assert raised.value.messages == (unknown,)
    assert await channels(shop) == []


async def test_the_others_are_done(shop: Shop) -> None:
    batch = [connection(shop, name) for name in ("orkut", "meta", "friendster", "pinterest")]
    async with shop.database.write([shop.brand]) as tx:
        handler = connection_handler(shop.worker.connections)
        found = await all_or_one_by_one(tx, handler, batch, group="shop_sync.connections")
    assert found.done == [batch[1], batch[3]]
    assert [message for message, _ in found.later] == [batch[0], batch[2]]
    assert [reason for _, reason in found.later] == [
        "this release does not know the platform 'orkut'",
        "this release does not know the platform 'friendster'",
    ]
    assert await channels(shop) == sorted(message.key for message in found.done)
