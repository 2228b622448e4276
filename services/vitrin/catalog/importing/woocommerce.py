"""WooCommerce's own product export: a row per product or variation, in the order of their ids.

A variation names its parent (`id:742`, or the parent's SKU), which may stand anywhere: what variations need of their
parents is kept for the whole file, compressed, and variations that come first wait for theirs. Both together have a
bound; what is beyond it is refused row by row, so that memory does not grow with the file.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.importing.reader import Row
from vitrin.catalog.importing.records import (
    ImportDefaults,
    ImportRecord,
    Seen,
    duplicate_problem,
    ragged_problem,
    refused,
)
from vitrin.catalog.importing.woocommerce_product import Columns, Mapper, Parent

HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of parents and waiting variations, compressed: about 100,000 products with 2,000 characters each."""
HELD_EACH_BYTES: Final = 300
"""What one of them needs besides its text."""
BY_ID: Final = "id:"
VARIATIONS: Final = frozenset({"variation", "subscription_variation"})
VARIABLE: Final = frozenset({"variable", "variable-subscription"})
GROUPED: Final = "grouped"
_REQUIRED: Final = ("ID", "Type", "Name", "Regular price")


def missing_columns(header: tuple[str, ...]) -> list[str]:
    columns = Columns(header)
    return [name for name in _REQUIRED if name not in columns]


def records(
    rows: Iterable[Row],
    header: tuple[str, ...],
    *,
    defaults: ImportDefaults,
    seen: Seen | None,
    held_bytes_max: int = HELD_BYTES_MAX,
) -> Iterator[ImportRecord]:
    """One record per row; a variation that stands before its parent comes after it."""
    columns = Columns(header)
    mapper = Mapper(columns, defaults)
    family = _Family(held_bytes_max)
    for row in rows:
        wrong = _wrong(row, columns)
        if wrong is not None:
            yield refused(row, wrong)
            continue
        types = {one.strip().lower() for one in columns.cell(row, "Type").split(",")}
        if types & VARIATIONS:
            yield from _variation(row, family, mapper, seen)
        elif types & VARIABLE:
            yield ImportRecord(row.number, row.number, row.line, None, kind="image")
            number, parent = columns.cell(row, "ID"), mapper.parent(row)
            for waiting in family.add(number, columns.cell(row, "SKU"), parent):
                yield _record(waiting, mapper, parent, seen)
        elif GROUPED in types:  # it sells nothing itself
            yield ImportRecord(row.number, row.number, row.line, None, kind="image")
        else:
            yield _record(row, mapper, None, seen)
    for row in family.left():
        yield refused(row, _missing(columns.cell(row, "Parent")))


def _wrong(row: Row, columns: Columns) -> FieldProblem | None:
    if row.ragged is not None:
        return ragged_problem(row, len(columns))
    number = columns.cell(row, "ID")
    if not (number.isascii() and number.isdigit() and len(number) <= 20):
        return FieldProblem(
            "ID",
            "woocommerce_id_missing",
            f"{number[:60]!r} is no id of WooCommerce",
            "Export the products again with their ID; without it their webhooks would make them twice.",
        )
    return None


def _variation(row: Row, family: "_Family", mapper: Mapper, seen: Seen | None) -> Iterator[ImportRecord]:
    named = mapper.columns.cell(row, "Parent")
    if not named:
        yield refused(row, _missing(named))
        return
    parent = family.parent(named)
    if parent is not None:
        yield _record(row, mapper, parent, seen)
    elif not family.wait(named, row):
        yield refused(
            row,
            FieldProblem(
                "Parent",
                "parent_too_far",
                f"the file is too large to keep {named[:60]!r} until its variations come",
                "Put each product before its variations, or export the products in parts.",
            ),
        )


def _missing(named: str) -> FieldProblem:
    return FieldProblem(
        "Parent",
        "parent_missing",
        f"the file has no variable product {named[:60]!r}" if named else "the variation names no parent",
        "Export the product together with its variations.",
    )


def _record(row: Row, mapper: Mapper, parent: Parent | None, seen: Seen | None) -> ImportRecord:
    item_id, values, refs = mapper.item(row, parent)
    return ImportRecord(
        row.number,
        row.number,
        row.line,
        item_id,
        values=values,
        refs=refs,
        problems=duplicate_problem(item_id, row.number, seen),
    )


class _Family:
    """Parents by their id, and the variations that wait for one, all compressed."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max
        self._parents: dict[str, bytes] = {}
        self._ids: dict[str, str] = {}
        self._waiting: dict[str, list[bytes]] = {}
        self._last: tuple[str, Parent] | None = None
        """Variations of one product mostly stand together."""

    def add(self, number: str, sku: str, parent: Parent) -> list[Row]:
        """Those that waited for it. A parent for which there is no room is not kept."""
        packed = zlib.compress(orjson.dumps(list(parent)), 1)
        if number not in self._parents and self._take(packed):
            self._parents[number] = packed
            if sku:
                self._ids.setdefault(sku, number)
        waited = [*self._waiting.pop(BY_ID + number, ()), *(self._waiting.pop(sku, ()) if sku else ())]
        for one in waited:
            self._bytes_left += len(one) + HELD_EACH_BYTES
        return sorted(map(_unpacked, waited), key=lambda row: row.number)

    def parent(self, named: str) -> Parent | None:
        number = named.removeprefix(BY_ID) if named.startswith(BY_ID) else self._ids.get(named, "")
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        packed = self._parents.get(number)
        if packed is None:
            return None
        found = Parent(*orjson.loads(zlib.decompress(packed)))
        self._last = (number, found)
        return found

    def wait(self, named: str, row: Row) -> bool:
        packed = zlib.compress(orjson.dumps([row.number, row.line, row.fields]), 1)
        if not self._take(packed):
            return False
        self._waiting.setdefault(named, []).append(packed)
        return True

    def left(self) -> Iterator[Row]:
        """Whose parent never came, in the order of the file."""
        yield from sorted(
            (_unpacked(one) for waiting in self._waiting.values() for one in waiting),
            key=lambda row: row.number,
        )

    def _take(self, packed: bytes) -> bool:
        size = len(packed) + HELD_EACH_BYTES
        if size > self._bytes_left:
            return False
        self._bytes_left -= size
        return True


def _unpacked(packed: bytes) -> Row:
    number, line, fields = orjson.loads(zlib.decompress(packed))
    return Row(number, line, tuple(fields))
