"""A Kafka record becomes a Message, or says why it cannot."""

from typing import Any
from uuid import UUID

from vitrin.events.envelope import InvalidMessage, Message, from_us

HEADERS = ("id", "type", "brand", "occurred", "received")


def parse(record: Any, *, topic: str) -> Message:
    """InvalidMessage when a header is missing or unreadable, or the value is absent."""
    headers: dict[str, bytes] = dict(record.headers or ())
    missing = [name for name in HEADERS if name not in headers]
    if missing:
        raise InvalidMessage(f"headers missing: {', '.join(missing)}")
    if record.value is None:
        raise InvalidMessage("record has no value")
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


def _readable(value: bytes | None) -> str:
    if value is None:
        return ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()
