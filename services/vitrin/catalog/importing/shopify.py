"""Shopify's product export: the rows of one handle stand together; the first one carries the product.

Later rows are further variants, or pictures only. Both generations of column names are read.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.domain.readers import Invalid, read_url
from vitrin.catalog.importing.reader import Row
from vitrin.catalog.importing.records import (
    ImportDefaults,
    ImportRecord,
    Seen,
    duplicate_problem,
    ragged_problem,
    refused,
)
from vitrin.catalog.importing.shopify_columns import VARIANT_MARKS, Columns
from vitrin.catalog.importing.shopify_product import Picture, Product

PRODUCT_ROWS_MAX: Final = 2_500
"""Shopify has at most 2,048 variants and 250 pictures per product."""

PRODUCT_CHARS_MAX: Final = 8_000_000
PRODUCT_PICTURES_MAX: Final = 250

_REQUIRED: Final = ("Handle", "Title", "Variant Price")


def missing_columns(header: tuple[str, ...]) -> list[str]:
    columns = Columns(header)
    return [name for name in _REQUIRED if name not in columns]


def records(
    rows: Iterable[Row], header: tuple[str, ...], *, defaults: ImportDefaults, seen: Seen | None
) -> Iterator[ImportRecord]:
    """One record per row. The rows of a product wait for its last row, since pictures come after variants."""
    columns = Columns(header)
    held: list[Row] = []
    handle, chars, closed = "", 0, False
    for row in rows:
        of = "" if row.ragged is not None else columns.cell(row, "Handle")
        if of and of != handle:
            yield from _product(held, columns, defaults, seen)
            held, handle, chars, closed = [], of, 0, False
        if not of and row.ragged is None:
            yield from _product(held, columns, defaults, seen)
            held, handle, chars, closed = [], "", 0, False
            yield refused(
                row, _problem("Handle", "handle_missing", "the row has no handle", "Fill in its handle.")
            )
            continue
        chars += sum(map(len, row.fields))
        if not closed and (len(held) >= PRODUCT_ROWS_MAX or chars > PRODUCT_CHARS_MAX):
            yield from _product(held, columns, defaults, seen)
            held, closed = [], True
        if closed:
            yield refused(row, _too_large(handle))
        else:
            held.append(row)
    yield from _product(held, columns, defaults, seen)


def _problem(field: str, code: str, message: str, fix: str) -> FieldProblem:
    return FieldProblem(field, code, message, fix)


def _too_large(handle: str) -> FieldProblem:
    return _problem(
        "Handle",
        "product_too_large",
        f"product {handle[:100]} has more than {PRODUCT_ROWS_MAX} rows or {PRODUCT_CHARS_MAX} characters",
        "Split the product.",
    )


def _product(
    held: list[Row], columns: Columns, defaults: ImportDefaults, seen: Seen | None
) -> Iterator[ImportRecord]:
    whole = [row for row in held if row.ragged is None]
    head = whole[0] if whole else None
    if head is not None and not columns.cell(head, "Title"):
        for row in held:
            yield _without_title(row, columns)
        return
    pictures, bad_pictures = _pictures(whole, columns)
    variants = [row for row in whole if row is head or _is_variant(row, columns)]
    product = None if head is None else Product(head, variants, columns, pictures, defaults)
    variant_numbers = {row.number for row in variants}
    for row in held:
        if row.ragged is not None or product is None:
            yield refused(row, ragged_problem(row, len(columns)))
        elif row.number in variant_numbers:
            yield _variant(product, row, seen)
        else:
            yield _picture_row(row, columns, bad_pictures)


def _is_variant(row: Row, columns: Columns) -> bool:
    return any(columns.cell(row, name) for name in VARIANT_MARKS)


def _without_title(row: Row, columns: Columns) -> ImportRecord:
    if row.ragged is not None:
        return refused(row, ragged_problem(row, len(columns)))
    return refused(
        row,
        _problem(
            "title",
            "title_missing",
            f"the first row of handle {columns.cell(row, 'Handle')[:100]} has no title",
            "Fill in the title; keep the rows of one handle together, the one with the title first.",
        ),
        kind="item" if _is_variant(row, columns) else "image",
    )


def _pictures(rows: list[Row], columns: Columns) -> tuple[list[Picture], dict[int, FieldProblem]]:
    """The product's pictures in the order of their positions; the first row's is judged with its item."""
    pictures: list[Picture] = []
    problems: dict[int, FieldProblem] = {}
    for row in rows:
        source = columns.cell(row, "Image Src")
        if not source:
            continue
        try:
            if row is not rows[0]:
                read_url("Image Src", source)
            if len(pictures) >= PRODUCT_PICTURES_MAX:
                raise Invalid(
                    "Image Src",
                    "too_many_images",
                    f"the product has more than {PRODUCT_PICTURES_MAX} pictures",
                    "Keep the most useful ones.",
                )
        except Invalid as invalid:
            problems[row.number] = invalid.problem
            continue
        position = columns.cell(row, "Image Position")
        order = (
            int(position) if position.isascii() and position.isdigit() and len(position) < 10 else len(rows)
        )
        pictures.append(Picture(order, row.number, source))
    return sorted(pictures), problems


def _picture_row(row: Row, columns: Columns, bad: dict[int, FieldProblem]) -> ImportRecord:
    if row.number in bad:
        return refused(row, bad[row.number], kind="image")
    if not columns.cell(row, "Image Src"):
        return refused(
            row,
            _problem(
                "row",
                "row_without_content",
                "the row has neither a variant nor a picture",
                "Fill in its option, price or picture, or delete the row.",
            ),
            kind="image",
        )
    return ImportRecord(row.number, row.number, row.line, None, kind="image")


def _variant(product: Product, row: Row, seen: Seen | None) -> ImportRecord:
    item_id, values, refs, problems = product.item(row)
    problems += duplicate_problem(item_id, row.number, seen)
    return ImportRecord(
        row.number, row.number, row.line, item_id, values=values, refs=refs, problems=tuple(problems)
    )
