"""The CSV reader: any chunking gives the same rows, any damage is named, no cut goes unnoticed."""

import codecs
import gzip
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.catalog.importing import FileRefused
from vitrin.catalog.importing.reader import RECORD_CHARS_MAX, CsvFile, Row
from vitrin.catalog.importing.text import LINE_BYTES_MAX

VALID = (
    "id,title,note\r\n"
    '1,"Mug, ""big"" ☕",plain\r\n'
    '2,"two\r\nlines",ü\r\n'
    '3,,"=1+1"\r\n'
    "\r\n"
    '4,"","last ""quoted"""\r\n'
).encode()
ROWS = [
    ("1", 'Mug, "big" ☕', "plain"),
    ("2", "two\r\nlines", "ü"),
    ("3", "", "=1+1"),
    ("4", "", 'last "quoted"'),
]


def read(data: bytes, *, announced: bool = False, chunk: int = 7, rows_max: int = 1000) -> list[Row]:
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    file = CsvFile(chunks, announced_bytes=len(data) if announced else None, rows_max=rows_max)
    return list(file)


def fields(rows: list[Row]) -> list[tuple[str, ...]]:
    return [row.fields for row in rows]


def refusal(data: bytes, *, announced: bool = False, rows_max: int = 1000) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        read(data, announced=announced, rows_max=rows_max)
    assert refused.value.message
    assert refused.value.fix
    return refused.value


def test_rows_know_their_place() -> None:
    rows = read(VALID)
    assert fields(rows) == ROWS
    assert [(row.number, row.line, row.ragged) for row in rows] == [
        (2, 2, None),
        (3, 3, None),
        (4, 5, None),
        (6, 7, None),
    ]


@given(st.data())
def test_any_chunking_gives_the_same_rows(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(VALID)), max_size=20)))
    edges = [0, *cuts, len(VALID)]
    chunks = [VALID[a:b] for a, b in pairwise(edges)]
    assert fields(list(CsvFile(chunks))) == ROWS


def test_every_cut_is_refused_or_ends_at_a_row() -> None:
    """Without an announced length only a cut behind a whole row can pass; with the true length none."""
    passed = []
    for cut in range(len(VALID)):
        try:
            rows = fields(read(VALID[:cut]))
        except FileRefused:
            pass
        else:
            assert VALID[:cut].endswith(b"\n")
            assert rows == ROWS[: len(rows)]
            passed.append(len(rows))
        with pytest.raises(FileRefused) as refused:
            list(CsvFile([VALID[:cut]], announced_bytes=len(VALID)))
        assert refused.value.code in {"file_truncated", "file_empty"}
    assert passed == [1, 2, 3, 3]


CELLS = st.text(st.sampled_from('ab",\n\r ☕é;='), max_size=6)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
def test_any_file_is_read_back_and_any_cut_of_it_is_noticed(
    table: list[tuple[str, str, str]], newline: str, data: st.DataObject
) -> None:
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in table]
    text = "a,b,c" + newline + "".join(",".join(row) + newline for row in quoted)
    whole = [row for row in table if any(cell.strip() for cell in row)]
    raw = text.encode()
    if not whole:
        assert refusal(raw).code == "no_rows"
        return
    assert fields(read(raw)) == whole
    cut = data.draw(st.integers(0, len(raw) - 1))
    try:
        rows = fields(read(raw[:cut]))
    except FileRefused:
        return
    assert raw[:cut].endswith(b"\n")
    assert rows == whole[: len(rows)]


def test_a_last_row_without_line_break_needs_the_announced_length() -> None:
    data = b"id,title\n1,Mug\n2,Cup"
    assert refusal(data).code == "file_truncated"
    assert fields(read(data, announced=True)) == [("1", "Mug"), ("2", "Cup")]


@pytest.mark.parametrize(
    ("data", "announced", "code"),
    [
        (b"", 0, "file_empty"),
        (b"\xef\xbb\xbf", None, "file_empty"),
        (b" \n\n ", None, "file_empty"),
        (b"id,title\n", None, "no_rows"),
        (b"id,title\n,\n", None, "no_rows"),
        (b"id,tit", None, "file_truncated"),
        (b"id,title\n1,a\n2\n", None, "file_truncated"),
        (b"id,title\n1,a\n2,b", 99, "file_truncated"),
        (b'id,title\n1,a\n2,"b', 17, "file_truncated"),
        ("id,title\n1,a\n2,ü".encode()[:-1], None, "file_truncated"),
        (b"id,title\n1,a\n", 5, "length_mismatch"),
        (b"id;title;price\n1;a;2\n", None, "wrong_delimiter"),
        (b"id\ttitle\n1\ta\n", None, "wrong_delimiter"),
        (b"id|title\n1|a\n", None, "wrong_delimiter"),
        (b"<!DOCTYPE html><html>login</html>", None, "not_csv"),
        (b"\n  <HTML>", None, "not_csv"),
        (b'<?xml version="1.0"?><rss/>', None, "not_csv"),
        (b'{"error": "unauthorized"}', None, "not_csv"),
        (b"PK\x03\x04rest", None, "not_csv"),
        (gzip.compress(b"id,title\n1,a\n"), None, "not_csv"),
        (b"id,,title\n1,2,3\n", None, "header_blank"),
        (b"id,Title,title \n1,2,3\n", None, "header_duplicate"),
        (b"id,title\n1,a\n2,b\n3,c\n", None, "too_many_rows"),
        (b'id,title\n1,"a"b\n', None, "not_csv_shape"),
        (b"id,title\r1,a\r", None, "not_csv_shape"),
        (b"id,title\n1,a,b,c\n", None, "not_csv_shape"),
        (b"id,title\n1," + b"x" * 100_001 + b"\n", None, "field_too_long"),
        (b'id,title\n1,"' + b"x\n" * 70_000, None, "field_too_long"),
        (b"id,title\n1," + b"x" * (LINE_BYTES_MAX + 1), None, "line_too_long"),
        (b"id,title\n" + b"1," * RECORD_CHARS_MAX + b"\n", None, "record_too_long"),
        (",".join(f"c{n}" for n in range(501)).encode() + b"\n", None, "too_many_columns"),
    ],
)
def test_what_is_not_a_whole_csv_file_is_refused(data: bytes, announced: int | None, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        list(CsvFile([data], announced_bytes=announced, rows_max=2))
    assert refused.value.code == code


def test_a_record_over_the_limit_is_refused_in_small_chunks() -> None:
    def endless() -> Iterator[bytes]:
        yield b"id,title,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w\n"
        while True:
            yield b'"' + b"x" * 90_000 + b"\n" + b'",'

    with pytest.raises(FileRefused) as refused:
        list(CsvFile(endless()))
    assert refused.value.code == "record_too_long"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("id,title\n1,Tüte\n".encode("utf-16"), "UTF-16 LE (its byte order mark says so)"),
        (codecs.BOM_UTF16_BE + "id\n".encode("utf-16-be"), "UTF-16 BE (its byte order mark says so)"),
        ("id,title\n1,a\n".encode("utf-32"), "UTF-32 LE (its byte order mark says so)"),
        ("id,title\n1,a\n".encode("utf-16-le"), "UTF-16 LE without a byte order mark"),
        ("id,title\n1,a\n".encode("utf-16-be"), "UTF-16 BE without a byte order mark"),
        ("id,title\n1,Tüte\n".encode("latin-1"), "Latin-1 (ISO 8859-1) or Windows-1252"),
        ("id,title\n1,Tüte 5 €\n".encode("cp1252"), "Windows-1252"),
        (b"id,title\n1,a\xff\x81\n", "another encoding than UTF-8"),
        (b"id,title\n1,some long text that is fine a\x00b\n", "binary data (a NUL byte)"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_another_encoding_is_named(data: bytes, name: str, chunk: int) -> None:
    with pytest.raises(FileRefused) as refused:
        read(data, chunk=chunk)
    assert refused.value.code == "encoding_not_utf8"
    assert name in refused.value.message


def test_the_first_wrong_byte_is_named() -> None:
    refused = refusal("id,title\n1,Mug\n2,Tüte\n".encode("latin-1"))
    assert (refused.byte, refused.line) == (18, 3)
    assert "0xfc" in refused.message


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_a_byte_order_mark_of_utf_8_is_taken_off(chunk: int) -> None:
    data = codecs.BOM_UTF8 + b"id,title\n1,Mug\n"
    file = CsvFile([data[at : at + chunk] for at in range(0, len(data), chunk)], announced_bytes=len(data))
    assert file.header == ("id", "title")
    assert fields(list(file)) == [("1", "Mug")]
    assert (file.progress.bytes_read, file.progress.lines) == (len(data), 2)


def test_a_ragged_row_is_the_rows_own_problem() -> None:
    rows = read(b"id,title\n1,a\n2,b,c\n3\n4,d\n")
    assert [(row.fields, row.ragged) for row in rows] == [
        (("1", "a"), None),
        (("2", "b"), 3),
        (("3",), 1),
        (("4", "d"), None),
    ]


def test_many_ragged_rows_refuse_the_file() -> None:
    assert refusal(b"id,title\n" + b"1,a\n" * 100 + b"1,a,b\n" * 21).code == "not_csv_shape"
    assert len(read(b"id,title\n" + b"1,a\n" * 100 + b"1,a,b\n" * 20)) == 120
