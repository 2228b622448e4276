"""Bytes of a spool's files. Pure.

A position counts bytes over all segments, their headers too: a segment is named by its first one, so that a position
leads to its place without an index.

    segment   magic 8 | first position u64 | CRC32C u32                     then records
    record    magic 4 | payload length u32 | CRC32C u32 | moment u64, ms    then the payload
    position  magic 8 | position u64 | CRC32C u32

The CRC of a record covers its own position: what stands somewhere else than where it was written is not taken for one.
The magic lets a reader find the next record behind a damaged one.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from crc32c import crc32c

_SEGMENT: Final = struct.Struct("<8sQI")
_RECORD: Final = struct.Struct("<4sIIQ")
_COVERED: Final = struct.Struct("<QIQ")
_SEGMENT_MAGIC: Final = b"VSPOOL01"
_POSITION_MAGIC: Final = b"VSPLPOS1"
_RECORD_MAGIC: Final = b"\xa7VR\x01"
SEGMENT_HEAD_BYTES: Final = _SEGMENT.size
RECORD_HEAD_BYTES: Final = _RECORD.size
SEGMENT_SUFFIX: Final = ".segment"
POSITION_SUFFIX: Final = ".position"
DAMAGED_SUFFIX: Final = ".damaged"


@dataclass(frozen=True, slots=True)
class Record:
    """`position` is where it stands, `end` where the next one begins; `at_ms` when it was taken, since 1970."""

    position: int
    end: int
    at_ms: int
    payload: bytes = field(repr=False)


def segment_name(base: int) -> str:
    return f"{base:020d}{SEGMENT_SUFFIX}"


def base_of(name: str) -> int | None:
    """The first position of a segment's file; None: it is no segment."""
    digits = name.removesuffix(SEGMENT_SUFFIX)
    return int(digits) if name.endswith(SEGMENT_SUFFIX) and len(digits) == 20 and digits.isdecimal() else None


def segment_head(base: int) -> bytes:
    return _pair(_SEGMENT_MAGIC, base)


def is_segment_head(data: bytes, base: int) -> bool:
    return data[:SEGMENT_HEAD_BYTES] == segment_head(base)


def position_bytes(position: int) -> bytes:
    return _pair(_POSITION_MAGIC, position)


def position_in(data: bytes) -> int | None:
    """None where the bytes are no position."""
    if len(data) != _SEGMENT.size:
        return None
    position: int = _SEGMENT.unpack(data)[1]
    return position if data == position_bytes(position) else None


def _pair(magic: bytes, number: int) -> bytes:
    return _SEGMENT.pack(magic, number, crc32c(magic + number.to_bytes(8, "little")))


def record_bytes(position: int, at_ms: int, payload: bytes) -> bytes:
    crc = _crc(position, at_ms, payload)
    return _RECORD.pack(_RECORD_MAGIC, len(payload), crc, at_ms) + payload


def record_at(data: bytes, offset: int, position: int) -> Record | None:
    """The record that begins at `offset`, which is `position`; None: there is none, or not all of it."""
    if len(data) - offset < RECORD_HEAD_BYTES:
        return None
    magic, length, crc, at_ms = _RECORD.unpack_from(data, offset)
    begin = offset + RECORD_HEAD_BYTES
    if magic != _RECORD_MAGIC or len(data) - begin < length:
        return None
    payload = data[begin : begin + length]
    if crc != _crc(position, at_ms, payload):
        return None
    return Record(position, position + RECORD_HEAD_BYTES + length, at_ms, payload)


def next_record(data: bytes, offset: int, position: int) -> Record | None:
    """The first whole record at or behind `offset`, for reading on behind damage."""
    found = data.find(_RECORD_MAGIC, offset)
    while found >= 0:
        record = record_at(data, found, position + found - offset)
        if record is not None:
            return record
        found = data.find(_RECORD_MAGIC, found + 1)
    return None


def _crc(position: int, at_ms: int, payload: bytes) -> int:
    return crc32c(payload, crc32c(_COVERED.pack(position, len(payload), at_ms)))
