"""Whose key: a person of a brand, or a day of the brand; and what is known of a key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass(frozen=True, slots=True)
class Person:
    """`subject`: opaque, up to 300 characters, the same for the same person: `shopify:<shop>:customer:<id>`. A guest's
    order is a subject too. Accounts keeps a keyed hash of it only."""

    subject: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Day:
    """Before the person is known; its key is destroyed after `ACCOUNTS_SEAL_DAY_KEEP_DAYS`, so nothing that is kept
    longer (a table, a compacted topic) is sealed under it."""

    day: date


Whose = Person | Day


@dataclass(frozen=True, slots=True)
class ById:
    """The key that sealed something."""

    key_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """`happened_at`: when that happened which is to be sealed: after an erasure only what is later gets a new key."""

    of: Whose | ById
    happened_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """A key as this process knows it. `asked_at` and `until`: monotonic clock, in seconds. `destroyed_at` of a live
    key: when the person's key before it was."""

    state: Literal["live", "destroyed", "unknown"]
    key_id: str
    asked_at: float
    until: float
    cipher: AESGCM | None = field(default=None, repr=False)
    destroyed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """One answer of accounts."""

    state: Literal["live", "destroyed", "unknown"]
    key_id: str = ""
    key: bytes = field(default=b"", repr=False)
    destroyed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Of an erasure. `last_at`: after it no lease, no backup of the keys and no key of a day opens anything of the
    person; `keys` is how many were destroyed, now or before."""

    destroyed_at: datetime
    leases_end_at: datetime
    last_at: datetime
    keys: int


class KeySource(Protocol):
    """Where keys come from: accounts."""

    async def lease(self, brand: UUID, wanted: Sequence[Wanted]) -> tuple[list[Leased], float]:
        """In the order of `wanted`, and for how many seconds they are good. Makes keys for people and days that have
        none. SealUnavailable, SealRefused."""
        ...

    async def destroy(self, brand: UUID, subjects: Sequence[str], *, actor: str) -> list[Receipt]:
        """SealUnavailable, SealRefused."""
        ...
