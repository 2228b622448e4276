"""Which format a file has: by its header, never by its name."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final

from vitrin.catalog.importing import common, shopify, woocommerce
from vitrin.catalog.importing.errors import FileRefused
from vitrin.catalog.importing.reader import ROWS_MAX, CsvFile
from vitrin.catalog.importing.records import ImportDefaults, ImportRecord, Seen
from vitrin.catalog.importing.text import TextProgress


class ImportFormat(StrEnum):
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    COMMON = "common"


OF_A_SHOP: Final = frozenset({ImportFormat.SHOPIFY, ImportFormat.WOOCOMMERCE})
"""They name no currency: it is the shop's."""

_TITLES: Final = {
    ImportFormat.SHOPIFY: "Shopify product export",
    ImportFormat.WOOCOMMERCE: "WooCommerce product export",
    ImportFormat.COMMON: "common item feed",
}
_RECORDS: Final = {
    ImportFormat.SHOPIFY: shopify.records,
    ImportFormat.WOOCOMMERCE: woocommerce.records,
    ImportFormat.COMMON: common.records,
}
_MISSING: Final[dict[ImportFormat, Callable[[tuple[str, ...]], list[str]]]] = {
    ImportFormat.SHOPIFY: shopify.missing_columns,
    ImportFormat.WOOCOMMERCE: woocommerce.missing_columns,
    ImportFormat.COMMON: common.missing_columns,
}


def choose_format(header: tuple[str, ...], claimed: str | None = None) -> ImportFormat:
    """Raises `FileRefused`: format_unknown, format_mismatch (the header is not what `claimed` says)."""
    missing = {name: columns(header) for name, columns in _MISSING.items()}
    if claimed is None:
        for name, columns in missing.items():
            if not columns:
                return name
        lacks = "; ".join(f"for a {_TITLES[name]} it lacks {', '.join(missing[name])}" for name in missing)
        raise FileRefused("format_unknown", f"the header is of no known format: {lacks}", _FIX, line=1)
    try:
        chosen = ImportFormat(claimed)
    except ValueError as error:
        known = ", ".join(name.value for name in ImportFormat)
        raise FileRefused(
            "format_unknown", f"there is no format {claimed!r}", f"Use one of: {known}."
        ) from error
    if missing[chosen]:
        others = [_TITLES[name] for name in missing if not missing[name]]
        raise FileRefused(
            "format_mismatch",
            f"not a {_TITLES[chosen]}: the header lacks {', '.join(missing[chosen])}"
            + (f"; it looks like a {others[0]}" if others else ""),
            _FIX,
            line=1,
        )
    return chosen


_FIX: Final = (
    "Export the products from Shopify or WooCommerce (with English column names) as CSV, or name the columns as a"
    " common item feed does: id, title, price (12.34 EUR), description, link, image_link, ...;"
    " POST /v1/imports names all."
)


class ImportFile:
    """A catalog file: its format is known at once, its records come while it is read.

    Iterate once. `FileRefused`, from the constructor or while iterating, refuses the file as a whole: apply
    nothing before the iteration has ended. See `CsvFile` for `announced_bytes`.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        defaults: ImportDefaults,
        claimed_format: str | None = None,
        announced_bytes: int | None = None,
        seen: Seen | None = None,
        rows_max: int = ROWS_MAX,
    ) -> None:
        self._file = CsvFile(chunks, announced_bytes=announced_bytes, rows_max=rows_max)
        self._defaults = defaults
        self._seen = seen
        self.header = self._file.header
        self.format = choose_format(self.header, claimed_format)

    @property
    def progress(self) -> TextProgress:
        """Bytes and lines so far, for a progress bar."""
        return self._file.progress

    def __iter__(self) -> Iterator[ImportRecord]:
        records = _RECORDS[self.format]
        return records(self._file, self.header, defaults=self._defaults, seen=self._seen)
