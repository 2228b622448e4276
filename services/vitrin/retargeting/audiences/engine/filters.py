"""Which filters an event meets: bits per event, made for whole batches by look-ups, and classes of equal bits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import AnyArray, Flags, Ints, Words, ints, words_for
from vitrin.retargeting.audiences.engine.columns import KIND_IDS, Batch, Dictionary
from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.nodes import Match


@dataclass(frozen=True, slots=True)
class Filter:
    """`currency`: only events of this currency, for sums; None for any."""

    match: Match
    currency: str | None


class _Table:
    """Bits per number of an attribute: the filters that name it, and those without a condition on it."""

    def __init__(self, wanted: Sequence[Iterable[int] | None]) -> None:
        """`wanted`: per filter the numbers that it takes, None for all."""
        named = sorted({number for numbers in wanted if numbers is not None for number in numbers})
        self._named = ints(named)
        places = {number: place for place, number in enumerate(named)}
        self._bits = np.zeros((len(named) + 1, words_for(len(wanted))), dtype=np.uint64)
        for number, numbers in enumerate(wanted):
            rows = range(len(named) + 1) if numbers is None else [places[value] for value in numbers]
            for row in rows:
                self._bits[row, number >> 6] |= np.uint64(1 << (number & 63))

    def bits(self, numbers: AnyArray) -> Words:
        if not len(self._named):
            return np.broadcast_to(self._bits[0], (len(numbers), self._bits.shape[1]))
        place = np.searchsorted(self._named, numbers)
        place[place == len(self._named)] = 0
        found = np.where(self._named[place] == numbers, place, len(self._named))
        return self._bits[found]


class Matcher:
    def __init__(self, filters: Sequence[Filter], dictionary: Dictionary) -> None:
        self._words = words_for(len(filters))

        def table(wanted: Callable[[Filter], Iterable[int]]) -> _Table:
            return _Table([list(wanted(one)) or None for one in filters])

        def named(attribute: str, texts: Callable[[Filter], Sequence[str]]) -> _Table:
            return table(lambda one: [dictionary.id(attribute, text) for text in texts(one)])

        self._kinds = table(lambda one: [KIND_IDS[name] for name in one.match.events])
        self._currencies = named("currency", _currency)
        self._items = named("item", lambda one: one.match.items)
        self._categories = named("category", lambda one: one.match.categories)
        self._brands = named("brand", lambda one: one.match.brands)
        self._prices = [
            (number, one.match.price.at_least or 0, one.match.price.below or words.EVER_MS)
            for number, one in enumerate(filters)
            if one.match.price is not None
        ]
        self._plain = np.zeros(self._words, dtype=np.uint64)
        for number, one in enumerate(filters):
            if not one.match.about_items:
                self._plain[number >> 6] |= np.uint64(1 << (number & 63))

    def bits(self, batch: Batch) -> Words:
        """Per event, shape (rows, words)."""
        whole = self._kinds.bits(batch.kind) & self._currencies.bits(batch.currency)
        if not len(batch.item):
            return whole & self._plain
        per_item = (
            self._items.bits(batch.item)
            & self._categories.bits(batch.category)
            & self._brands.bits(batch.brand)
        )
        for number, least, below in self._prices:
            bit = np.uint64(1 << (number & 63))
            outside = (batch.price < least) | (batch.price >= below)
            per_item[outside, number >> 6] &= ~bit
        some = np.zeros_like(whole)
        counts = np.diff(batch.item_start)
        filled = np.flatnonzero(counts)
        some[filled] = np.bitwise_or.reduceat(per_item, batch.item_start[filled], axis=0)
        return whole & (self._plain | some)


def _currency(one: Filter) -> Sequence[str]:
    """Of a sum, else of a price; a filter with both and different ones is met by nothing (`Graph` makes it false)."""
    if one.currency is not None:
        return (one.currency,)
    return (one.match.price.currency,) if one.match.price is not None else ()


class ClassArrays(NamedTuple):
    """The filters of class c are filters[lo[c]:lo[c + 1]], ascending; class 0 has none."""

    lo: Ints
    filters: Ints


class Classes:
    """Numbers the sets of filters that occur."""

    def __init__(self, width: int, summing: Flags) -> None:
        """`summing`: per filter, whether a sum needs its values."""
        self._width = width
        self._summing = summing
        self._ids: dict[bytes, int] = {}
        self._rows: list[Words] = []
        self._lo: list[int] = [0]
        self._filters: list[int] = []
        self._arrays: ClassArrays | None = None
        self.has_sum = np.zeros(0, dtype=np.bool_)
        self.of(np.zeros((1, width), dtype=np.uint64))

    def arrays(self) -> ClassArrays:
        if self._arrays is None:
            self._arrays = ClassArrays(ints(self._lo), ints(self._filters))
        return self._arrays

    def rows(self) -> Words:
        """The bits of every class, for a checkpoint; `of` in a new table gives the same numbers again."""
        return np.array(self._rows, dtype=np.uint64).reshape(len(self._rows), self._width)

    def of(self, bits: Words) -> Ints:
        """Per event its class."""
        order = np.lexsort(bits.T)
        ordered = bits[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        starts = np.flatnonzero(first)
        known = ints([self._id(ordered[start]) for start in starts])
        found = np.empty(len(order), dtype=np.int64)
        found[order] = np.repeat(known, np.diff(np.append(starts, len(order))))
        return found

    def _id(self, row: Words) -> int:
        key = row.tobytes()
        number = self._ids.get(key)
        if number is not None:
            return number
        number = self._ids[key] = len(self._ids)
        met = np.flatnonzero(np.unpackbits(row.astype("<u8").view(np.uint8), bitorder="little"))
        self._rows.append(row.copy())
        self._filters.extend(met.tolist())
        self._lo.append(len(self._filters))
        self.has_sum = np.append(self.has_sum, bool(self._summing[met].any()))
        self._arrays = None
        return number
