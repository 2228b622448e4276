"""LISTEN on a direct connection, woken by its socket. (psycopg's own generator looks ten times a second: 0.4 % of a
core for each listener of an idle house.)"""

import asyncio
from collections.abc import AsyncIterator

from psycopg import AsyncConnection, sql


async def notifications(address: str, channel: str) -> AsyncIterator[str | None]:
    """None once the connection listens (what came before was missed: look yourself), then each payload.

    psycopg.Error when the connection is lost; ask again for a new one.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    async with await AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        descriptor = connection.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            yield None
            while True:
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    yield notice.extra.decode()
                await readable.wait()
                readable.clear()
        finally:
            loop.remove_reader(descriptor)
