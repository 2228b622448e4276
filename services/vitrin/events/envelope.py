"""The envelope: what every record carries beside its Protobuf payload.

Headers on the wire, all ASCII: `id` (UUIDv7 of the event), `type`, `brand`, `occurred` and `received` (microseconds
since 1970, UTC), `producer`. The payload is the message that `registry.EVENT_TYPES` names for the type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage
from uuid_utils import uuid7

from vitrin.events.registry import EVENT_TYPES

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

RECORD_BYTES_MAX: Final = 999_000
"""Key, payload and headers of one record: what every topic takes (`record_bytes_max` of topics.yaml) less the frame of
its batch. More is refused where it is published, since what is in the outbox must be possible to send."""
_HEADERS_BYTES_MAX: Final = 256
"""Names and values of all headers but the type."""


class InvalidMessage(Exception):
    """A message that no repetition can make right: it goes to the dead letters with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryLater(Exception):
    """A message needs something that has not arrived yet: it waits, and the later ones of its key behind it.

    `messages`: those of the batch (the very objects) that have to wait, so that all others are handled together
    without them. A handler that cannot name them leaves it out, and its batch is repeated one by one.
    """

    def __init__(self, reason: str, messages: "Sequence[Message]" = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.messages = tuple(messages)


@lru_cache(maxsize=256)
def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time; exact, without float. (Cached: the events of one transaction share
    their times.)"""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    return _EPOCH + value * _MICROSECOND


class Event(NamedTuple):
    """An event on its way out. `occurred_at` is the shop's time, `received_at` ours, `event_id` a UUIDv7. (A tuple and
    bytes: a bulk change makes one per item, and a frozen dataclass with a UUID costs twice the time.)"""

    topic: str
    key: str
    type: str
    brand_id: UUID
    payload: bytes
    occurred_at: datetime
    received_at: datetime
    event_id: bytes

    @property
    def record_bytes(self) -> int:
        """What its record takes at the most."""
        return len(self.payload) + 4 * len(self.key) + len(self.type) + _HEADERS_BYTES_MAX

    @classmethod
    def of(
        cls,
        *,
        key: str,
        type: str,  # noqa: A002
        brand_id: UUID,
        message: ProtobufMessage,
        occurred_at: datetime,
        received_at: datetime,
        topic: str | None = None,
    ) -> "Event":
        """An event with a fresh id. ValueError when the type is not declared for that message or topic."""
        declared = EVENT_TYPES.get(type)
        if (
            declared is None
            or not isinstance(message, declared.message)
            or topic not in (None, declared.topic)
        ):
            raise ValueError(
                f"event type {type!r} is not declared for {message.DESCRIPTOR.full_name} on {topic}"
            )
        return cls(
            topic=declared.topic,
            key=key,
            type=type,
            brand_id=brand_id,
            payload=message.SerializeToString(deterministic=True),
            occurred_at=occurred_at,
            received_at=received_at,
            event_id=uuid7().bytes,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A record as a consumer sees it. Knows the offset after itself."""

    topic: str
    partition: int
    offset: int
    key: str
    type: str
    brand_id: UUID
    event_id: UUID
    occurred_at: datetime
    received_at: datetime
    payload: bytes

    @property
    def next_offset(self) -> int:
        return self.offset + 1

    def decode(self) -> ProtobufMessage:
        """The payload as its declared message. InvalidMessage when type, topic or bytes do not fit."""
        declared = EVENT_TYPES.get(self.type)
        if declared is None:
            raise InvalidMessage(f"unknown event type {self.type!r}")
        if declared.topic != self.topic:
            raise InvalidMessage(f"event type {self.type!r} does not belong on {self.topic}")
        try:
            return declared.message.FromString(self.payload)
        except DecodeError as error:
            raise InvalidMessage(f"payload of {self.type} cannot be decoded: {error}") from error
