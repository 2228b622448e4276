"""What a service says of each compacted topic that it owns: its whole state, page by page, as a change would say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vitrin.events.envelope import Event
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId

PAGE_RECORDS: Final = 250


@dataclass(frozen=True, slots=True)
class StateRecord:
    """An event with the version that the change had, and where to go on after it within its brand. Records of one
    position stand together."""

    position: str
    event: Event


@dataclass(frozen=True, slots=True)
class StatePage:
    """`after`: position to go on after this page; None: the brand has no more. A page may be empty and not the last."""

    records: Sequence[StateRecord]
    after: str | None


class StateSource(Protocol):
    """One topic. Runs under the worker role; the transaction names the brand."""

    @property
    def topic(self) -> str: ...

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        """The brands that may have state here, in the order of their ids. The transaction names no brand."""

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        """The brand's next rows after a position ("": the first). `lock`: under the lock of each row, which whoever
        changes it takes before publishing, so that the order per key holds for what is published of it here."""


Sources = Mapping[str, StateSource]
"""By topic."""
