"""The psycopg connection beneath a session: BEGIN and the scope go out together, before the first statement.

To wait for each of them would be a trip to the server of its own in every transaction. (In a pipeline with the first
statement they would cost none, but the Flush with which psycopg ends a pipeline makes PostgreSQL forget the time-out of
idle transactions until the next statement; only who opens a pipeline himself gets that.)
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from psycopg import AsyncConnection, AsyncCopy, AsyncCursor
from psycopg.pq import PipelineStatus
from sqlalchemy.ext.asyncio import AsyncConnection as SqlalchemyConnection

from vitrin.kit.ids import BrandId

_READ_ONLY: Final = ", set_config('transaction_read_only', 'on', true)"


@dataclass(frozen=True, slots=True)
class Scope:
    """First statement of every transaction: whose rows it may see. Local to the transaction, so that a pooled
    connection carries nothing over."""

    brand: BrandId | None
    brands: Sequence[BrandId]
    read_only: bool

    def statement(self) -> str:
        """Literals, since parameters would need a trip of their own; `hex` is what only a UUID has."""
        brand = self.brand.hex if self.brand else ""
        brands = ",".join(brand.hex for brand in self.brands)
        return (
            f"select set_config('app.brand', '{brand}', true), set_config('app.brands', '{{{brands}}}', true)"
            f"{_READ_ONLY if self.read_only else ''}"
        )


class DriverConnection(AsyncConnection[Any]):
    """In autocommit mode to the driver: it is the cursor that begins, once there is something to send."""

    unopened: Scope | None = None
    """Scope of a transaction of which nothing has been sent yet."""

    @classmethod
    async def open(cls, conninfo: str = "", **options: Any) -> Self:
        return await cls.connect(conninfo, autocommit=True, cursor_factory=ScopedCursor, **options)

    async def begin(self) -> None:
        """Once per transaction. Where it fails, no statement follows."""
        if self.unopened is None:
            return
        statements = ["begin", self.unopened.statement()]
        if self.pgconn.pipeline_status == PipelineStatus.OFF:
            statements = ["; ".join(statements)]
        for statement in statements:
            await AsyncCursor(self).execute(statement, prepare=False)
        self.unopened = None


class ScopedCursor(AsyncCursor[Any]):
    async def execute(self, *statement: Any, **options: Any) -> Self:
        await self._begin()
        return await super().execute(*statement, **options)

    async def executemany(self, *statement: Any, **options: Any) -> None:
        await self._begin()
        await super().executemany(*statement, **options)

    @asynccontextmanager
    async def copy(self, *statement: Any, **options: Any) -> AsyncIterator[AsyncCopy]:
        await self._begin()
        async with super().copy(*statement, **options) as copy:
            yield copy

    async def _begin(self) -> None:
        await cast(DriverConnection, self.connection).begin()


async def driver_connection(connection: SqlalchemyConnection) -> DriverConnection:
    """The psycopg connection beneath, in the same transaction: for what SQLAlchemy has no words for."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, DriverConnection)
    return driver


async def set_scope(connection: SqlalchemyConnection, scope: Scope) -> None:
    """Of every transaction, before its first statement."""
    (await driver_connection(connection)).unopened = scope
