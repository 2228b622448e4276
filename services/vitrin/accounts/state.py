"""The whole state of brands, keys and connections, as their changes publish it; deleted connections too.

Runs under the worker role, which sees no token of a connection.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from vitrin.accounts import repository
from vitrin.accounts.events import api_key_changed, brand_changed, connection_changed
from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId
from vitrin.kit.state.source import StatePage, StateRecord, StateSource

Rows = Callable[..., Any]


class AccountsState:
    """`key` names the column that orders the rows of a brand."""

    def __init__(self, topic: str, rows: Rows, key: str, event: Callable[[Any], Event]) -> None:
        self.topic = topic
        self._rows = rows
        self._key = key
        self._event = event

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        return await repository.next_brand(tx, after)

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        rows: Sequence[Any] = await self._rows(tx, brand, after=after, limit=limit, lock=lock)
        records = [StateRecord(str(getattr(row, self._key)), self._event(row)) for row in rows]
        return StatePage(records, records[-1].position if len(rows) == limit else None)


SOURCES: Final[tuple[StateSource, ...]] = (
    AccountsState(
        topics.BRAND,
        repository.brands_state,
        "brand_id",
        lambda row: brand_changed(row, at=row.updated_at),
    ),
    AccountsState(
        topics.API_KEY,
        repository.keys_state,
        "key_id",
        lambda row: api_key_changed(row, at=row.revoked_at or row.created_at),
    ),
    AccountsState(
        topics.CONNECTION,
        repository.connections_state,
        "connection_id",
        lambda row: connection_changed(row, at=row.deleted_at or row.updated_at),
    ),
)
