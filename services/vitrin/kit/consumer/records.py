"""A Kafka record becomes a Message, or says why it cannot."""

from typing import Any, Final
from uuid import UUID

from vitrin.events.envelope import InvalidMessage, Message, from_us

UUID_BYTES: Final = 16
HEADERS: Final = ("id", "type", "brand", "occurred", "received")


def parse(record: Any, *, topic: str) -> Message:
    """InvalidMessage when a header is missing or unreadable, or the value is absent."""
    headers: dict[str, bytes] = dict(record.headers or ())
    missing = [name for name in HEADERS if name not in headers]
    if missing:
        raise InvalidMessage(f"headers missing: {', '.join(missing)}")
    if record.value is None:
        raise InvalidMessage("record has no value")
    if b"\x00" in (record.key or b""):
        raise InvalidMessage("the key holds U+0000")
    try:
        return Message(
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            key=(record.key or b"").decode(),
            type=headers["type"].decode(),
            brand_id=UUID(bytes=headers["brand"]),
            event_id=UUID(bytes=headers["id"]),
            occurred_at=from_us(int(headers["occurred"])),
            received_at=from_us(int(headers["received"])),
            payload=record.value,
        )
    except (ValueError, OverflowError) as error:
        raise InvalidMessage(f"headers unreadable: {error}") from error


def readable_headers(record: Any) -> dict[str, str]:
    """Headers for the dead-letter table: text where it is text, hexadecimal otherwise."""
    return {name: _readable(value) for name, value in (record.headers or ())}


def brand_of(record: Any) -> UUID | None:
    """Whose record it is, where its header can be read."""
    value = dict(record.headers or ()).get("brand") or b""
    return UUID(bytes=value) if len(value) == UUID_BYTES else None


def stored_message(row: Any) -> Message:
    """The message of a parked row or a dead letter. InvalidMessage when its headers could not be read."""
    headers: dict[str, str] = row.headers
    missing = [name for name in HEADERS if not headers.get(name)]
    if missing:
        raise InvalidMessage(f"headers missing: {', '.join(missing)}")
    if row.payload is None:
        raise InvalidMessage("record has no value")
    try:
        return Message(
            topic=row.topic,
            partition=row.partition,
            offset=row.record_offset,
            key=row.key or "",
            type=headers["type"],
            brand_id=_uuid(headers["brand"]),
            event_id=_uuid(headers["id"]),
            occurred_at=from_us(int(headers["occurred"])),
            received_at=from_us(int(headers["received"])),
            payload=bytes(row.payload),
        )
    except (ValueError, OverflowError) as error:
        raise InvalidMessage(f"headers unreadable: {error}") from error


def _uuid(text: str) -> UUID:
    """What `_readable` made of 16 bytes: hexadecimal, or the same bytes where they happen to be printable."""
    return UUID(hex=text) if len(text) == 2 * UUID_BYTES else UUID(bytes=text.encode())


def _readable(value: bytes | None) -> str:
    if value is None:
        return ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()
