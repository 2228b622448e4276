"""What the engine reads: events as columns, with texts as small integers.

A batch is what one transaction of the consumer accepted: no duplicates, none too late (`admission`), in arrival order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine.arrays import Ints, ints, ranges
from vitrin.retargeting.audiences.language import words

ATTRIBUTES: Final = ("item", "category", "brand", "currency", "market")
KIND_IDS: Final = {name: number for number, name in enumerate(words.EVENTS)}
NO_PRICE: Final = -1


class Dictionary:
    """Text to number per attribute, append-only, 0 is none. The service keeps it in a table per brand."""

    def __init__(self, known: Mapping[str, Iterable[str]] | None = None) -> None:
        """`known`: per attribute its texts in the order of their numbers, from 1."""
        given = known or {}
        self._ids = {
            name: {text: number for number, text in enumerate(given.get(name, ()), 1)} for name in ATTRIBUTES
        }

    def id(self, attribute: str, text: str | None) -> int:
        """The number of a text, a new one if it has none yet."""
        if text is None:
            return 0
        ids = self._ids[attribute]
        return ids.setdefault(text, len(ids) + 1)

    def texts(self) -> dict[str, list[str]]:
        return {name: list(ids) for name, ids in self._ids.items()}


class Item(NamedTuple):
    """An item of an event as numbers of the dictionary; price in minor units, NO_PRICE for none."""

    item: int = 0
    category: int = 0
    brand: int = 0
    price: int = NO_PRICE


@dataclass(frozen=True, slots=True)
class Row:
    """One event; for tests, previews of single visitors and whoever has no columns."""

    seq: int
    subject: int
    at: int
    kind: int
    value: int = 0
    currency: int = 0
    items: tuple[Item, ...] = ()


class Batch(NamedTuple):
    """`item_start` has one more than rows: the items of row i are item_start[i] to item_start[i + 1]."""

    seq: Ints
    """Arrival, ascending; the engine skips what it has seen."""
    subject: Ints
    at: Ints
    kind: NDArray[np.int16]
    value: Ints
    currency: NDArray[np.int32]
    item_start: Ints
    item: NDArray[np.int32]
    category: NDArray[np.int32]
    brand: NDArray[np.int32]
    price: Ints

    @property
    def rows(self) -> int:
        return len(self.seq)

    def take(self, index: Ints) -> "Batch":
        counts = np.diff(self.item_start)[index]
        at = ranges(self.item_start[index], counts)
        return Batch(
            seq=self.seq[index],
            subject=self.subject[index],
            at=self.at[index],
            kind=self.kind[index],
            value=self.value[index],
            currency=self.currency[index],
            item_start=np.concatenate((ints([0]), np.cumsum(counts))),
            item=self.item[at],
            category=self.category[at],
            brand=self.brand[at],
            price=self.price[at],
        )

    def with_subjects(self, subject: Ints) -> "Batch":
        return self._replace(subject=subject)


def batch_of(rows: Iterable[Row]) -> Batch:
    found = list(rows)
    items = [item for row in found for item in row.items]
    counts = [len(row.items) for row in found]
    return Batch(
        seq=ints([row.seq for row in found]),
        subject=ints([row.subject for row in found]),
        at=ints([row.at for row in found]),
        kind=np.array([row.kind for row in found], dtype=np.int16),
        value=ints([row.value for row in found]),
        currency=np.array([row.currency for row in found], dtype=np.int32),
        item_start=np.concatenate((ints([0]), np.cumsum(ints(counts)))),
        item=np.array([item.item for item in items], dtype=np.int32),
        category=np.array([item.category for item in items], dtype=np.int32),
        brand=np.array([item.brand for item in items], dtype=np.int32),
        price=ints([item.price for item in items]),
    )
