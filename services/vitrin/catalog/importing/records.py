"""What an import file becomes: one record per row, in the order of the rows, for `catalog.domain.apply_patch`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from vitrin.catalog.domain.entities import ExternalRefs
from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.importing.reader import Row

Seen = Callable[[str, int], int | None]
"""Called with each item id and its row; gives the row that had the id before, None the first time."""

SEEN_IN_PROCESS_MAX: Final = 200_000


@dataclass(frozen=True, slots=True)
class ImportDefaults:
    """What the files leave out and the brand knows. `storefront_url` without it, items get no link."""

    currency: str
    storefront_url: str = ""


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """One row's meaning. Rows as a spreadsheet counts them (header = 1), lines as an editor does.

    `values` is the input of `apply_patch` (with `default_currency`), `None` in it clears. With `problems` the row
    is refused; otherwise `apply_patch` has the last word. An image row (`kind` "image") has no item of its own:
    what it tells is in the items of its product. So has a row of a variable or grouped product of WooCommerce.
    """

    row_first: int
    row_last: int
    line: int
    item_id: str | None
    kind: Literal["item", "image"] = "item"
    values: Mapping[str, object] = field(default_factory=dict)
    refs: ExternalRefs = field(default_factory=ExternalRefs)
    problems: tuple[FieldProblem, ...] = ()


class SeenInProcess:
    """An exact `Seen` for small files; larger ones hold their ids in the database."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def __call__(self, item_id: str, row: int) -> int | None:
        if len(self._rows) >= SEEN_IN_PROCESS_MAX:
            raise ValueError(f"more than {SEEN_IN_PROCESS_MAX} ids: hold them in the database")
        first = self._rows.setdefault(item_id, row)
        return None if first == row else first


def refused(row: Row, *problems: FieldProblem, kind: Literal["item", "image"] = "item") -> ImportRecord:
    return ImportRecord(row.number, row.number, row.line, None, kind=kind, problems=problems)


def ragged_problem(row: Row, width: int) -> FieldProblem:
    return FieldProblem(
        "row",
        "row_shape",
        f"the row has {row.ragged} fields, the header {width}",
        "Put fields that contain a comma into quotation marks.",
    )


def duplicate_problem(item_id: str, row: int, seen: Seen | None) -> tuple[FieldProblem, ...]:
    first = None if seen is None else seen(item_id, row)
    if first is None:
        return ()
    return (
        FieldProblem(
            "id",
            "duplicate_id",
            f"row {first} already has the id {item_id}",
            "Give every item its own id; only the first one was taken.",
        ),
    )


def text_cell(cell: str) -> str:
    """Spreadsheets put an apostrophe before digits that must stay text."""
    text = cell.strip()
    return text[1:].strip() if text.startswith("'") else text
