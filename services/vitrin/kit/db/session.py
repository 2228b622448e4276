"""One unit of work: a transaction with its brand set, and what a write may do in it."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql
from sqlalchemy import CursorResult, Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from vitrin.events.envelope import RECORD_BYTES_MAX, Event
from vitrin.kit.db.driver import driver_connection
from vitrin.kit.errors import EventTooLarge

Params = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class ReadSession:
    """A read-only transaction. PostgreSQL refuses writes in it, and shows only the brands that were set."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def execute(self, statement: Executable, params: Params = None) -> CursorResult[Any]:
        return await self.connection.execute(statement, params)

    async def all(self, statement: Executable, params: Params = None) -> Sequence[Row[Any]]:
        return (await self.connection.execute(statement, params)).all()

    async def one_or_none(self, statement: Executable, params: Params = None) -> Row[Any] | None:
        return (await self.connection.execute(statement, params)).one_or_none()

    async def scalar(self, statement: Executable, params: Params = None) -> Any:
        return (await self.connection.execute(statement, params)).scalar()


class WriteSession(ReadSession):
    """A writing transaction: state and its events are saved together, at the commit that its opener makes."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.events: list[Event] = []
        self.callbacks: list[Callable[[], None]] = []
        self._copies = 0

    def publish(self, event: Event) -> None:
        """Save the event with this transaction. Take the row lock of its aggregate first: the outbox sequence is
        the order per key only then. Raises EventTooLarge where no record can carry it."""
        if event.record_bytes > RECORD_BYTES_MAX:
            raise EventTooLarge(
                f"{event.type} of {event.key} has {event.record_bytes:,} bytes; {RECORD_BYTES_MAX:,} can be published"
            )
        self.events.append(event)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run in this process once the commit has succeeded. A hint, never the work itself: a crash loses it."""
        self.callbacks.append(callback)

    async def copy_to_temp(
        self, name: str, columns: Mapping[str, str], rows: Iterable[Sequence[object]]
    ) -> str:
        """Binary COPY into a temporary table that ends with the transaction (COPY is refused on tables under
        row-level security). `columns` gives the PostgreSQL type of each; returns the table's name."""
        self._copies += 1
        table = f"{name}_{self._copies}"  # the same names again and again: the statements over them are prepared once
        raw = await driver_connection(self.connection)
        definition = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in columns.items()
        )
        async with raw.cursor() as cursor:
            await cursor.execute(
                sql.SQL("create temporary table {} ({}) on commit drop").format(
                    sql.Identifier(table), definition
                )
            )
            command = sql.SQL("copy {} from stdin (format binary)").format(sql.Identifier(table))
            async with cursor.copy(command) as copy:
                copy.set_types([kind.split("(")[0] for kind in columns.values()])
                for row in rows:
                    await copy.write_row(row)
        return table

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What happens inside is undone alone when it raises, its events with it."""
        events, callbacks = len(self.events), len(self.callbacks)
        try:
            async with self.connection.begin_nested():
                yield
        except BaseException:
            del self.events[events:]
            del self.callbacks[callbacks:]
            raise
