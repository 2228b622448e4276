"""One transaction around several: what a task opens for the same brand of the same database joins it.

For a caller that has to save something with the work of a use case which opens its transactions itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId


@dataclass(frozen=True, slots=True)
class _Whole:
    database: object
    brand: BrandId
    session: WriteSession


_WHOLE: Final[ContextVar[_Whole | None]] = ContextVar("vitrin_whole_transaction", default=None)


@contextmanager
def joined_by_others(database: object, brand: BrandId, session: WriteSession) -> Iterator[None]:
    """A transaction is one connection: nothing in the block may use it from two tasks at once."""
    reset = _WHOLE.set(_Whole(database, brand, session))
    try:
        yield
    finally:
        _WHOLE.reset(reset)


def session_of(database: object, brand: BrandId) -> WriteSession | None:
    """The transaction to join; None where there is none for this brand of this database."""
    whole = _WHOLE.get()
    if whole is None or whole.database is not database or whole.brand != brand:
        return None
    return whole.session


def inside_whole() -> bool:
    """Whether the task is in somebody's whole transaction, of whatever database."""
    return _WHOLE.get() is not None
