"""PostgreSQL ends the pooled connections (a restart, a failover): the next callers do not get to know of it."""

import asyncio

import psycopg
from sqlalchemy import text

from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.checkout import has_ended
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.embedded.postgres import EmbeddedPostgres

CALLERS = 4


async def backend(database: AppDatabase, together: asyncio.Barrier) -> int:
    """All callers hold a connection at the same time, so that the pool has as many."""
    async with database.lookup() as tx:
        await together.wait()
        return int(await tx.scalar(text("select pg_backend_pid()")))


async def test_ended_connections_are_replaced_unseen(
    accounts_settings: AccountsSettings, embedded_postgres: EmbeddedPostgres
) -> None:
    database = AppDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    together = asyncio.Barrier(CALLERS)
    try:
        before = await asyncio.gather(*(backend(database, together) for _ in range(CALLERS)))
        again = await asyncio.gather(*(backend(database, together) for _ in range(CALLERS)))
        assert set(again) == set(before)
        assert len(set(before)) == CALLERS
        async with await psycopg.AsyncConnection.connect(embedded_postgres.url, autocommit=True) as server:
            for process in before:
                await server.execute("select pg_terminate_backend(%s, 5000)", [process])
        after = await asyncio.gather(*(backend(database, together) for _ in range(CALLERS)))
        assert not set(after) & set(before)
    finally:
        await database.close()


async def test_a_connection_with_something_to_read_has_not_ended(embedded_postgres: EmbeddedPostgres) -> None:
    url = embedded_postgres.url
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as one,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as other,
    ):
        await one.execute("listen of_nobody")
        await other.execute("notify of_nobody")
        assert not has_ended(one)
        assert await (await one.execute("select 1")).fetchone() == (1,)
        await other.execute("select pg_terminate_backend(%s, 5000)", [one.info.backend_pid])
        assert has_ended(one)
        await one.close()
        assert has_ended(one)
