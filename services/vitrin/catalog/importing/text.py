"""Bytes in any chunking become lines of verified UTF-8 text, in constant memory."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from vitrin.catalog.importing.errors import FileRefused

LINE_BYTES_MAX: Final = 1_000_000
SNIFFED_BYTES: Final = 512
RECODE_FIX: Final = "Save the file as UTF-8 (in Excel: CSV UTF-8, comma delimited) and upload it again."

_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32 LE"),
    (codecs.BOM_UTF32_BE, "UTF-32 BE"),
    (codecs.BOM_UTF16_LE, "UTF-16 LE"),
    (codecs.BOM_UTF16_BE, "UTF-16 BE"),
)
_MAGICS: Final = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
)
_MARKUP: Final = (
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"<", "markup"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_CP1252_ONLY: Final = frozenset(range(0x80, 0xA0)) - {0x81, 0x8D, 0x8F, 0x90, 0x9D}


@dataclass(slots=True)
class TextProgress:
    """Where the reader stands; complete once the lines are used up."""

    bytes_read: int = 0
    lines: int = 0
    ends_with_newline: bool = False


def text_lines(
    chunks: Iterable[bytes], progress: TextProgress, *, announced_bytes: int | None = None
) -> Iterator[str]:
    """Lines with their line feed, a BOM of UTF-8 taken off. Only LF ends a line; CR stays before it.

    Raises `FileRefused`: file_empty, not_csv, encoding_not_utf8, line_too_long, file_truncated (fewer bytes than
    announced, or an end inside a character), length_mismatch (more bytes than announced).
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    head, source = _head(iter(chunks))
    _refuse_other_formats(head)
    rest = ""
    for chunk in _without_bom(head, source, progress):
        _check_nul(chunk, progress, progress.bytes_read)
        text = _decode(decoder, chunk, progress)
        progress.bytes_read += len(chunk)
        if announced_bytes is not None and progress.bytes_read > announced_bytes:
            raise FileRefused(
                "length_mismatch",
                f"more than the announced {announced_bytes} bytes arrived",
                "Upload the file again.",
            )
        lines = (rest + text).split("\n")
        rest = lines.pop()
        for line in lines:
            progress.lines += 1
            yield line + "\n"
        if len(rest) > LINE_BYTES_MAX:
            raise FileRefused(
                "line_too_long",
                f"line {progress.lines + 1} is longer than {LINE_BYTES_MAX} bytes",
                "Check that it is a CSV file with line breaks between its rows.",
                line=progress.lines + 1,
            )
    _verify_end(decoder, progress, announced_bytes)
    progress.ends_with_newline = not rest
    if rest:
        progress.lines += 1
        yield rest


def _head(source: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for chunk in source:
        head += chunk
        if len(head) >= SNIFFED_BYTES:
            break
    return head, source


def _without_bom(head: bytes, source: Iterator[bytes], progress: TextProgress) -> Iterator[bytes]:
    if head.startswith(codecs.BOM_UTF8):
        progress.bytes_read = len(codecs.BOM_UTF8)
        head = head[len(codecs.BOM_UTF8) :]
    yield head
    yield from source


def _refuse_other_formats(head: bytes) -> None:
    for bom, name in _BOMS:
        if head.startswith(bom):
            raise FileRefused(
                "encoding_not_utf8", f"the file is {name} (its byte order mark says so)", RECODE_FIX, byte=0
            )
    for magic, name in _MAGICS:
        if head.startswith(magic):
            raise FileRefused(
                "not_csv", f"the file is {name}, not CSV text", "Export it as CSV (UTF-8).", byte=0
            )
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not start and len(head) < SNIFFED_BYTES:
        raise FileRefused("file_empty", "the file is empty", "Upload a CSV file with a header and rows.")
    for mark, name in _MARKUP:
        if start.startswith(mark):
            raise FileRefused(
                "not_csv",
                f"the file is {name}, not CSV",
                "Perhaps a login or error page was saved instead of the export: download it again.",
                line=1,
            )


def _check_nul(chunk: bytes, progress: TextProgress, offset: int) -> None:
    position = chunk.find(b"\x00")
    if position < 0:
        return
    sample = chunk[max(0, position - 200) : position + 200]
    first = offset + max(0, position - 200)
    odd = sum(1 for at in range(len(sample)) if sample[at] == 0 and (first + at) % 2)
    nuls = sample.count(0)
    if nuls * 4 < len(sample):
        name = "binary data (a NUL byte)"
    else:
        name = (
            "UTF-16 LE without a byte order mark" if odd * 2 > nuls else "UTF-16 BE without a byte order mark"
        )
    raise FileRefused(
        "encoding_not_utf8",
        f"the file looks like {name} at byte {offset + position}",
        RECODE_FIX,
        line=progress.lines + chunk[:position].count(b"\n") + 1,
        byte=offset + position,
    )


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, progress: TextProgress) -> str:
    pending = len(decoder.getstate()[0])
    try:
        return decoder.decode(chunk)
    except UnicodeDecodeError as error:
        data = bytes(error.object)
        at = progress.bytes_read - pending + error.start
        line = progress.lines + data[: error.start].count(b"\n") + 1
        high = {byte for byte in data if byte >= 0x80}
        if high & {0x81, 0x8D, 0x8F, 0x90, 0x9D}:
            name = "another encoding than UTF-8"
        elif high & _CP1252_ONLY:
            name = "Windows-1252"
        else:
            name = "Latin-1 (ISO 8859-1) or Windows-1252"
        raise FileRefused(
            "encoding_not_utf8",
            f"byte {at} (line {line}) is 0x{data[error.start]:02x}, which is not UTF-8; it looks like {name}",
            RECODE_FIX,
            line=line,
            byte=at,
        ) from error


def _verify_end(
    decoder: codecs.IncrementalDecoder, progress: TextProgress, announced_bytes: int | None
) -> None:
    if decoder.getstate()[0]:
        raise truncated("the file ends inside a character", progress.lines + 1)
    if announced_bytes is not None and progress.bytes_read != announced_bytes:
        raise truncated(
            f"{progress.bytes_read} of {announced_bytes} announced bytes arrived", progress.lines + 1
        )


def truncated(message: str, line: int) -> FileRefused:
    return FileRefused(
        "file_truncated",
        message,
        "Export or upload the file again; if it is complete, give its last row all its fields.",
        line=line,
    )
