"""The two doors to a service's database: one brand at a time (app), or a batch of brands (worker)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from psycopg import Error as PsycopgError
from psycopg import OperationalError as DriverOperationalError
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vitrin.kit.clock import Clock
from vitrin.kit.db.checkout import replace_dead_connections
from vitrin.kit.db.driver import DriverConnection, Scope, driver_connection, set_scope
from vitrin.kit.db.joining import joined_by_others, session_of
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.db.urls import Role, role_url
from vitrin.kit.ids import BrandId
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.outbox.writer import save_events
from vitrin.kit.settings import DatabaseSettings

POOL_WAIT_S: Final = 10
CONNECTION_AGE_MAX_S: Final = 1800
CONNECTION_STATES: Final = ("08", "57P")
"""SQLSTATE classes of a connection that broke, and of a server that ends or cannot be reached."""


def _engine(url: URL, *, settings: DatabaseSettings, connections_max: int, application: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=POOL_WAIT_S,
        pool_recycle=CONNECTION_AGE_MAX_S,
        connect_args={
            "async_creator_fn": DriverConnection.open,
            "application_name": application,
            "connect_timeout": settings.connect_timeout_s,
            "options": f"-c statement_timeout={settings.statement_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={settings.idle_transaction_timeout_ms}",
        },
    )
    replace_dead_connections(engine)
    return engine


class _Database:
    """Transactions of one role of one service."""

    def __init__(
        self, *, settings: DatabaseSettings, service: str, role: Role, clock: Clock, wake: Wake | None
    ) -> None:
        self.service = service
        self.settings = settings
        self._clock = clock
        self._wake = wake
        connections = settings.app_pool_max if role == "app" else settings.worker_pool_max
        self._engine = _engine(
            role_url(settings, service, role),
            settings=settings,
            connections_max=connections,
            application=f"vitrin-{service}-{role}",
        )

    async def ping(self) -> None:
        """Raises when the database does not answer; for readiness."""
        async with self._read(None, ()) as session:
            await session.execute(text("select 1"))

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _read(self, brand: BrandId | None, brands: Sequence[BrandId]) -> AsyncIterator[ReadSession]:
        async with self._engine.connect() as connection, connection.begin():
            await set_scope(connection, Scope(brand, brands, read_only=True))
            yield ReadSession(connection)

    @asynccontextmanager
    async def _write(self, brand: BrandId | None, brands: Sequence[BrandId]) -> AsyncIterator[WriteSession]:
        async with self._engine.connect() as connection:
            try:
                async with connection.begin():
                    await set_scope(connection, Scope(brand, brands, read_only=False))
                    session = WriteSession(connection)
                    yield session
                    if session.events:
                        await self._save_events_and_commit(connection, session)
            except PsycopgError as error:
                raise _as_sqlalchemy(error) from error
            for callback in session.callbacks:
                callback()
            if session.events and self._wake is not None:
                self._wake.committed()

    async def _save_events_and_commit(self, connection: AsyncConnection, session: WriteSession) -> None:
        """In one round trip: the events are the last thing before the commit, and nothing waits for their answer.
        What the server says of them comes with the commit, which then has not happened. (The commit that SQLAlchemy
        makes of the ended transaction sends nothing.)"""
        notify = self._wake is not None and self._wake.should_notify()
        driver = await driver_connection(connection)
        try:
            async with driver.pipeline():
                await save_events(driver, session.events, created_at=self._clock(), notify=notify)
                await driver.execute("commit")
        except BaseException:
            # Whether the transaction has ended is not known: the relay looks in any case, another process is told with
            # the next commit, and the connection must not go back into the pool.
            if self._wake is not None:
                self._wake.committed()
                if notify:
                    self._wake.not_notified()
            await connection.invalidate()
            raise


def _as_sqlalchemy(error: PsycopgError) -> Exception:
    """A pipeline and a COPY raise the driver's own errors, which nobody above knows: a database that went away in them
    would be a fault of ours (500), and the victim of a deadlock would not be repeated."""
    state = error.sqlstate or ""
    died = isinstance(error, DriverOperationalError) and (not state or state.startswith(CONNECTION_STATES))
    translated = DBAPIError.instance(None, None, error, PsycopgError, connection_invalidated=died)
    assert isinstance(translated, DBAPIError)
    return translated


class AppDatabase(_Database):
    """Role app: every transaction belongs to exactly one brand, and row-level security holds it to that."""

    def __init__(
        self, *, settings: DatabaseSettings, service: str, clock: Clock, wake: Wake | None = None
    ) -> None:
        super().__init__(settings=settings, service=service, role="app", clock=clock, wake=wake)

    @asynccontextmanager
    async def read(self, brand: BrandId) -> AsyncIterator[ReadSession]:
        whole = session_of(self, brand)
        if whole is not None:
            yield whole
            return
        async with self._read(brand, ()) as session:
            yield session

    @asynccontextmanager
    async def write(self, brand: BrandId) -> AsyncIterator[WriteSession]:
        """Committed on a clean exit, before the caller answers; rolled back on an exception. Inside `whole` it is a
        savepoint of that."""
        whole = session_of(self, brand)
        if whole is not None:
            try:
                async with whole.savepoint():
                    yield whole
            except PsycopgError as error:
                raise _as_sqlalchemy(error) from error
            return
        async with self._write(brand, ()) as session:
            yield session

    @asynccontextmanager
    async def whole(self, brand: BrandId) -> AsyncIterator[WriteSession]:
        """One transaction, which every `read` and `write` of this brand joins that the block awaits."""
        async with self._write(brand, ()) as session:
            with joined_by_others(self, brand, session):
                yield session

    @asynccontextmanager
    async def lookup(self) -> AsyncIterator[ReadSession]:
        """No brand: shows only tables with a policy of their own for it, such as the one that finds a key."""
        async with self._read(None, ()) as session:
            yield session


class WorkerDatabase(_Database):
    """Role worker: a transaction names the brands of its batch; without brands it sees work queues only."""

    def __init__(
        self, *, settings: DatabaseSettings, service: str, clock: Clock, wake: Wake | None = None
    ) -> None:
        super().__init__(settings=settings, service=service, role="worker", clock=clock, wake=wake)

    @asynccontextmanager
    async def read(self, brands: Sequence[BrandId] | None = None) -> AsyncIterator[ReadSession]:
        async with self._read(None, brands or ()) as session:
            yield session

    @asynccontextmanager
    async def write(self, brands: Sequence[BrandId] | None = None) -> AsyncIterator[WriteSession]:
        async with self._write(None, brands or ()) as session:
            yield session
