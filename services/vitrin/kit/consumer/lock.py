"""Who reads a group's partitions in the embedded profile."""

from typing import Any

from psycopg import AsyncConnection, Error


class GroupLock:
    """Embedded profile: a session advisory lock on a direct connection says who reads a group's partitions. (A
    group member takes 40 to 60 seconds to come back after a kill on that broker; a lock is free at once.)"""

    def __init__(self, address: str, group: str) -> None:
        self._address = address
        self._group = group
        self._connection: AsyncConnection[Any] | None = None

    async def acquire(self) -> bool:
        """True when we hold it, now or still. psycopg.Error when the database does not answer."""
        if self._connection is not None:
            try:
                await self._connection.execute("select 1")
            except Error:
                await self.release()
                raise
            return True
        connection = await AsyncConnection.connect(self._address, autocommit=True)
        cursor = await connection.execute(
            "select pg_try_advisory_lock(hashtextextended(%s, 0))", (self._group,)
        )
        row = await cursor.fetchone()
        if row is not None and row[0]:
            self._connection = connection
            return True
        await connection.close()
        return False

    async def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
