"""A connection that ended while it lay in the pool is noticed when it is taken out, without a round trip."""

import select
from typing import Any, Final

from psycopg import AsyncConnection as PsycopgConnection
from psycopg import OperationalError
from psycopg.pq import ConnStatus
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

READS_MAX: Final = 8
"""A server that goes away says so first, then closes: what it says is read before the end can be seen."""


def replace_dead_connections(engine: AsyncEngine) -> None:
    """After a restart of PostgreSQL each caller gets a fresh connection instead of one "terminating connection".

    A server that went away without a word (a cut cable) is not noticed: the statement on it fails.
    """
    event.listen(engine.sync_engine, "checkout", _refuse_dead)


def _refuse_dead(dbapi_connection: Any, record: object, proxy: object) -> None:
    driver: PsycopgConnection[Any] = dbapi_connection.driver_connection
    if has_ended(driver):
        raise DisconnectionError("the server closed the connection while it was idle")


def has_ended(driver: PsycopgConnection[Any]) -> bool:
    """Whether an idle connection is closed on either side. What else the server said meanwhile is left to libpq."""
    wire = driver.pgconn
    if driver.closed or wire.status != ConnStatus.OK:
        return True
    waiting = select.poll()
    waiting.register(wire.socket, select.POLLIN)
    for _ in range(READS_MAX):
        if not waiting.poll(0):
            return False
        try:
            wire.consume_input()
        except OperationalError:
            return True
        if wire.status != ConnStatus.OK:
            return True
    return False
