"""The common item feed: columns named as the product data specification names them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vitrin.catalog.domain.entities import ExternalRefs
from vitrin.catalog.domain.html_text import looks_like_html
from vitrin.catalog.domain.patch import FIELDS
from vitrin.catalog.domain.readers import split_links
from vitrin.catalog.importing.reader import Row
from vitrin.catalog.importing.records import (
    ImportDefaults,
    ImportRecord,
    Seen,
    duplicate_problem,
    ragged_problem,
    refused,
    text_cell,
)

SOURCE: Final = "feed"

_ALIASES: Final = {
    "additional_image_links": "additional_image_link",
    "video": "video_link",
    "inventory": "quantity",
    "quantity_to_sell_on_facebook": "quantity",
    "colour": "color",
    "group_id": "item_group_id",
}
_COLUMNS: Final = FIELDS - {"attributes", "description_html"}
_KEPT_WHEN_BLANK: Final = frozenset({"status", "inventory_policy"})
_SPEAKING: Final = ("title", "description", "link", "image_link", "price", "availability")
"""Besides an id, a feed has a title or a price, and at least two of these."""


def _field(column: str) -> str:
    name = column.strip().lower().removeprefix("g:").replace(" ", "_")
    return _ALIASES.get(name, name)


def missing_columns(header: tuple[str, ...]) -> list[str]:
    fields = {_field(column) for column in header}
    missing = [] if "id" in fields else ["id"]
    if not fields & {"title", "price"}:
        missing += ["title", "price"]
    elif sum(name in fields for name in _SPEAKING) < 2:
        missing += [name for name in ("title", "link", "price") if name not in fields]
    return missing


def _plan(header: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """Column positions of fields and of extra attributes; of two columns for one field the first counts."""
    fields: dict[str, int] = {}
    extra: dict[str, int] = {}
    for position, column in enumerate(header):
        name = _field(column)
        if name in _COLUMNS and name not in fields:
            fields[name] = position
        else:
            extra[column] = position
    return fields, extra


def records(
    rows: Iterable[Row], header: tuple[str, ...], *, defaults: ImportDefaults, seen: Seen | None
) -> Iterator[ImportRecord]:
    """A blank cell clears its field; a column that the file does not have leaves the field as it is."""
    fields, extra = _plan(header)
    for row in rows:
        if row.ragged is not None:
            yield refused(row, ragged_problem(row, len(header)))
            continue
        values = _values(row, fields)
        attributes = {name[:100]: row.fields[position].strip() or None for name, position in extra.items()}
        if attributes:
            values["attributes"] = attributes
        item_id = str(values.get("id") or "")
        yield ImportRecord(
            row.number,
            row.number,
            row.line,
            item_id or None,
            values=values,
            refs=_refs(values),
            problems=duplicate_problem(item_id, row.number, seen) if item_id else (),
        )


def _values(row: Row, fields: Mapping[str, int]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, position in fields.items():
        cell = row.fields[position].strip()
        if not cell:
            if name not in _KEPT_WHEN_BLANK:
                values[name] = None
        elif name == "additional_image_link":
            values[name] = split_links(cell)
        elif name in {"gtin", "sku"}:
            values[name] = text_cell(cell)
        elif name == "description" and looks_like_html(cell):
            values["description_html"] = cell
        else:
            values[name] = cell
    return values


def _refs(values: Mapping[str, object]) -> ExternalRefs:
    return ExternalRefs(source=SOURCE, sku=str(values.get("sku") or ""), gtin=str(values.get("gtin") or ""))
