"""The whole state of brands, keys, connections and switches, as their changes publish it; deleted connections too.

Runs under the worker role, which sees no token of a connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from vitrin.accounts import repository
from vitrin.accounts.events import api_key_changed, brand_changed, connection_changed, outgoing_changed
from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId
from vitrin.kit.state.source import StatePage, StateRecord, StateSource

Rows = Callable[..., Any]


NextBrand = Callable[[ReadSession, BrandId | None], Awaitable[BrandId | None]]


class AccountsState:
    """`position` of a row orders those of a brand."""

    def __init__(
        self,
        topic: str,
        rows: Rows,
        position: Callable[[Any], str],
        event: Callable[[Any], Event],
        brands: NextBrand = repository.next_brand,
    ) -> None:
        self.topic = topic
        self._rows = rows
        self._position = position
        self._event = event
        self._brands = brands

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        return await self._brands(tx, after)

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        rows: Sequence[Any] = await self._rows(tx, brand, after=after, limit=limit, lock=lock)
        records = [StateRecord(self._position(row), self._event(row)) for row in rows]
        return StatePage(records, records[-1].position if len(rows) == limit else None)


SOURCES: Final[tuple[StateSource, ...]] = (
    AccountsState(
        topics.BRAND,
        repository.brands_state,
        lambda row: str(row.brand_id),
        lambda row: brand_changed(row, at=row.updated_at),
    ),
    AccountsState(
        topics.API_KEY,
        repository.keys_state,
        lambda row: str(row.key_id),
        lambda row: api_key_changed(row, at=row.revoked_at or row.created_at),
    ),
    AccountsState(
        topics.CONNECTION,
        repository.connections_state,
        lambda row: str(row.connection_id),
        lambda row: connection_changed(row, at=row.deleted_at or row.updated_at),
    ),
    AccountsState(
        topics.OUTGOING,
        repository.switches_state,
        lambda row: f"{repository.SWITCH_POSITION}{row.platform}",
        lambda row: outgoing_changed(row, at=row.changed_at),
        brands=repository.next_switched,
    ),
)
