"""The outbox on a database: a commit that fails wakes nobody for nothing, a long statement is let go on."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.spine import SERVICE, changed, database_settings, install
from vitrin.events import topics
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.kit.outbox import store
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.settings import DatabaseSettings


@pytest.fixture
def database(postgres_url: str) -> DatabaseSettings:
    settings = database_settings(postgres_url, hints=False)
    install(settings)
    return settings


async def test_a_commit_that_fails_gives_its_notify_back_and_has_the_relay_look(
    database: DatabaseSettings,
) -> None:
    wake = Wake(relay_is_here=False)
    app = AppDatabase(settings=database, service=SERVICE, clock=system_clock, wake=wake)

    async def of_another_brand() -> None:
        async with app.write(BrandId(uuid4())) as tx:
            tx.publish(changed(uuid4(), "thing", 1, system_clock()))

    with pytest.raises(DBAPIError, match="row-level security"):
        await of_another_brand()
    assert wake.event.is_set()
    assert wake._last_notify_s == float("-inf")
    assert wake.should_notify()
    assert not Wake(relay_is_here=True).should_notify()
    await app.close()


async def test_sending_again_may_take_longer_than_other_statements(database: DatabaseSettings) -> None:
    worker = WorkerDatabase(settings=database, service=SERVICE, clock=system_clock)
    now = system_clock()
    async with worker.write() as tx:
        again = await store.send_again(tx, shard=1, topic=topics.ITEM, topic_id=uuid4(), after=None, now=now)
        assert again == 0
        assert await tx.scalar(text("show statement_timeout")) == "0"
    async with worker.read() as session:
        assert await session.scalar(text("show statement_timeout")) != "0"
    await worker.close()
