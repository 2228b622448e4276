"""Seals and opens personal data with the keys of accounts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from vitrin.kit.seal import sealing
from vitrin.kit.seal.errors import SealCannotOpen, SealRefused
from vitrin.kit.seal.held import ASKED_MAX, KEYS_MAX, HeldKeys
from vitrin.kit.seal.keys import ById, Held, KeySource, Person, Receipt, Wanted, Whose
from vitrin.kit.seal.sealing import Erased, Fields
from vitrin.protos.kit.v1.seal_pb2 import Sealed


@dataclass(frozen=True, slots=True)
class ToSeal:
    """`happened_at`: by the source's clock (an order's creation). After an erasure only what happened later is sealed,
    under a new key; anything else is answered by Erased, so that a repeated or late delivery brings nobody back."""

    whose: Whose
    fields: Mapping[str, str] = field(repr=False)
    happened_at: datetime | None = None


class Sealer:
    """One per process. Call it before a transaction begins, not inside: it may ask accounts (2 s deadline).

    `context` names where the sealed value stands (a topic or a table); it opens with the same one only."""

    def __init__(
        self,
        source: KeySource,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self._source = source
        self._keys = HeldKeys(source, monotonic, keys_max=keys_max)

    async def seal(
        self,
        brand: UUID,
        whose: Whose,
        fields: Mapping[str, str],
        *,
        context: str,
        happened_at: datetime | None = None,
    ) -> Sealed | Erased:
        """As `seal_many`, of one."""
        return (await self.seal_many(brand, [ToSeal(whose, fields, happened_at)], context=context))[0]

    async def seal_many(
        self, brand: UUID, values: Sequence[ToSeal], *, context: str
    ) -> list[Sealed | Erased]:
        """In the order of `values`; Erased where the person was erased: drop the fields, do not keep them elsewhere.

        SealUnavailable, SealRefused (the brand is gone, or a Day that is over); ValueError for fields over 256 kB."""
        held = await self._keys.get(brand, [Wanted(one.whose, one.happened_at) for one in values])
        sealed: list[Sealed | Erased] = []
        for key, one in zip(held, values, strict=True):
            if key.state == "unknown":
                raise SealRefused("Accounts made no key.")
            if key.cipher is None or _before_erasure(key, one):
                sealed.append(Erased(key.destroyed_at))
            else:
                sealed.append(sealing.seal(key.cipher, key.key_id, brand, one.fields, context))
        return sealed

    async def open(self, brand: UUID, sealed: Sealed, *, context: str) -> Fields | Erased:
        """As `open_many`, of one."""
        return (await self.open_many(brand, [sealed], context=context))[0]

    async def open_many(
        self, brand: UUID, sealed: Sequence[Sealed], *, context: str
    ) -> list[Fields | Erased]:
        """In the order of `sealed`; Erased where the key was destroyed.

        SealUnavailable, SealRefused; SealCannotOpen where one was changed, or is of another brand or context."""
        held = await self._keys.get(brand, [Wanted(ById(one.key_id)) for one in sealed])
        opened: list[Fields | Erased] = []
        for key, one in zip(held, sealed, strict=True):
            if key.state == "unknown":
                raise SealCannotOpen(f"this brand has no key {one.key_id[:40]!r}")
            if key.cipher is None:
                opened.append(Erased(key.destroyed_at))
            else:
                opened.append(sealing.open_(key.cipher, one, brand, context))
        return opened

    async def prefetch(self, brand: UUID, whose: Sequence[Whose]) -> None:
        """One question for the keys of a batch, instead of one per value. SealUnavailable, SealRefused."""
        await self._keys.get(brand, [Wanted(one) for one in whose])

    async def destroy(self, brand: UUID, people: Sequence[Person], *, actor: str) -> list[Receipt]:
        """Erases people: in the order of `people`, the same again gives the same. Other processes may open their data
        until `leases_end_at`. SealUnavailable (call it again), SealRefused."""
        receipts: list[Receipt] = []
        for start in range(0, len(people), ASKED_MAX):
            chunk = people[start : start + ASKED_MAX]
            try:
                receipts += await self._source.destroy(brand, [one.subject for one in chunk], actor=actor)
            finally:  # it may have happened even where no answer came
                self._keys.forget(brand, [Wanted(one) for one in chunk])
        return receipts


def _before_erasure(key: Held, value: ToSeal) -> bool:
    if key.destroyed_at is None:
        return False
    return value.happened_at is None or value.happened_at <= key.destroyed_at
