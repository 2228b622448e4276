"""The psycopg connection beneath a session: it opens each transaction in the trip of the first statement.

To wait for BEGIN, and then for the scope, would cost two trips to the server in every transaction, more than most
statements that follow.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from psycopg import AsyncConnection, AsyncCursor, InterfaceError
from psycopg.pq import PipelineStatus
from sqlalchemy.ext.asyncio import AsyncConnection as SqlalchemyConnection

from vitrin.kit.ids import BrandId

_NOTHING: Final = nullcontext()
_SCOPE: Final = "select set_config('app.brand', %s, true), set_config('app.brands', %s, true)"
_SCOPE_READ: Final = f"{_SCOPE}, set_config('transaction_read_only', 'on', true)"


@dataclass(frozen=True, slots=True)
class Scope:
    """First statement of every transaction: whose rows it may see. Local to the transaction, so that a pooled
    connection carries nothing over."""

    brand: BrandId | None
    brands: Sequence[BrandId]
    read_only: bool

    async def begin(self, cursor: AsyncCursor[Any]) -> None:
        await cursor.execute("begin")
        await cursor.execute(
            _SCOPE_READ if self.read_only else _SCOPE,
            (str(self.brand) if self.brand else "", "{" + ",".join(map(str, self.brands)) + "}"),
        )


class DriverConnection(AsyncConnection[Any]):
    """In autocommit mode to the driver: it is the cursor that begins, once there is something to send."""

    unopened: Scope | None = None
    """Scope of a transaction of which nothing has been sent yet."""

    @classmethod
    async def open(cls, conninfo: str = "", **options: Any) -> Self:
        return await cls.connect(conninfo, autocommit=True, cursor_factory=ScopedCursor, **options)


class ScopedCursor(AsyncCursor[Any]):
    """What is wrong with the first statement is raised by it, as ever: its pipeline ends before it returns."""

    async def execute(self, *statement: Any, **options: Any) -> Self:
        async with self._opened():
            return await super().execute(*statement, **options)

    async def executemany(self, *statement: Any, **options: Any) -> None:
        async with self._opened():
            await super().executemany(*statement, **options)

    def copy(self, *statement: Any, **options: Any) -> Any:
        if self._driver.unopened is not None:
            raise InterfaceError(
                "COPY cannot open a transaction: it goes into no pipeline. Execute a statement first"
            )
        return super().copy(*statement, **options)

    @property
    def _driver(self) -> DriverConnection:
        return cast(DriverConnection, self.connection)

    def _opened(self) -> AbstractAsyncContextManager[None]:
        return _NOTHING if self._driver.unopened is None else self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        driver = self._driver
        scope, driver.unopened = driver.unopened, None
        assert scope is not None
        piped = driver.pgconn.pipeline_status == PipelineStatus.ON
        async with _NOTHING if piped else driver.pipeline():
            await scope.begin(driver.cursor())
            yield


async def driver_connection(connection: SqlalchemyConnection) -> DriverConnection:
    """The psycopg connection beneath, in the same transaction: for what SQLAlchemy has no words for."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, DriverConnection)
    return driver


async def set_scope(connection: SqlalchemyConnection, scope: Scope) -> None:
    """Of every transaction, before its first statement."""
    (await driver_connection(connection)).unopened = scope
