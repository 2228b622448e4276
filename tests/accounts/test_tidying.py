"""What nobody asks for any more goes by itself: ended invitations, begun consents, old jobs of the plumbing."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import text

from tests.accounts.conftest import MovingClock, Shop
from vitrin.accounts.settings import AccountsSettings
from vitrin.accounts.tidying import Tidying
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.sweeping import sweep
from vitrin.kit.ids import BrandId


async def test_invitations_and_consents_go_without_another_one(
    shop: Shop, database: AppDatabase, accounts_settings: AccountsSettings, clock: MovingClock
) -> None:
    await shop.call("POST", "/v1/invitations", {"email": "ada@a.example", "role": "viewer"})
    begun = {"platform": "meta", "mode": "sandbox"}
    assert (await shop.call("POST", "/v1/connections:authorize", begun)).is_success
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    tidying = Tidying(worker, database, clock)
    await tidying.round(asyncio.Event())
    assert len((await shop.call("GET", "/v1/invitations")).json()["data"]) == 1
    clock.ahead = timedelta(days=38)
    await tidying.round(asyncio.Event())
    assert (await shop.call("GET", "/v1/invitations")).json()["data"] == []
    async with database.read(BrandId(UUID(shop.id))) as session:
        assert await session.scalar(text("select count(*) from oauth_attempts")) == 0
    await worker.close()


async def test_jobs_that_are_long_over_go(accounts_settings: AccountsSettings) -> None:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    now, ids = system_clock(), {days: uuid4() for days in (1, 91)}
    async with worker.write() as tx:
        for days, job in ids.items():
            await tx.execute(
                text(
                    "insert into republish_jobs (id, topic, reason, state, created_at, updated_at, finished_at)"
                    " values (:id, 't', 'asked', 'done', :at, :at, :at)"
                ),
                {"id": job, "at": now - timedelta(days=days)},
            )
        await sweep(tx, now)
        left = await tx.all(text("select id from republish_jobs where topic = 't'"))
        await tx.execute(text("delete from republish_jobs where topic = 't'"))
    assert [row.id for row in left] == [ids[1]]
    await worker.close()
