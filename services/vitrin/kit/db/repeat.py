"""A transaction that PostgreSQL chose as the victim of a deadlock is simply done again: it left nothing behind."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from vitrin.kit.db.joining import inside_whole

TRIES_MAX: Final = 5
DEADLOCK: Final = "40P01"
SERIALIZATION: Final = "40001"
T = TypeVar("T")


async def repeated(transaction: Callable[[], Awaitable[T]]) -> T:
    """`transaction` opens, does and commits one transaction; what it answers is of the last try. Raises DBAPIError.

    Inside a whole transaction nothing is repeated: its other locks are part of the deadlock, and only giving up all of
    them ends it. Whoever opened it repeats it.
    """
    if inside_whole():
        return await transaction()
    for left in reversed(range(TRIES_MAX)):
        try:
            return await transaction()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in {DEADLOCK, SERIALIZATION} or left == 0:
                raise
    raise AssertionError("the last try returns or raises")
