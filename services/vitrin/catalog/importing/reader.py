"""CSV records with their place in the file: comma, RFC 4180 quotes, LF or CRLF, a verified end.

A file is only good as a whole: nothing may be applied before the iterator has ended without `FileRefused`.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from vitrin.catalog.importing.errors import FileRefused
from vitrin.catalog.importing.text import TextProgress, text_lines, truncated

COLUMNS_MAX: Final = 500
ROWS_MAX: Final = 1_000_000
FIELD_CHARS_MAX: Final = 100_000
"""Below the csv module's own limit of 131,072, which is for the whole process and stays as it is."""

RECORD_CHARS_MAX: Final = 2_000_000
RAGGED_ROWS_TOLERATED: Final = 20
"""Rows of a wrong length are refused one by one, until more than these and more than a tenth are wrong."""

_DELIMITERS: Final = ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"))


@dataclass(frozen=True, slots=True)
class Row:
    """`number` is the row as a spreadsheet counts (the header is 1), `line` the text line where it begins.

    `fields` has as many entries as the header, or `ragged` says how many the row really has.
    """

    number: int
    line: int
    fields: tuple[str, ...]
    ragged: int | None = None


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    ragged: int = 0


class CsvFile:
    """Reads the header at once; iterate once over the rows.

    Raises `FileRefused` from both: file_empty, no_rows, not_csv, not_csv_shape, encoding_not_utf8,
    wrong_delimiter, header_blank, header_duplicate, too_many_columns, too_many_rows, field_too_long,
    line_too_long, record_too_long, file_truncated, length_mismatch.

    `announced_bytes` is what the sender said the file has. Without it a last row that does not end in a line
    break is refused as file_truncated, since nothing tells whether its last field is complete.
    """

    def __init__(
        self, chunks: Iterable[bytes], *, announced_bytes: int | None = None, rows_max: int = ROWS_MAX
    ) -> None:
        self.progress = TextProgress()
        self._announced = announced_bytes
        self._rows_max = rows_max
        self._record_chars = 0
        self._last_line_ended = True
        self._reader = csv.reader(
            self._lines(text_lines(chunks, self.progress, announced_bytes=announced_bytes)), strict=True
        )
        self._number = 0
        self.header = self._read_header()

    def _lines(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._record_chars += len(line)
            self._last_line_ended = line.endswith("\n")
            if self._record_chars > RECORD_CHARS_MAX:
                raise FileRefused(
                    "record_too_long",
                    f"a row that ends after line {self.progress.lines} has more than {RECORD_CHARS_MAX} characters",
                    "Check for a quotation mark that is never closed.",
                    line=self.progress.lines,
                )
            yield line

    def _next(self) -> tuple[int, list[str]] | None:
        """The next record that is not a blank line, with the line where it begins."""
        while True:
            line = self._reader.line_num + 1
            self._record_chars = 0
            try:
                fields = next(self._reader)
            except StopIteration:
                return None
            except csv.Error as error:
                raise self._csv_error(error, line) from error
            self._number += 1
            if fields:
                return line, fields

    def _csv_error(self, error: csv.Error, line: int) -> FileRefused:
        text = str(error)
        if "unexpected end of data" in text:
            return truncated(
                f"the file ends inside a quoted field of the row that begins in line {line}", line
            )
        if "field larger" in text:
            return FileRefused(
                "field_too_long",
                f"a field of the row that begins in line {line} has more than {FIELD_CHARS_MAX} characters",
                "Check for a quotation mark that is never closed.",
                line=line,
            )
        if "new-line character" in text:
            reason, fix = "a line ends in a bare carriage return", "Save the file with LF or CRLF line ends."
        else:
            reason, fix = (
                "text follows a closing quotation mark",
                'Write quotation marks inside fields twice: "".',
            )
        return FileRefused("not_csv_shape", f"{reason} in the row that begins in line {line}", fix, line=line)

    def _read_header(self) -> tuple[str, ...]:
        found = self._next()
        if found is None:
            raise FileRefused(
                "file_empty", "the file has no header", "Upload a CSV file with a header and rows."
            )
        line, fields = found
        names = tuple(name.strip() for name in fields)
        self._refuse_delimiter(names, line)
        if not self._last_line_ended and self._announced is None:
            raise truncated("the file ends inside its header", line)
        if len(names) > COLUMNS_MAX:
            raise FileRefused(
                "too_many_columns",
                f"{len(names)} columns; the limit is {COLUMNS_MAX}",
                "Remove columns.",
                line=line,
            )
        for position, name in enumerate(names):
            if not name:
                raise FileRefused(
                    "header_blank",
                    f"column {position + 1} has no name",
                    "Name the column or remove it; the first row must be the header.",
                    line=line,
                )
            if name.lower() in {before.lower() for before in names[:position]}:
                raise FileRefused(
                    "header_duplicate", f"two columns are called {name!r}", "Rename or remove one.", line=line
                )
        return names

    @staticmethod
    def _refuse_delimiter(names: tuple[str, ...], line: int) -> None:
        for delimiter, plural in _DELIMITERS:
            if sum(name.count(delimiter) for name in names) >= len(names):
                raise FileRefused(
                    "wrong_delimiter",
                    f"the header is separated by {plural}, not by commas",
                    "Export the file with commas between the fields.",
                    line=line,
                )

    def __iter__(self) -> Iterator[Row]:
        counts = _Counts()
        held: Row | None = None
        width = len(self.header)
        while (found := self._next()) is not None:
            line, fields = found
            if not any(field.strip() for field in fields) and (self._last_line_ended or len(fields) == width):
                continue
            if held is not None:
                yield held
            held = self._row(line, fields, counts)
        if held is not None:
            self._verify_last(held, width)
        if counts.ragged * 2 > counts.rows:
            raise self._not_shaped(counts)
        if held is None:
            raise FileRefused("no_rows", "the file has a header but no rows", "Upload a file with rows.")
        yield held

    def _row(self, line: int, fields: list[str], counts: _Counts) -> Row:
        counts.rows += 1
        if counts.rows > self._rows_max:
            raise FileRefused(
                "too_many_rows",
                f"more than {self._rows_max} rows",
                "Split the file; an import removes nothing that it does not name.",
                line=line,
            )
        for position, field in enumerate(fields):
            if len(field) > FIELD_CHARS_MAX:
                name = self.header[position] if position < len(self.header) else str(position + 1)
                raise FileRefused(
                    "field_too_long",
                    f"column {name!r} in line {line} has more than {FIELD_CHARS_MAX} characters",
                    "Check for a quotation mark that is never closed.",
                    line=line,
                )
        if len(fields) == len(self.header):
            return Row(self._number, line, tuple(fields))
        counts.ragged += 1
        if counts.ragged > RAGGED_ROWS_TOLERATED and counts.ragged * 10 > counts.rows:
            raise self._not_shaped(counts)
        return Row(self._number, line, tuple(fields[: len(self.header)]), ragged=len(fields))

    def _verify_last(self, row: Row, width: int) -> None:
        if row.ragged is not None and row.ragged < width:
            raise truncated(
                f"the last row (line {row.line}) has {row.ragged} of {width} fields: it looks cut off",
                row.line,
            )
        if not self._last_line_ended and self._announced is None:
            raise FileRefused(
                "file_truncated",
                f"the last row (line {row.line}) does not end in a line break: its last field may be cut off",
                "If the file is complete, end its last row with a line break or send its SHA-256 as X-Content-SHA256;"
                " otherwise export it again.",
                line=row.line,
            )

    def _not_shaped(self, counts: _Counts) -> FileRefused:
        return FileRefused(
            "not_csv_shape",
            f"{counts.ragged} of {counts.rows} rows have not the {len(self.header)} fields of the header",
            "Put fields that contain a comma into quotation marks.",
        )
